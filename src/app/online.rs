//! One poll of each source and one sign-in at the mail server, for `validate --online`, `sessions` and `doctor`.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::adapters::{self, Waits};
use super::credentials::Credentials;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::credential::Credential;
use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::snapshot::Snapshot;
use crate::engine::audit::Sources;
use crate::notify::Channel;
use crate::view::words::count;

/// Polls `source` once and divides the answer into sessions; the inner error is the reason of a failed poll.
pub async fn snapshot(config: &Config, source: &Name, now: DateTime<Utc>) -> anyhow::Result<Result<Snapshot, String>> {
    Ok(poll(config, &adapters::sources_of(config, &mut Waits::default(), |name| name == source)?, source, now).await)
}

async fn poll(config: &Config, adapters: &Sources, source: &Name, now: DateTime<Utc>) -> Result<Snapshot, String> {
    let (Some(adapter), Some(plan)) = (adapters.get(source), config.plans.get(source)) else {
        return Err(String::from("it is not configured"));
    };
    let raw = adapter.fetch(now).await.map_err(|e| e.to_string())?;
    Snapshot::read(&raw, &plan.mapping, now).map_err(|e| e.to_string())
}

/// The result for one source or mail server: its name, and a description or the reason of the failure.
pub struct ProbeResult {
    pub what: String,
    pub outcome: ProbeOutcome,
}

/// How the probe of one source or mail server ended.
pub enum ProbeOutcome {
    Ready(String),
    /// The source was read, and does not have all audited sessions.
    Absent(String),
    /// The reason of the failure.
    Failed(String),
}

/// Every probe, and the credentials with the ends that are known after them.
pub struct Probed {
    pub results: Vec<ProbeResult>,
    pub credentials: Vec<Credential>,
}

/// Polls every source and signs in at the mail server. Sends no mail.
pub async fn ask_all(config: &Config, now: DateTime<Utc>) -> anyhow::Result<Probed> {
    let mut waits = Waits::default();
    let adapters = adapters::sources(config, &mut waits)?;
    let mut results = Vec::new();
    for plan in config.plans.values() {
        let outcome = match poll(config, &adapters, &plan.name, now).await {
            Ok(snapshot) => returned(plan, &snapshot),
            Err(reason) => ProbeOutcome::Failed(reason),
        };
        results.push(ProbeResult { what: format!("source {}", plan.name), outcome });
    }
    let mail = config.email.as_ref().map(|email| adapters::email(config, email, &mut waits)).transpose()?;
    if let Some(mail) = &mail {
        let outcome = match mail.probe().await {
            Ok(()) => ProbeOutcome::Ready(String::from("ready to take mail")),
            Err(e) => ProbeOutcome::Failed(e.reason),
        };
        results.push(ProbeResult { what: String::from("mail"), outcome });
    }
    let channel = mail.as_ref().map(|mail| mail as &dyn Channel);
    let credentials = Credentials::of(config).known(&adapters, channel);
    Ok(Probed { results, credentials })
}

/// How far the clock of each source that gives its time is ahead of this machine's.
pub async fn clocks(config: &Config, clock: &dyn Clock) -> anyhow::Result<Vec<(Name, TimeDelta)>> {
    let mut found = Vec::new();
    for (name, source) in adapters::sources(config, &mut Waits::default())? {
        let before = clock.now();
        if let Some(time) = source.time().await {
            found.push((name, lead(time, before, clock.now())));
        }
    }
    Ok(found)
}

/// By how much `time`, which has whole seconds, is ahead of a clock that showed `before` and `after` around it.
fn lead(time: DateTime<Utc>, before: DateTime<Utc>, after: DateTime<Utc>) -> TimeDelta {
    let latest = time + TimeDelta::seconds(1);
    if time > after {
        time - after
    } else if latest < before {
        latest - before
    } else {
        TimeDelta::zero()
    }
}

/// The number of returned sessions, and the audited sessions that are missing.
fn returned(plan: &SourcePlan, snapshot: &Snapshot) -> ProbeOutcome {
    let ids = snapshot.ids().collect::<BTreeSet<_>>();
    let missing = plan.sessions.keys().filter(|id| !ids.contains(id)).map(ToString::to_string).collect::<Vec<_>>();
    let rows = snapshot.unidentified().map(|rows| format!(" and {rows}")).unwrap_or_default();
    let returned = format!("returned {}{rows}", count(ids.len(), "session"));
    match (missing.as_slice(), plan.sessions.len()) {
        ([], 0) => ProbeOutcome::Ready(format!("{returned}, none of which is audited")),
        ([], 1) => ProbeOutcome::Ready(format!("{returned}, including the audited one")),
        ([], audited) => ProbeOutcome::Ready(format!("{returned}, including all {audited} audited ones")),
        ([one], _) => ProbeOutcome::Absent(format!("{returned}; the audited session {one} is missing")),
        (missing, _) => {
            ProbeOutcome::Absent(format!("{returned}; the audited sessions {} are missing", missing.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind_only_beyond_the_time_that_the_request_took() {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        // The time, before, after, the lead.
        for (time, before, after, expected) in [
            (10_000, 10_500, 10_900, 0),
            (10_000, 9_000, 12_000, 0),
            (10_000, 11_000, 11_500, 0),
            (10_000, 12_000, 12_500, -1_000),
            (70_000, 10_000, 10_500, 59_500),
        ] {
            assert_eq!(
                lead(at(time), at(before), at(after)),
                TimeDelta::milliseconds(expected),
                "{time} {before} {after}"
            );
        }
    }
}
