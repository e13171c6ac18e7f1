//! Asking what the configuration names, once, for a person: each source, and the mail server.

use chrono::{DateTime, Utc};

use super::adapters;
use crate::config::Config;
use crate::domain::name::Name;
use crate::domain::observation::Sighting;

/// One look at `source`, read into sessions; the inner error says why it could not be read.
pub async fn sight(config: &Config, source: &Name, now: DateTime<Utc>) -> anyhow::Result<Result<Sighting, String>> {
    let adapters = adapters::sources(config)?;
    let (Some(adapter), Some(plan)) = (adapters.get(source), config.plans.get(source)) else {
        return Ok(Err(String::from("it is not configured")));
    };
    Ok(match adapter.fetch(now).await {
        Ok(answer) => Sighting::read(&answer, &plan.mapping, now).map_err(|e| e.to_string()),
        Err(e) => Err(e.reason),
    })
}

/// What asking one thing came to: its name, and what it said or why it could not be asked.
pub struct Asked {
    pub what: String,
    pub outcome: Result<String, String>,
}

/// Asks every source for its sessions and the mail server for a sign-in. Nothing is sent.
pub async fn ask_all(config: &Config, now: DateTime<Utc>) -> anyhow::Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for plan in config.plans.values() {
        let outcome = sight(config, &plan.name, now).await?.map(|sighting| {
            let ids = sighting.ids().collect::<std::collections::BTreeSet<_>>();
            let missing =
                plan.sessions.keys().filter(|id| !ids.contains(id)).map(ToString::to_string).collect::<Vec<_>>();
            let returned = ids.len();
            match missing.as_slice() {
                [] => format!("returned {returned} sessions, all {} audited ones among them", plan.sessions.len()),
                missing => format!("returned {returned} sessions, but not the audited {}", missing.join(", ")),
            }
        });
        asked.push(Asked { what: format!("source {}", plan.name), outcome });
    }
    if let Some(email) = &config.email {
        let outcome = adapters::email(email)?.probe().await;
        let outcome = outcome.map(|()| String::from("ready to take mail")).map_err(|e| e.reason);
        asked.push(Asked { what: String::from("mail"), outcome });
    }
    Ok(asked)
}
