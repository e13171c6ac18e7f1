//! The notices above the sessions: trouble with the audit itself, and each source that cannot be read, once.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::filter::Filter;
use super::when::When;
use crate::domain::plan::SourcePlan;
use crate::domain::state::SourceState;
use crate::engine::published::{Plans, Present};
use crate::view::delivery::DeliveryView;
use crate::view::incident::IncidentView;
use crate::view::session::Staleness;
use crate::view::source::SourceView;
use crate::view::times;
use crate::view::words::{capital, count, cut, number};

/// Most sources that are described one by one; the others are counted.
const NAMED: usize = 10;

/// Longest reason, in characters.
const REASON: usize = 400;

/// Longest text about mail, in characters: it contains the error of the server.
const MAIL: usize = 800;

/// Trouble with the audit itself: a short title, and the consequences.
#[derive(Debug, Serialize)]
pub(super) struct Notice {
    title: &'static str,
    text: String,
}

/// The sources that cannot be read.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outages {
    title: String,
    sources: Vec<Outage>,
    /// How many more there are, which are not described.
    more: Option<String>,
}

#[derive(Debug, Serialize)]
struct Outage {
    source: String,
    link: String,
    sessions: String,
    since: When,
    /// When a poll could last read it.
    last_good: Option<When>,
    reason: String,
    /// Until when the first mail waits.
    mail: Option<String>,
}

/// Why the page may not be true. `late`: how many sessions have an overdue check.
pub(super) fn notices(plans: &Plans, present: &Present, late: usize, now: DateTime<Utc>) -> Vec<Notice> {
    let mut notices = Vec::new();
    if present.ticking() == Some(false) {
        let text = "The scheduler has stopped, so this page shows an old state. Read the log for the cause, and restart Driftwise.";
        notices.push(Notice { title: "Nothing is being checked", text: text.to_owned() });
    }
    if !present.store_works() {
        let failed = present.unrecorded.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = match failed.as_str() {
            "" => "Changes cannot be recorded or mailed until this works again. The log says why.".to_owned(),
            failed => {
                format!("The last check of {failed} was not recorded and will be repeated. The log says why.")
            }
        };
        notices.push(Notice { title: "Driftwise cannot write to its store", text });
    }
    if let Some(refused) = &present.refused_reload {
        let at = times::at_second(refused.at, chrono_tz::UTC);
        let text = format!("It was read on {at}. The previous one stays in force. The log lists every problem.");
        notices.push(Notice { title: "The new configuration was refused", text });
    }
    if let Some(delivery) = &present.delivery {
        let sentences = DeliveryView(delivery).sentences(now, chrono_tz::UTC).into_iter();
        let of_mail = |text: String| Notice { title: "Mail does not arrive", text: cut(&text, MAIL) };
        notices.extend(sentences.map(of_mail));
    }
    let changed = plans
        .values()
        .filter_map(|plan| SourceView::of(&plan.name, present.state(&plan.name)?).change(plan.contacts.zone));
    notices.extend(
        changed.take(NAMED).map(|text| Notice { title: "A source has changed as a whole", text: cut(&text, REASON) }),
    );
    if late > 0 {
        let text = format!("The last check of {} is {}.", count(late, "session"), Staleness::EITHER);
        notices.push(Notice { title: "Checks are overdue", text });
    }
    notices
}

pub(super) fn outages(plans: &Plans, present: &Present, now: DateTime<Utc>) -> Option<Outages> {
    let known = plans.values().filter_map(|plan| Some((plan, present.state(&plan.name)?)));
    let mut down = known.filter_map(|(plan, state)| outage(plan, state, now)).collect::<Vec<_>>();
    if down.is_empty() {
        return None;
    }
    let title = match down.len() {
        1 => "A source cannot be read".to_owned(),
        down => format!("{} sources cannot be read", number(down)),
    };
    let more = down.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| count(more, "more source"));
    down.truncate(NAMED);
    Some(Outages { title, sources: down, more })
}

fn outage(plan: &SourcePlan, state: &SourceState, now: DateTime<Utc>) -> Option<Outage> {
    let view = SourceView::of(&plan.name, state);
    let incident = view.unreachable?;
    let zone = plan.contacts.zone;
    Some(Outage {
        source: plan.name.to_string(),
        link: Filter::of_source(&plan.name),
        sessions: count(plan.sessions.len(), "session"),
        since: When::to_the_second(incident.window.first_bad, zone).with_age(now),
        last_good: state.record.last_success.map(|at| When::to_the_second(at, zone)),
        reason: capital(&cut(&incident.facts.reason, REASON)),
        mail: IncidentView(incident).grace_period(&plan.alerts, &view, now, zone).map(|mail| capital(&mail)),
    })
}
