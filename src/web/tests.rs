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
use crate::domain::delivery::{DeliveryState, LostNotifications, UndeliverableAddress};
use crate::domain::event::EventKind;
use crate::domain::incident::IncidentKey;
use crate::domain::policy::Severity;
use crate::domain::setting::SettingKey;
use crate::domain::world::{name, start};
use crate::metrics::stage::{NOTIFIED, Says, Stage, troubled};

/// A history of one drift, or one that cannot be read.
#[derive(Default)]
struct OneDrift {
    broken: AtomicBool,
}

impl History for OneDrift {
    fn recent<'a>(&'a self, key: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Event>, String>> {
        Box::pin(async move {
            if self.broken.load(Ordering::Relaxed) {
                return Err("the file is gone".to_owned());
            }
            let setting = SettingKey::new("export");
            let subject =
                IncidentKey::Drift { session: key.id.clone(), rule: name("export-off"), setting: setting.clone() };
            let opened = EventKind::Opened {
                incident: Uuid::nil(),
                key: subject,
                severity: Severity::Critical,
                expected: "unticked".to_owned(),
                found: "ticked".to_owned(),
                reason: String::new(),
            };
            let moved = EventKind::SettingChanged {
                setting: SettingKey::new("notification_email"),
                before: Some(NOTIFIED.to_owned()),
                after: Some("secret-stranger@elsewhere.example".to_owned()),
            };
            let changed = EventKind::SettingChanged { setting, before: Some("unticked".to_owned()), after: None };
            let at = start() + TimeDelta::minutes(5);
            let event = |what| Event { at, session: Some(key.id.clone()), what };
            Ok([opened, changed, moved].map(event).into_iter().take(limit).collect())
        })
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

/// A mailbox that refuses mail.
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

/// What a reader sees, without the stylesheet and the tags.
fn words(html: &str) -> String {
    let body = html.split_once("<main>").map_or(html, |(_, body)| body);
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

#[tokio::test]
async fn the_status_page_shows_what_is_wrong_first() {
    let served = Served::new(troubled().published()).await;
    let (status, html) = served.text("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!html.contains("secret-") && !html.contains(NOTIFIED), "an address is shown");
    insta::assert_snapshot!(words(&html));
}

#[tokio::test]
async fn the_page_of_a_drifted_session_tells_everything() {
    let served = Served::new(troubled().published()).await;
    let (status, html) = served.text("/sessions/acme-erp/4").await;
    assert_eq!(status, StatusCode::OK);
    for hidden in ["secret-", NOTIFIED, "it@acme"] {
        assert!(!html.contains(hidden), "{hidden} is shown");
    }
    insta::assert_snapshot!(words(&html));
}

#[tokio::test]
async fn a_drift_that_stops_orders_says_until_when_they_can_be_recovered() {
    let stage = Stage::new(&[("acme-erp", &["1"])]);
    let published = stage.answers("acme-erp", &[("1", "one", "0", "Every hour", "1")]).published();
    let served = Served::new(published).await;
    let (_, html) = served.text("/sessions/acme-erp/1").await;
    let says = words(&html);
    assert!(says.contains("at the latest before Mon 30 Nov 2026 09:00 GMT"), "{says}");
    assert!(says.contains("not known; already so at the first check, Mon 23 Nov 2026 09:00 GMT"), "{says}");
    assert!(says.contains("E-Commerce &gt; E-Commerce Sessions"), "the place where the rule gives no fix\n{says}");
}

#[tokio::test]
async fn a_rule_that_nobody_has_checked_is_never_shown_as_fulfilled() {
    let says: [Says<'_>; 1] = [("1", "one", "0", "5", "1")];
    let polled_once = || Stage::new(&[("acme-erp", &["1"])]).answers("acme-erp", &says).minutes_later(5);
    let asks = |stage: Stage| async move {
        let (_, html) = Served::new(stage.published()).await.text("/sessions/acme-erp/1").await;
        let table = html.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap().to_owned();
        (words(&table), table.matches("class=\"status good\"").count())
    };
    // After a start with another configuration: before the first poll, and while the source cannot be read.
    for stage in
        [polled_once().restarted("brand_new"), polled_once().restarted("brand_new").unreachable("acme-erp", "x")]
    {
        let (table, good) = asks(stage).await;
        assert!(table.contains("not returned\nticked one-more\nNot checked yet"), "{table}");
        assert!(table.contains("unticked export-off\nAs it should be when last seen"), "{table}");
        assert_eq!(good, 0, "a green light from an auditor that could not see: {table}");
    }
    // What was last seen is no drift before a poll has found one.
    let (table, good) = asks(polled_once().restarted("export")).await;
    assert!(table.contains("ticked one-more\nNot checked yet") && good == 0, "{table}");
    let (table, good) = asks(polled_once().restarted("brand_new").answers("acme-erp", &says)).await;
    assert!(table.contains("ticked one-more\nCould not be checked the source did not return it"), "{table}");
    assert!(good > 4 && !table.contains("last seen"), "{table}");
}

#[tokio::test]
async fn sessions_that_cannot_be_seen_say_why() {
    let served = Served::new(troubled().published()).await;
    for (path, says) in [
        ("/sessions/acme-erp/9", "The source returned other sessions, but no row for this one"),
        ("/sessions/acme-erp/9", "as it should be when last seen"),
        ("/sessions/acme-erp/7", "now and then"),
        ("/sessions/erp-x/1", "It did not answer within 60 seconds"),
        ("/sessions/erp-x/1", "not seen so far"),
    ] {
        let (status, html) = served.text(path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(words(&html).contains(says), "{path}: {says}\n{}", words(&html));
    }
}

#[tokio::test]
async fn the_headline_counts_in_words() {
    let fine: [Says<'_>; 2] = [("1", "one", "0", "5", "1"), ("2", "two", "0", "5", "1")];
    let both = || Stage::new(&[("acme-erp", &["1", "2"])]);
    for (stage, headline) in [
        (Stage::new(&[]), "No sessions are configured yet"),
        (both(), "No session has been checked yet"),
        (both().answers("acme-erp", &fine), "All 2 sessions are as they should be"),
        (Stage::new(&[("acme-erp", &["1"])]).answers("acme-erp", &fine), "The session is as it should be"),
        (
            Stage::new(&[("acme-erp", &["1"]), ("erp-x", &["1"])]).answers("acme-erp", &fine),
            "1 of 2 sessions is as it should be; the other has not been checked yet",
        ),
        (both().unreachable("acme-erp", "refused"), "2 of 2 sessions could not be checked"),
        (both().answers("acme-erp", &fine[..1]), "1 of 2 sessions is not as it should be"),
        (troubled(), "2 of 15 sessions are not as they should be, and 2 could not be checked"),
    ] {
        let served = Served::new(stage.published()).await;
        let (_, html) = served.text("/").await;
        assert!(html.contains(&format!(">{headline}</h1>")), "{headline}\n{}", words(&html));
    }
}

/// The page without the one script that it may have.
fn without_own_script(html: &str) -> String {
    html.replacen(&format!("<script>{}</script>", include_str!("templates/refresh.js")), "", 1)
}

#[tokio::test]
async fn what_comes_from_outside_is_harmless_on_every_page() {
    let evil = "<script>alert(1)</script>\u{202E}\"' onload=x";
    let id = "a/b <i>&\"?#%2F";
    let published = Stage::new(&[("acme-erp", &[id, "2"])])
        .answers("acme-erp", &[(id, evil, evil, "javascript:alert(1)", "1"), ("2", "two", "0", "5", "1")])
        .minutes_later(5)
        .unreachable("acme-erp", "<img src=x onerror=alert(1)>")
        .published();
    let served = Served::new(published).await;
    let (_, html) = served.text("/?q=%3Cscript%3E").await;
    let html = without_own_script(&html);
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
    let (_, html) = served.text("/").await;
    let html_links = html.replace("&#x2f;", "/");
    let link = html_links.split("href=\"").find(|part| part.starts_with("/sessions/acme-erp/a")).unwrap();
    let link = link.split('"').next().unwrap();
    let (status, page) = served.text(link).await;
    assert_eq!(status, StatusCode::OK, "{link}");
    for html in [without_own_script(&html), without_own_script(&page)] {
        for bad in ["<script", "<img", "<i>", "<b>green", "\u{202E}", "href=\"javascript"] {
            assert!(!html.contains(bad), "{bad}\n{html}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
    }
}

#[tokio::test]
async fn every_session_has_a_link_that_leads_to_it_whatever_its_id() {
    let ids = ["a/../b", "../x", "a//b", "/a/", "./.", "a%2Fb", "a?b#c", "a&b=c;d", "a+b c", "@me", "é"];
    let published = Stage::new(&[("acme-erp", &ids)]).published();
    let served = Served::new(published).await;
    let (_, html) = served.text("/").await;
    let html = html.replace("&#x2f;", "/");
    let links = html.split("<a href=\"/sessions/").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links = links.collect::<Vec<_>>();
    assert_eq!(links.len(), ids.len());
    let mut titles = std::collections::BTreeSet::new();
    for link in links {
        // As a browser does, the client resolves what looks like a step up.
        let (status, page) = served.text(&format!("/sessions/{link}")).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        titles.insert(page.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap().to_owned());
    }
    assert_eq!(titles.len(), ids.len(), "{titles:?}");
}

#[tokio::test]
async fn pages_tell_the_browser_that_they_need_nothing_else() {
    let served = Served::new(troubled().published()).await;
    for path in ["/", "/sessions/acme-erp/4", "/nowhere", "/metrics"] {
        let response = served.ask(Method::GET, path).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
    }
    let (_, html) = served.text("/").await;
    let style = html.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let policy = served.ask(Method::GET, "/").await.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains(&format!("'sha256-{hash}'")), "the stylesheet is the one that is allowed");
    let script = html.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>")).unwrap().0;
    let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
    assert!(policy.contains(&format!("script-src 'sha256-{hash}'")), "the script is the one that is allowed");
    for outside in ["http://", "https://", "src=", "style=\"", "http-equiv", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let published = troubled().published();
    let served = Served::new(Arc::clone(&published)).await;
    assert_eq!(served.text("/healthz").await, (StatusCode::OK, "ok".to_owned()));
    assert_eq!(served.text("/readyz").await, (StatusCode::OK, "ready".to_owned()));
    published.write(|present| present.store_sound = false);
    let (status, text) = served.text("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("store") && !text.contains("schedules"), "{text}");
    published.write(|present| present.ticked = None);
    let (_, text) = served.text("/readyz").await;
    assert!(text.contains("store") && text.contains("schedules: they are not running"), "{text}");
    let ticked = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
    published.write(|present| (present.store_sound, present.ticked) = (true, ticked(11)));
    let (status, text) = served.text("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("schedules: no tick for ten seconds") && !text.contains("store"), "{text}");
    published.write(|present| present.ticked = ticked(5));
    assert_eq!(served.text("/readyz").await.0, StatusCode::OK);
    published.write(|present| present.delivery = Some(troubled_mail()));
    let says = "ready\nMail to o…@acme.example is refused since Mon 23 Nov 2026 09:00 UTC; 2 notifications were not \
                delivered: refused.\n";
    assert_eq!(served.text("/readyz").await, (StatusCode::OK, says.to_owned()), "the process itself is ready");
    let (_, html) = served.text("/").await;
    assert!(words(&html).contains("Mail to o…@acme.example is refused since"), "{html}");
    assert_eq!(served.text("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_text_of_both_kinds() {
    let served = Served::new(troubled().published()).await;
    let response = served.ask(Method::GET, "/metrics").await;
    assert_eq!(response.headers()["content-type"], crate::metrics::CONTENT_TYPE);
    let text = response.text().await.unwrap();
    assert!(text.contains("driftwise_build_info{") && text.contains("driftwise_session_info{"), "{text}");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_words() {
    let served = Served::new(troubled().published()).await;
    for (path, says) in [
        ("/nowhere", "There is no such page"),
        ("/sessions/acme-erp/999", "There is no such session"),
        ("/sessions/nobody/1", "There is no such session"),
        ("/sessions/acme-erp/%FF", "There is no such page"),
        ("/sessions/a%20b/%00", "There is no such session"),
    ] {
        let (status, html) = served.text(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(words(&html).contains(says), "{path}\n{html}");
    }
    let answer = served.ask(Method::GET, "/api/v1/sessions").await;
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
    assert_eq!(answer.text().await.unwrap(), r#"{"error":"not available yet"}"#);
    assert_eq!(served.ask(Method::POST, "/api/v1/audits").await.status(), StatusCode::NOT_IMPLEMENTED);
    assert_eq!(served.ask(Method::POST, "/-/reload").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(served.ask(Method::POST, "/-/notifications/1/resend").await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_resend_is_answered_by_what_came_of_it_and_refused_to_a_web_page() {
    let served = Served::with(troubled().published(), Arc::new(OneDrift::default()), machines).await;
    for (number, status, says) in [
        ("1", 200, "again as 2\n"),
        ("2", 409, "notification 2 is pending\n"),
        ("3", 500, "disk full\n"),
        ("9", 404, "there is none\n"),
        ("one", 404, "\"one\" is not the number of a notification\n"),
    ] {
        let path = format!("/-/notifications/{number}/resend");
        let answer = served.ask(Method::POST, &path).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (status, says), "{number}");
        assert_eq!(served.ask(Method::GET, &path).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let url = format!("{}/-/notifications/1/resend", served.base);
    let page = served.client.post(url).header("Origin", "https://evil.example").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let served = Served::new(troubled().published()).await;
    for path in ["/", "/sessions/acme-erp/4", "/metrics", "/healthz", "/readyz"] {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let answer = served.ask(method, path).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(answer.headers()["allow"], "GET,HEAD", "{path}");
        }
        assert_eq!(served.ask(Method::HEAD, path).await.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(served.ask(Method::GET, "/-/reload").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_probes_address_serves_nothing_else() {
    let served = Served::with(troubled().published(), Arc::new(OneDrift::default()), machines).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(served.text(path).await.0, StatusCode::OK, "{path}");
    }
    for path in ["/", "/sessions/acme-erp/4", "/api/v1/sessions"] {
        assert_eq!(served.text(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_read_does_not_hide_the_rest() {
    let history = OneDrift { broken: AtomicBool::new(true) };
    let served = Served::with(troubled().published(), Arc::new(history), pages).await;
    let (status, html) = served.text("/sessions/acme-erp/4").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("The history could not be read") && html.contains("What is wrong"));
    assert!(!html.contains("the file is gone"), "the reason is for the log");
}

#[tokio::test]
async fn ten_thousand_sessions_come_in_pages_and_can_be_searched() {
    let ids = (1..=10_000).map(|id: u32| id.to_string()).collect::<Vec<_>>();
    let ids = ids.iter().map(String::as_str).collect::<Vec<_>>();
    let says = |id| (id, "shop.example", if id == "7777" { "1" } else { "0" }, "5", "1");
    let says = ids.iter().map(|id| says(*id)).collect::<Vec<_>>();
    let served = Served::new(Stage::new(&[("acme-erp", &ids)]).answers("acme-erp", &says).published()).await;
    let (_, html) = served.text("/").await;
    assert!(html.len() < 600_000, "{} bytes", html.len());
    assert!(words(&html).contains("1 of 10,000 sessions is not as it should be"));
    assert!(words(&html).contains("1 to 500 of 10,000 sessions, worst first."));
    assert!(html.find("acme-erp&#x2f;7777").unwrap() < html.find("acme-erp&#x2f;2<").unwrap(), "worst first");
    let (_, html) = served.text("/?page=20").await;
    assert!(words(&html).contains("9,501 to 10,000") && !html.contains("Next page"));
    let (_, html) = served.text("/?page=999999&q=acme-erp/777").await;
    assert!(words(&html).contains("11 sessions found."), "{}", words(&html));
    assert_eq!(served.text("/?page=-1&q=%F0&x=1").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_stops() {
    let served = Served::new(troubled().published()).await;
    assert_eq!(served.text("/healthz").await.0, StatusCode::OK);
    served.shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), served.serving).await;
    stopped.expect("it stops").unwrap();
}

#[tokio::test]
async fn another_sites_name_for_this_address_opens_nothing() {
    let served = Served::new(troubled().published()).await;
    let ask = async |path: &str, host: &str| {
        let request = served.client.get(format!("{}{path}", served.base)).header("Host", host);
        let response = request.send().await.unwrap();
        let framed = response.headers().contains_key("content-security-policy");
        (response.status().as_u16(), framed, response.text().await.unwrap())
    };
    for path in ["/", "/sessions/acme-erp/4", "/metrics", "/healthz", "/readyz", "/nothing", "/-/reload"] {
        let (status, framed, text) = ask(path, "evil.example:9464").await;
        assert_eq!((status, framed), (421, true), "{path}");
        assert!(text.contains("localhost, 127.0.0.0/8, [::1], drift.example"), "{text}");
        assert!(text.contains("server.public_url") && !text.contains("acme") && !text.contains("evil"), "{text}");
        assert!(ask(path, "drift.example").await.0 != 421, "{path}");
    }
    let probes = Served::with(troubled().published(), Arc::new(OneDrift::default()), machines).await;
    let request = probes.client.get(format!("{}/readyz", probes.base)).header("Host", "10-0-0-7.pods.example");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}
