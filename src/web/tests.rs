//! The pages and probes through real HTTP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::*;
use crate::clock::ManualClock;
use crate::domain::alerting::SuppressionReason;
use crate::domain::delivery::{DeliveryState, LostNotifications, UndeliverableAddress};
use crate::domain::event::{Event, EventKind};
use crate::domain::incident::IncidentKey;
use crate::domain::notification::{AboutKey, Because, Reason, Role};
use crate::domain::policy::Severity;
use crate::domain::session::SessionKey;
use crate::domain::setting::SettingKey;
use crate::domain::world::{name, start};
use crate::metrics::polled_state::{NOTIFIED, PolledState, SessionValues, troubled};

mod filters;
mod outside;
mod overview;
mod requests;
mod session;

/// A history of one drift, or one that cannot be read.
#[derive(Default)]
struct OneDrift {
    broken: AtomicBool,
}

fn export_of(key: &SessionKey) -> IncidentKey {
    IncidentKey::Drift { session: key.id.clone(), rule: name("export-off"), setting: SettingKey::new("export") }
}

impl History for OneDrift {
    fn events<'a>(&'a self, key: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Event>, String>> {
        Box::pin(async move {
            if self.broken.load(Ordering::Relaxed) {
                return Err("the file is gone".to_owned());
            }
            let setting = SettingKey::new("export");
            let opened = EventKind::Opened {
                incident: Uuid::nil(),
                key: export_of(key),
                severity: Severity::Critical,
                expected: "unticked".to_owned(),
                found: "ticked".to_owned(),
                reason: String::new(),
            };
            let moved = EventKind::SettingChanged {
                setting: SettingKey::new("notification_email"),
                before: Some(NOTIFIED.to_owned()),
                after: Some("secret-other@elsewhere.example".to_owned()),
            };
            let changed = EventKind::SettingChanged { setting, before: Some("unticked".to_owned()), after: None };
            let at = start() + TimeDelta::minutes(5);
            let event = |what| Event { at, session: Some(key.id.clone()), what };
            Ok([opened, changed, moved].map(event).into_iter().take(limit).collect())
        })
    }

    fn notifications<'a>(&'a self, key: &'a SessionKey, _: usize) -> BoxFuture<'a, Result<Vec<Notified>, String>> {
        let mail = |seconds, delivery| Notified {
            at: start() + TimeDelta::minutes(5) + TimeDelta::seconds(seconds),
            to: NOTIFIED.to_owned(),
            subject: "acme-uk.myshopify.com: Export is ticked".to_owned(),
            number: 7,
            sessions: 1,
            delivery,
            reason: Reason {
                because: vec![Because {
                    id: Uuid::nil(),
                    about: AboutKey::Incident { source: key.source.clone(), key: export_of(key) },
                    change: "opened".to_owned(),
                    role: Role::Owner,
                    blind: false,
                }],
                ..Reason::default()
            },
        };
        let mails = vec![mail(-10, Delivery::Dead), mail(2, Delivery::Sent), mail(9, Delivery::Retrying)];
        Box::pin(std::future::ready(Ok(mails)))
    }

    fn suppressions<'a>(&'a self, key: &'a SessionKey, _: usize) -> BoxFuture<'a, Result<Vec<Suppressed>, String>> {
        let incident = IncidentKey::Unverifiable { session: key.id.clone() };
        let held = Suppressed { at: start(), key: incident, reason: SuppressionReason::SourceUnreachable };
        Box::pin(std::future::ready(Ok(vec![held])))
    }
}

/// The pages as they are served on loopback.
fn pages(web: Arc<Web>) -> Router {
    router(web, Hosts::of("127.0.0.1:9464".parse().unwrap(), Some("https://drift.example")), None)
}

/// The probes alone, with a reload that is refused.
fn machines(web: Arc<Web>) -> Router {
    probes(web, Commands { reload: Arc::new(Refuses), resend: Arc::new(Refuses) })
}

struct Refuses;

impl Reload for Refuses {
    fn reload(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(std::future::ready(Err("driftwise.yaml:3:1: no".to_owned())))
    }
}

impl Resend for Refuses {
    fn resend(&self, number: i64) -> BoxFuture<'_, Result<String, ResendError>> {
        let answer = match number {
            1 => Ok("again as 2".to_owned()),
            2 => Err(ResendError::Refused("notification 2 is pending".to_owned())),
            3 => Err(ResendError::Failed("disk full".to_owned())),
            _ => Err(ResendError::Unknown("there is none".to_owned())),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// An address that refuses mail.
fn troubled_mail() -> DeliveryState {
    let undeliverable = UndeliverableAddress {
        id: Uuid::nil(),
        address: crate::domain::world::address("old@acme.example"),
        since: start(),
        last_error: "refused".to_owned(),
        lost: LostNotifications { count: 2, ..LostNotifications::default() },
        accepted_at: None,
        notified: Vec::new(),
    };
    DeliveryState {
        channel: name("email"),
        retrying: 0,
        retrying_since: None,
        last_error: None,
        undeliverable: vec![undeliverable],
    }
}

/// A server on a free port, with a client.
struct Served {
    base: String,
    client: reqwest::Client,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn new(published: Arc<Published>) -> Self {
        Self::with(published, Arc::new(OneDrift::default()), pages).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test owns its server")]
    async fn with(published: Arc<Published>, history: Arc<dyn History>, routes: fn(Arc<Web>) -> Router) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = Arc::new(Metrics::new(&[name("acme-erp")], "email").unwrap());
        let web =
            Web::new(published, metrics, history, Arc::new(ManualClock::new(start() + TimeDelta::minutes(6)))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, routes(web), shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, client, shutdown, serving }
    }

    async fn ask(&self, method: Method, path: &str) -> reqwest::Response {
        self.client.request(method, format!("{}{path}", self.base)).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.ask(Method::GET, path).await;
        (response.status(), response.text().await.unwrap())
    }
}

/// The words that a reader sees, without the stylesheet and the tags.
fn words(html: &str) -> String {
    let body = html.split_once("<main id=\"main\" tabindex=\"-1\">").map_or(html, |(_, body)| body);
    let body = body.split_once("</main>").map_or(body, |(body, _)| body);
    let mut text = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
