//! A notification: the content for one recipient over one channel, and the reason. A channel puts it into words.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Address;
use super::announcement::{EndingCredential, ForgottenColumns, RefusedConfig, RemovedSession, UnauditedSession};
use super::delivery::AddressChange;
use super::incident::{End, Facts, Incident, IncidentKind};
use super::name::Name;
use super::policy::Severity;
use super::session::{SessionId, SessionKey};

mod kind;
mod reason;

pub use kind::NotificationKind;
pub use reason::{AboutKey, Because, Reason, SuppressedIncident};

/// The role in which a recipient is notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    /// The notification address that a rule expects.
    ExpectedAddress,
    Fallback,
    /// The fallback of a configuration without operators and a contact: its readers run the checks.
    ActingOperator,
    Operator,
}

impl Role {
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::ExpectedAddress => "expected notification address",
            Self::Fallback | Self::ActingOperator => "fallback",
            Self::Operator => "operator",
        }
    }

    /// The reader can act on the configuration.
    pub fn runs_checks(self) -> bool {
        matches!(self, Self::ActingOperator | Self::Operator)
    }
}

/// What is new about an incident for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Opened,
    /// It is open and others were notified of it before; this recipient was not.
    Handover,
    /// The value found differs from the one in the last notification.
    Updated,
    Ended(End),
    /// Nothing is new; it is still open. The number of the reminder, from 1.
    StillOpen(u32),
}

impl Change {
    /// Part of the id of a notification, beside the incident: the same change of an incident has the same token.
    pub fn token(self, incident: &Incident) -> String {
        match self {
            Self::Opened | Self::Handover => String::from("opened"),
            Self::Updated => format!("updated:{}", incident.revision),
            Self::Ended(_) => String::from("ended"),
            Self::StillOpen(number) => format!("reminder:{number}"),
        }
    }

    /// Whether the recipient was notified of the incident before.
    pub fn is_follow_up(self) -> bool {
        matches!(self, Self::Updated | Self::Ended(_) | Self::StillOpen(_))
    }
}

/// One incident or announcement in a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub about: About,
    /// The zone of the times that the reader sees.
    pub zone: Tz,
    pub role: Role,
}

/// See [`Item`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Incident {
        incident: Arc<Incident>,
        change: Change,
        /// The sessions of the recipient that could not be checked for long, if they are the reason for the notification.
        blind: Option<Vec<BlindSession>>,
    },
    Unaudited(UnauditedSession),
    Forgotten(ForgottenColumns),
    Removed(RemovedSession),
    Reload(RefusedConfig),
    Credential(EndingCredential),
    Undeliverable(AddressChange),
}

/// A session that could not be checked, for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindSession {
    pub key: SessionKey,
    /// The name in the configuration.
    pub name: Option<String>,
}

impl Item {
    /// The id of the incident or announcement.
    pub fn id(&self) -> Uuid {
        match &self.about {
            About::Incident { incident, .. } => incident.id,
            About::Unaudited(found) => found.id,
            About::Forgotten(forgotten) => forgotten.id,
            About::Removed(removed) => removed.id,
            About::Reload(refused) => refused.id,
            About::Credential(ending) => ending.id,
            About::Undeliverable(change) => change.address.id,
        }
    }

    /// See [`Change::token`].
    pub fn token(&self) -> String {
        match &self.about {
            About::Incident { incident, change, .. } => change.token(incident),
            About::Unaudited(_) => String::from("found"),
            About::Forgotten(_) => String::from("forgotten"),
            About::Removed(_) => String::from("removed"),
            About::Reload(_) => String::from("refused"),
            About::Credential(_) => String::from("ends"),
            About::Undeliverable(AddressChange { end: None, .. }) => String::from("opened"),
            About::Undeliverable(AddressChange { end: Some(_), .. }) => String::from("ended"),
        }
    }

    pub fn incident(&self) -> Option<&Incident> {
        match &self.about {
            About::Incident { incident, .. } => Some(incident),
            About::Unaudited(_)
            | About::Removed(_)
            | About::Forgotten(_)
            | About::Reload(_)
            | About::Credential(_)
            | About::Undeliverable(_) => None,
        }
    }

    /// The sessions of the recipient that could not be checked for long, where they are the reason.
    pub fn blind(&self) -> &[BlindSession] {
        match &self.about {
            About::Incident { blind: Some(sessions), .. } => sessions,
            _ => &[],
        }
    }

    pub fn change(&self) -> Option<Change> {
        match &self.about {
            About::Incident { change, .. } => Some(*change),
            About::Unaudited(_)
            | About::Removed(_)
            | About::Forgotten(_)
            | About::Reload(_)
            | About::Credential(_)
            | About::Undeliverable(_) => None,
        }
    }

    pub fn facts(&self) -> Option<&Facts> {
        self.incident().map(|incident| &incident.facts)
    }

    /// `None` for what concerns the program as a whole.
    pub fn source(&self) -> Option<&Name> {
        match &self.about {
            About::Incident { incident, .. } => Some(&incident.source),
            About::Unaudited(found) => Some(&found.source),
            About::Forgotten(forgotten) => Some(&forgotten.source),
            About::Removed(removed) => Some(&removed.source),
            About::Credential(ending) => ending.source.as_ref(),
            About::Reload(_) | About::Undeliverable(_) => None,
        }
    }

    /// `None` for what concerns a whole source or the program.
    pub fn session(&self) -> Option<&SessionId> {
        match &self.about {
            About::Incident { incident, .. } => incident.key.session(),
            About::Unaudited(found) => Some(&found.session),
            About::Removed(removed) => Some(&removed.session),
            About::Forgotten(_) | About::Reload(_) | About::Credential(_) | About::Undeliverable(_) => None,
        }
    }

    pub fn severity(&self) -> Severity {
        match &self.about {
            About::Incident { incident, .. } => incident.severity,
            About::Undeliverable(change) => change.address.severity(),
            About::Credential(_) => Severity::Warning,
            About::Unaudited(_) | About::Removed(_) | About::Forgotten(_) | About::Reload(_) => Severity::Info,
        }
    }

    pub fn kind(&self) -> NotificationKind {
        let (incident, change) = match &self.about {
            About::Incident { incident, change, .. } => (incident, change),
            About::Unaudited(_) | About::Removed(_) => return NotificationKind::Unaudited,
            About::Forgotten(_) => return NotificationKind::SourceChanged,
            About::Reload(_) => return NotificationKind::Reload,
            About::Credential(_) => return NotificationKind::Credential,
            About::Undeliverable(AddressChange { end: None, .. }) => return NotificationKind::Undeliverable,
            About::Undeliverable(AddressChange { end: Some(_), .. }) => return NotificationKind::Recovered,
        };
        match (change, incident.kind()) {
            (Change::Opened | Change::Handover, IncidentKind::Drift) => NotificationKind::Drift,
            (Change::Opened | Change::Handover, IncidentKind::Missing) => NotificationKind::Missing,
            (Change::Opened | Change::Handover, IncidentKind::Unverifiable) => NotificationKind::Unverifiable,
            (Change::Opened | Change::Handover, IncidentKind::Unreachable) => NotificationKind::Unreachable,
            (Change::Opened | Change::Handover, IncidentKind::SourceChanged) => NotificationKind::SourceChanged,
            (Change::Updated, _) => NotificationKind::Update,
            (Change::Ended(End::Removed), _) => NotificationKind::Unaudited,
            (Change::Ended(_), IncidentKind::Drift) => NotificationKind::Resolved,
            (Change::Ended(_), _) => NotificationKind::Recovered,
            (Change::StillOpen(_), _) => NotificationKind::Reminder,
        }
    }

    /// Whether the incident is open.
    pub fn is_wrong(&self) -> bool {
        self.change().is_some_and(|change| !matches!(change, Change::Ended(_)))
    }

    /// Whether it concerns a whole source.
    pub fn of_source(&self) -> bool {
        self.source().is_some() && self.session().is_none()
    }

    /// The most important first: by severity, then by whether it stops orders, then by kind and place.
    pub fn rank(&self) -> impl Ord + use<'_> {
        let stops = self.facts().is_some_and(|facts| facts.stops_orders);
        let severity = std::cmp::Reverse((self.severity(), stops));
        (severity, self.kind(), self.source(), self.session(), self.id())
    }
}

/// The first notification of an incident to a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opening {
    pub notification: Uuid,
    pub subject: String,
}

/// The content for one recipient, before a channel formats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// A version 5 UUID of channel, recipient and items; see [`Notification::id_of`].
    pub id: Uuid,
    pub channel: Name,
    pub to: Address,
    pub kind: NotificationKind,
    /// When it was recorded: the mail's `Date`.
    pub at: DateTime<Utc>,
    pub zone: Tz,
    /// What is new, most important first.
    pub items: Vec<Item>,
    /// The other open incidents of the sessions in the notification, most important first.
    pub still: Vec<Arc<Incident>>,
    /// The first notifications of the items to this recipient, each once.
    pub openings: Vec<Opening>,
    /// The customer that the items concern, where it is one.
    pub customer: Option<Name>,
    /// The contact that the mail names.
    pub contact: Option<String>,
    pub reply_to: Option<Address>,
    /// Reminders follow as long as it lasts.
    pub reminders: bool,
    pub reason: Reason,
}

impl Notification {
    /// The notification of `notifications test`, without an item.
    pub fn test(channel: Name, to: Address, at: DateTime<Utc>, zone: Tz) -> Self {
        let name = format!("driftwise test\n{}\n{}", at.timestamp_micros(), to.as_str().to_lowercase());
        Self {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            channel,
            kind: NotificationKind::Test,
            to,
            at,
            zone,
            items: Vec::new(),
            still: Vec::new(),
            openings: Vec::new(),
            customer: None,
            contact: None,
            reply_to: None,
            reminders: false,
            reason: Reason::default(),
        }
    }

    /// The id of a notification, from its recipient and items and not from the time, so that deriving it twice gives the same
    /// id.
    pub fn id_of(channel: &Name, to: &Address, items: &[Item]) -> Uuid {
        let mut notified = items.iter().map(|item| format!("{} {}", item.id(), item.token())).collect::<Vec<_>>();
        notified.sort();
        let to = to.as_str().to_lowercase();
        let name = format!("driftwise notification\n{channel}\n{to}\n{}", notified.join("\n"));
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }

    /// The sessions of the items, each once, in order: for the headers and the outbox.
    pub fn sessions(&self) -> Vec<SessionKey> {
        let mut seen = std::collections::HashSet::new();
        let key = |item: &Item| Some(SessionKey { source: item.source()?.clone(), id: item.session()?.clone() });
        self.items.iter().filter_map(key).filter(|key| seen.insert((key.source.clone(), key.id.clone()))).collect()
    }

    /// The incidents of the items.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.items.iter().filter_map(Item::incident)
    }

    /// Whether every item follows up an earlier notification: then a later one about the same incidents can replace it.
    pub fn is_follow_up(&self) -> bool {
        !self.items.is_empty() && self.items.iter().all(|item| item.change().is_some_and(Change::is_follow_up))
    }

    /// Of the most severe item.
    pub fn severity(&self) -> Severity {
        self.items.iter().map(Item::severity).max().unwrap_or(Severity::Info)
    }

    /// All open incidents that it lists, new and known, most important first.
    pub fn wrong(&self) -> Vec<&Incident> {
        let new = self.items.iter().filter(|item| item.is_wrong()).filter_map(Item::incident);
        let mut wrong = new.chain(self.still.iter().map(|incident| &**incident)).collect::<Vec<_>>();
        wrong.sort_by_key(|incident| {
            (std::cmp::Reverse((incident.severity, incident.facts.stops_orders)), incident.kind(), incident.id)
        });
        wrong
    }
}
