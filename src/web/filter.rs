//! The sessions that the status page shows: the search and the choices of its form, read from the query of the address.
//!
//! A value that no session has matches no session, so a mistyped address never looks as if its filter applied. Unknown keys are
//! ignored, and every value is cut to a length that the page can repeat.

use serde::Serialize;

use super::overview::ListedSession;
use crate::domain::catalogue;
use crate::domain::name::Name;
use crate::domain::policy::Severity;
use crate::domain::session::url_piece;
use crate::engine::published::Plans;
use crate::view::session::Status;
use crate::view::words::{Mood, cut};

/// Longest value that is read, in characters: `SOURCE/ID` fits.
const LONGEST: usize = 200;

/// Most names in one menu; the search finds the others.
const IN_A_MENU: usize = 300;

/// Statuses of the form alone: value and words.
const WRONG: (&str, &str) = ("attention", "Needs attention");
const OVERDUE: (&str, &str) = ("overdue", "Check overdue");
pub(super) const UNAUDITED: (&str, &str) = ("unaudited", "Not audited");

/// The query of the address; an empty value lets everything through.
#[derive(Debug, Default)]
pub(super) struct Filter {
    text: String,
    status: String,
    severity: String,
    source: String,
    customer: String,
    page: usize,
}

/// A menu of the form.
#[derive(Debug, Serialize)]
pub(super) struct Menu {
    name: &'static str,
    label: &'static str,
    all: &'static str,
    choices: Vec<Choice>,
}

#[derive(Debug, Serialize)]
struct Choice {
    value: String,
    words: String,
    chosen: bool,
}

impl Filter {
    /// If a key comes several times, its first value counts.
    pub fn read(query: &[(String, String)]) -> Self {
        let value = |key: &str| {
            let (_, value) = query.iter().find(|(other, _)| other == key)?;
            Some(cut(value.trim(), LONGEST))
        };
        let text = |key| value(key).unwrap_or_default();
        let page = value("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        Self {
            text: text("q"),
            status: text("status"),
            severity: text("severity"),
            source: text("source"),
            customer: text("customer"),
            page,
        }
    }

    /// The address of the sessions of one status.
    pub fn of_status(status: Status) -> String {
        format!("/?status={}", status.label())
    }

    /// The address of the sessions that are not audited.
    pub fn of_unaudited() -> String {
        format!("/?status={}", UNAUDITED.0)
    }

    /// The address of the sessions of one source.
    pub fn of_source(source: &Name) -> String {
        format!("/?source={source}")
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// From 1; it may be past the last page.
    pub fn page(&self) -> usize {
        self.page
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.pairs().iter().all(|(_, value)| value.is_empty())
    }

    fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("q", &self.text),
            ("status", &self.status),
            ("severity", &self.severity),
            ("source", &self.source),
            ("customer", &self.customer),
        ]
    }

    /// The address of another page of the same sessions.
    pub fn link(&self, page: usize) -> String {
        let pairs = self.pairs().into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = pairs.map(|(key, value)| format!("&{key}={}", url_piece(value)));
        format!("/?page={page}{}", pairs.collect::<String>())
    }

    pub fn lets_through(&self, listed: &ListedSession<'_>) -> bool {
        let (view, session) = (&listed.view, listed.view.session);
        let status = match &*self.status {
            "" => true,
            wanted if wanted == WRONG.0 => matches!(view.status.mood(), Mood::Bad | Mood::Unclear),
            wanted if wanted == OVERDUE.0 => listed.stale.is_some(),
            wanted => view.status.label() == wanted,
        };
        let customer = session.contacts.customer.as_ref();
        status
            && (self.severity.is_empty() || view.severity().is_some_and(|severity| severity.label() == self.severity))
            && self.names(&session.key.source, customer)
            && self.finds(|| haystack(listed))
    }

    /// Whether it lets an unaudited session through. `customer`: the customer of the source.
    pub fn lets_unaudited(&self, source: &Name, customer: Option<&Name>, id: &str, name: Option<&str>) -> bool {
        (self.status.is_empty() || self.status == UNAUDITED.0)
            && self.severity.is_empty()
            && self.names(source, customer)
            && self.finds(|| {
                let customer = customer.map_or("", Name::as_str);
                format!("{source}/{id}\n{}\n{customer}\n{}", name.unwrap_or_default(), UNAUDITED.1).to_lowercase()
            })
    }

    fn names(&self, source: &Name, customer: Option<&Name>) -> bool {
        (self.source.is_empty() || source.as_str() == self.source)
            && (self.customer.is_empty() || customer.is_some_and(|customer| customer.as_str() == self.customer))
    }

    /// Whether the search finds each of its words in the haystack, without regard to case.
    fn finds(&self, haystack: impl FnOnce() -> String) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let haystack = haystack();
        self.text.to_lowercase().split_whitespace().all(|word| haystack.contains(word))
    }

    /// The menus of the form, without those that could not narrow anything down.
    pub fn menus(&self, plans: &Plans) -> Vec<Menu> {
        let own = |(value, words): (&str, &str)| (value.to_owned(), words.to_owned());
        let statuses = Status::ALL.map(|status| own((status.label(), status.words())));
        let statuses = [own(WRONG)].into_iter().chain(statuses).chain([own(OVERDUE), own(UNAUDITED)]);
        let severities = Severity::ALL.into_iter().rev().map(|severity| own((severity.label(), severity.label())));
        let name = |name: &Name| (name.to_string(), name.to_string());
        let mut customers = plans.values().flat_map(|plan| plan.sessions.values().map(|s| &*s.contacts));
        let mut customers: Vec<&Name> = customers.by_ref().filter_map(|contacts| contacts.customer.as_ref()).collect();
        customers.sort();
        customers.dedup();
        let menus = [
            menu("status", "Status", "Any status", statuses.collect(), &self.status),
            menu("severity", "Severity", "Any severity", severities.collect(), &self.severity),
            menu("source", "Source", "All sources", plans.keys().map(name).collect(), &self.source),
            menu("customer", "Customer", "All customers", customers.into_iter().map(name).collect(), &self.customer),
        ];
        menus.into_iter().filter(|menu| menu.choices.len() > 1 || menu.choices.iter().any(|c| c.chosen)).collect()
    }
}

/// A menu that always has the chosen value, even if no session has it.
fn menu(
    name: &'static str,
    label: &'static str,
    all: &'static str,
    mut values: Vec<(String, String)>,
    chosen: &str,
) -> Menu {
    let known = values.iter().position(|(value, _)| value == chosen);
    match known {
        Some(at) if at >= IN_A_MENU => values.swap(0, at),
        None if !chosen.is_empty() => values.insert(0, (chosen.to_owned(), chosen.to_owned())),
        _ => {}
    }
    values.truncate(IN_A_MENU);
    let choice = |(value, words)| Choice { chosen: value == chosen, value, words };
    Menu { name, label, all, choices: values.into_iter().map(choice).collect() }
}

/// The texts of a session that the search reads, in lower case.
fn haystack(listed: &ListedSession<'_>) -> String {
    let (view, session) = (&listed.view, listed.view.session);
    let mut text = format!("{}\n{}\n{}", session.key, session.policy.name, view.status.words());
    let labels = session.labels.values().map(String::as_str);
    let known = [
        session.contacts.customer.as_ref().map(Name::as_str),
        view.severity().map(Severity::label),
        listed.stale.map(|_| OVERDUE.1),
    ];
    for word in known.into_iter().flatten().chain(labels) {
        text.extend(["\n", word]);
    }
    let settings = view.findings.iter().map(|finding| catalogue::label(&finding.setting));
    for word in view.name().into_iter().chain(settings) {
        text.extend(["\n", &word]);
    }
    text.to_lowercase()
}
