//! Asking what the configuration names, once, for a person: each source, and the mail server.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::adapters::{self, Sources};
use crate::config::Config;
use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::snapshot::Snapshot;

/// One poll of `source`, read into sessions; the inner error says why it could not be read.
pub async fn snapshot(config: &Config, source: &Name, now: DateTime<Utc>) -> anyhow::Result<Result<Snapshot, String>> {
    Ok(poll(config, &adapters::sources_of(config, |name| name == source)?, source, now).await)
}

async fn poll(config: &Config, adapters: &Sources, source: &Name, now: DateTime<Utc>) -> Result<Snapshot, String> {
    let (Some(adapter), Some(plan)) = (adapters.get(source), config.plans.get(source)) else {
        return Err(String::from("it is not configured"));
    };
    let answer = adapter.fetch(now).await.map_err(|e| e.to_string())?;
    Snapshot::read(&answer, &plan.mapping, now).map_err(|e| e.to_string())
}

/// One thing that was asked, and its answer in words.
pub struct Asked {
    pub what: String,
    pub outcome: Outcome,
}

/// How asking one thing ended.
pub enum Outcome {
    Fine(String),
    /// The source was read, and audited sessions are not in it.
    Absent(String),
    /// Why it could not be asked.
    Failed(String),
}

/// Asks every source for its sessions and the mail server for a sign-in. Nothing is sent.
pub async fn ask_all(config: &Config, now: DateTime<Utc>) -> anyhow::Result<Vec<Asked>> {
    let adapters = adapters::sources(config)?;
    let mut asked = Vec::new();
    for plan in config.plans.values() {
        let outcome = match poll(config, &adapters, &plan.name, now).await {
            Ok(snapshot) => returned(plan, &snapshot),
            Err(reason) => Outcome::Failed(reason),
        };
        asked.push(Asked { what: format!("source {}", plan.name), outcome });
    }
    if let Some(email) = &config.email {
        let outcome = adapters::email(config, email)?.probe().await;
        let outcome = match outcome {
            Ok(()) => Outcome::Fine(String::from("ready to take mail")),
            Err(e) => Outcome::Failed(e.reason),
        };
        asked.push(Asked { what: String::from("mail"), outcome });
    }
    Ok(asked)
}

/// Which sessions came, and which of those that are audited did not.
fn returned(plan: &SourcePlan, snapshot: &Snapshot) -> Outcome {
    let ids = snapshot.ids().collect::<BTreeSet<_>>();
    let missing = plan.sessions.keys().filter(|id| !ids.contains(id)).map(ToString::to_string).collect::<Vec<_>>();
    let returned = format!("returned {} session{}", ids.len(), if ids.len() == 1 { "" } else { "s" });
    match (missing.as_slice(), plan.sessions.len()) {
        ([], 0) => Outcome::Fine(format!("{returned}, of which none is audited")),
        ([], 1) => Outcome::Fine(format!("{returned}, the audited one among them")),
        ([], audited) => Outcome::Fine(format!("{returned}, all {audited} audited ones among them")),
        (missing, _) => Outcome::Absent(format!("{returned}, but not the audited {}", missing.join(", "))),
    }
}
