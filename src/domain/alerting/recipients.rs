//! First stage: the recipients of an incident or an announcement, with their roles.
//!
//! An incident of a session goes to its owners; a critical one also to the fallback and the operators. An incident of the audit
//! itself goes to the operators, or else the fallback, or else the owners; owners and fallback are notified of it after
//! `blind_after`. A change of the notification address is also notified to the address that the rule expects, never to the new
//! one. An address that refuses mail goes to the operators, or else the fallback, of the sessions that it concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Plans, Recipient};
use crate::domain::address::Address;
use crate::domain::delivery::UndeliverableAddress;
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::notification::{BlindSession, Role};
use crate::domain::plan::SourcePlan;
use crate::domain::policy::Severity;
use crate::domain::session::{Contacts, Session, SessionId};

/// The recipients of an open incident, each once, in order of their addresses.
pub fn of_incident(plan: &SourcePlan, incident: &Incident) -> Vec<Recipient> {
    let session = incident.key.session().and_then(|id| plan.sessions.get(id));
    let mut all = match (incident.kind(), session) {
        (IncidentKind::Drift | IncidentKind::Missing, Some(session)) => of_session(session, incident),
        (IncidentKind::Unverifiable, Some(session)) => {
            let mut all = of_audit(&session.contacts, || session.owners.clone());
            all.extend(blind([session].into_iter()));
            all
        }
        (IncidentKind::Unreachable, _) => {
            let mut all = of_source(plan);
            all.extend(blind(plan.sessions.values()));
            all
        }
        (IncidentKind::SourceChanged, _) => of_source(plan),
        // Its session is not audited any more; the next commit ends it.
        (IncidentKind::Drift | IncidentKind::Missing | IncidentKind::Unverifiable, None) => Vec::new(),
    };
    once(&mut all);
    all
}

/// The recipients of an incident that concerns a whole source.
pub fn of_source(plan: &SourcePlan) -> Vec<Recipient> {
    let owners = || plan.sessions.values().flat_map(|session| session.owners.iter().cloned()).collect();
    let mut all = of_audit(&plan.contacts, owners);
    once(&mut all);
    all
}

/// The recipients of what concerns the program as a whole: `operators`, or else `fallback`, or else those of every source.
pub fn of_program(operators: &[Address], fallback: &[Address], plans: &Plans) -> Vec<(Address, Role)> {
    let mut all =
        if operators.is_empty() { as_role(fallback, Role::ActingOperator) } else { as_role(operators, Role::Operator) };
    if all.is_empty() {
        all = plans.values().flat_map(of_source).collect();
    }
    once(&mut all);
    all.into_iter().map(|member| (member.to, member.role)).collect()
}

/// The recipients of a test: of each source the operators, or else the fallback. Owners get none.
pub fn of_test(plans: &Plans) -> Vec<Recipient> {
    let mut all = plans.values().flat_map(|plan| of_audit(&plan.contacts, Vec::new)).collect();
    once(&mut all);
    all
}

/// The recipients of the removal of a session from `plan`, which is the one before: operators, or else fallback, or else its owners.
pub fn of_removed(plan: &SourcePlan, session: &SessionId) -> Vec<(Address, Role)> {
    let owners = || plan.sessions.get(session).map(|session| session.owners.clone()).unwrap_or_default();
    let mut all = of_audit(&plan.contacts, owners);
    once(&mut all);
    all.into_iter().map(|member| (member.to, member.role)).collect()
}

/// The sessions for which `to` is notified that an incident lasts long.
pub fn blind_sessions(plan: &SourcePlan, incident: &Incident, to: &Address) -> Vec<BlindSession> {
    let own = |session: &&Session| session.owners.contains(to) || session.contacts.fallback.contains(to);
    let of_incident = |session: &&Session| incident.key.session().is_none_or(|id| *id == session.key.id);
    let sessions = plan.sessions.values().filter(of_incident).filter(own);
    // An incident of one session also knows the name that the source returned.
    let name = |session: &Session| session.name.clone().or_else(|| incident.facts.name.clone());
    sessions.map(|session| BlindSession { key: session.key.clone(), name: name(session) }).collect()
}

/// The recipients of an address that refuses mail: for each session that uses the address or that a lost notification was about,
/// the operators, or else the fallback; without any of those, all operators. None of them `refusing` mail too.
pub fn of_undeliverable(plans: &Plans, found: &UndeliverableAddress, refusing: &BTreeSet<Address>) -> Vec<Recipient> {
    let able = |addresses: &[Address], role| {
        as_role(addresses, role).into_iter().filter(|member| !refusing.contains(&member.to)).collect::<Vec<_>>()
    };
    let concerned = |session: &&Session| {
        uses(session, &found.address) || found.lost.sessions.iter().any(|key| *key == session.key.to_string())
    };
    let of_plan = |plan: &SourcePlan| {
        let of_source = Some(&plan.contacts).filter(|contacts| reaches(contacts, &found.address)).cloned();
        let of_sessions = plan.sessions.values().filter(concerned).map(|session| Arc::clone(&session.contacts));
        of_source.into_iter().chain(of_sessions).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for contacts in plans.values().flat_map(of_plan) {
        let operators = able(&contacts.operators, Role::Operator);
        all.extend(if operators.is_empty() { able(&contacts.fallback, fallback_role(&contacts)) } else { operators });
    }
    if all.is_empty() {
        all = every_contacts(plans).flat_map(|contacts| able(&contacts.operators, Role::Operator)).collect();
    }
    once(&mut all);
    all
}

/// Whether the configuration still names `address` as a recipient.
pub fn names(plans: &Plans, address: &Address) -> bool {
    plans
        .values()
        .any(|plan| reaches(&plan.contacts, address) || plan.sessions.values().any(|session| uses(session, address)))
}

/// The zone of the times in a notification to `to` that concerns no source.
pub fn zone_of(plans: &Plans, to: &Address) -> chrono_tz::Tz {
    every_contacts(plans).find(|contacts| reaches(contacts, to)).map_or(chrono_tz::UTC, |contacts| contacts.zone)
}

fn every_contacts(plans: &Plans) -> impl Iterator<Item = &Contacts> {
    plans.values().flat_map(|plan| {
        let of_sessions = plan.sessions.values().map(|session| &*session.contacts);
        std::iter::once(&*plan.contacts).chain(of_sessions)
    })
}

/// Whether a notification of the session can go to `address`.
fn uses(session: &Session, address: &Address) -> bool {
    // Any param can hold the notification address that a rule expects.
    let is_param = || session.params.values().flatten().any(|text| text.trim().eq_ignore_ascii_case(address.as_str()));
    session.owners.contains(address) || reaches(&session.contacts, address) || is_param()
}

fn reaches(contacts: &Contacts, address: &Address) -> bool {
    contacts.operators.contains(address) || contacts.fallback.contains(address)
}

fn of_session(session: &Session, incident: &Incident) -> Vec<Recipient> {
    let mut all = as_role(&session.owners, Role::Owner);
    all.extend(as_role(incident.facts.expected_address.as_slice(), Role::ExpectedAddress));
    let critical = incident.severity == Severity::Critical;
    if critical || all.is_empty() {
        all.extend(as_role(&session.contacts.fallback, fallback_role(&session.contacts)));
    }
    if critical {
        all.extend(as_role(&session.contacts.operators, Role::Operator));
    }
    all
}

/// Operators, or else the fallback, or else the owners.
fn of_audit(contacts: &Contacts, owners: impl FnOnce() -> Vec<Address>) -> Vec<Recipient> {
    if !contacts.operators.is_empty() {
        as_role(&contacts.operators, Role::Operator)
    } else if !contacts.fallback.is_empty() {
        as_role(&contacts.fallback, fallback_role(contacts))
    } else {
        as_role(&owners(), Role::Owner)
    }
}

/// Without operators and a contact, the readers of the fallback act on the configuration.
fn fallback_role(contacts: &Contacts) -> Role {
    if contacts.operators.is_empty() && contacts.contact.is_none() { Role::ActingOperator } else { Role::Fallback }
}

fn blind<'a>(sessions: impl Iterator<Item = &'a Session>) -> Vec<Recipient> {
    let mut all = Vec::new();
    for session in sessions {
        let fallback = fallback_role(&session.contacts);
        let known = [(&session.owners, Role::Owner), (&session.contacts.fallback, fallback)];
        for (addresses, role) in known {
            all.extend(as_role(addresses, role).into_iter().map(|member| Recipient { blind: true, ..member }));
        }
    }
    all
}

fn as_role(addresses: &[Address], role: Role) -> Vec<Recipient> {
    addresses.iter().map(|to| Recipient { to: to.clone(), role, blind: false }).collect()
}

/// Keeps each address once, in the role that is notified first.
fn once(all: &mut Vec<Recipient>) {
    all.sort_by(|a, b| (&a.to, a.blind, a.role).cmp(&(&b.to, b.blind, b.role)));
    all.dedup_by(|later, first| later.to == first.to);
}
