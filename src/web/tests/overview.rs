//! The status page: its sentences, rows, pages and states.

use super::*;
use crate::domain::schedule::Schedule;
use crate::domain::state::SourceState;
use crate::engine::published::{Plans, Present, RefusedReload};

#[tokio::test]
async fn the_status_page_shows_what_is_wrong_first() {
    let served = Served::new(troubled().published()).await;
    let (status, html) = served.text("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!html.contains("secret-") && !html.contains(NOTIFIED), "an address is shown");
    insta::assert_snapshot!(words(&html));
}

#[tokio::test]
async fn the_headline_counts_in_words() {
    let fine: [SessionValues<'_>; 2] = [("1", "one", "0", "5", "1"), ("2", "two", "0", "5", "1")];
    let both = || PolledState::new(&[("acme-erp", &["1", "2"])]);
    for (stage, headline) in [
        (PolledState::new(&[]), "No sessions are configured yet"),
        (both(), "No session has been checked yet"),
        (both().returns("acme-erp", &fine), "All 2 sessions are as they should be"),
        (PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &fine), "The session is as it should be"),
        (
            PolledState::new(&[("acme-erp", &["1"]), ("erp-x", &["1"])]).returns("acme-erp", &fine),
            "1 of 2 sessions is as it should be; the other has not been checked yet",
        ),
        (both().unreachable("acme-erp", "refused"), "2 of 2 sessions could not be checked"),
        (both().returns("acme-erp", &fine[..1]), "1 of 2 sessions is not as it should be"),
        (troubled(), "2 of 15 sessions are not as they should be, and 2 could not be checked"),
    ] {
        let served = Served::new(stage.published()).await;
        let (_, html) = served.text("/").await;
        assert!(html.contains(&format!(">{headline}</h1>")), "{headline}\n{}", words(&html));
    }
}

#[tokio::test]
async fn ten_thousand_sessions_come_in_pages_and_can_be_searched() {
    let ids = (1..=10_000).map(|id: u32| id.to_string()).collect::<Vec<_>>();
    let ids = ids.iter().map(String::as_str).collect::<Vec<_>>();
    let says = |id| (id, "shop.example", if id == "7777" { "1" } else { "0" }, "5", "1");
    let says = ids.iter().map(|id| says(*id)).collect::<Vec<_>>();
    let served = Served::new(PolledState::new(&[("acme-erp", &ids)]).returns("acme-erp", &says).published()).await;
    let (_, html) = served.text("/").await;
    assert!(html.len() < 250_000, "{} bytes", html.len());
    assert!(words(&html).contains("1 of 10,000 sessions is not as it should be"));
    assert!(words(&html).contains("10,000 sessions, worst first: 1 to 200 on this page."));
    assert!(html.find("acme-erp&#x2f;7777").unwrap() < html.find("acme-erp&#x2f;2<").unwrap(), "worst first");
    let (_, html) = served.text("/?page=50").await;
    assert!(words(&html).contains("9,801 to 10,000") && !html.contains("Next page"));
    let (_, html) = served.text("/?page=999999&q=acme-erp/777").await;
    assert!(words(&html).contains("11 of 10,000 sessions, worst first."), "{}", words(&html));
}

#[tokio::test]
async fn trouble_with_a_whole_source_is_shown_once_above_the_sessions() {
    let fine: [SessionValues<'_>; 2] = [("1", "one", "0", "5", "1"), ("2", "two", "0", "5", "1")];
    let stage = PolledState::new(&[("acme-erp", &["1", "2"]), ("erp-x", &["1"])])
        .returns("acme-erp", &fine)
        .minutes_later(5)
        .unreachable("acme-erp", "it refused the connection")
        .unreachable("erp-x", "it refused the password");
    let (_, html) = Served::new(stage.published()).await.text("/").await;
    let text = words(&html);
    assert_eq!(text.matches("It refused the connection").count(), 1, "{text}");
    let (above, below) = text.split_once("3 sessions, worst first.").unwrap();
    assert!(above.contains("2 sources cannot be read\nacme-erp 2 sessions\nIt refused the connection"), "{above}");
    let since = "Since Mon 23 Nov 2026 09:05:00 GMT , 1 min ago.";
    assert!(above.contains(&format!("{since} Last good check Mon 23 Nov 2026 09:00:00 GMT .")), "{above}");
    assert!(above.contains(&format!("{since} It has never been read.")), "{above}");
    assert!(!below.contains("1 min ago"), "{below}");
}

#[tokio::test]
async fn ten_of_many_sources_that_cannot_be_read_are_described() {
    let names = (10..40).map(|at| format!("erp-{at}")).collect::<Vec<_>>();
    let sources = names.iter().map(|name| (name.as_str(), &["1"][..])).collect::<Vec<_>>();
    let stage = names.iter().fold(PolledState::new(&sources), |stage, name| stage.unreachable(name, "it is gone"));
    let (_, html) = Served::new(stage.published()).await.text("/").await;
    let text = words(&html);
    assert!(text.contains("30 sources cannot be read") && text.contains("and 20 more sources"), "{text}");
    assert_eq!(text.matches("It is gone").count(), 10);
}

/// Puts one part of the program into trouble.
type Break = fn(&mut Present);

#[tokio::test]
async fn trouble_with_the_audit_is_shown_above_the_sessions_and_is_never_green() {
    let fine: [SessionValues<'_>; 1] = [("1", "one", "0", "5", "1")];
    let published = || PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &fine).published();
    let healthy = Served::new(published()).await.text("/").await.1;
    assert!(healthy.contains("class=\"headline good\"") && !healthy.contains("class=\"notice\""), "{healthy}");
    let refused = RefusedReload { at: start(), problems: "secret-problem".to_owned() };
    let cases: [(Break, &str); 4] = [
        (|present| present.ticked = Instant::now().checked_sub(Duration::from_mins(1)), "Nothing is being checked."),
        (|present| present.store_sound = false, "Driftwise cannot write to its store. Changes cannot be recorded"),
        (
            |present| present.unrecorded = [name("acme-erp")].into(),
            "Driftwise cannot write to its store. The last check of acme-erp was not recorded",
        ),
        (|present| present.states.clear(), "No session has been checked yet"),
    ];
    for (break_it, says) in cases {
        let published = published();
        published.write(break_it);
        let (_, html) = Served::new(published).await.text("/").await;
        assert!(words(&html).contains(says), "{says}\n{}", words(&html));
        assert!(!html.contains("class=\"headline good\""), "{html}");
    }
    let published = published();
    published.write(|present| present.refused_reload = Some(refused));
    let (_, html) = Served::new(published).await.text("/").await;
    assert!(words(&html).contains("The new configuration was refused. It was read on Mon 23 Nov 2026 09:00:00 UTC."));
    assert!(!html.contains("secret-problem"));
}

#[tokio::test]
async fn a_check_that_is_overdue_is_marked_counted_and_found() {
    let fine: [SessionValues<'_>; 2] = [("1", "one", "0", "5", "1"), ("2", "two", "0", "5", "1")];
    let stage = PolledState::new(&[("acme-erp", &["1", "2"])]).minutes_later(-20).returns("acme-erp", &fine);
    let served = Served::new(stage.published()).await;
    for path in ["/", "/?status=overdue"] {
        let (_, html) = served.text(path).await;
        let text = words(&html);
        assert!(
            text.contains("Checks are overdue. The last check of 2 sessions is older than three periods"),
            "{text}"
        );
        assert_eq!(html.matches("class=\"late\"").count(), 2, "{path}");
        assert!(html.contains("class=\"headline unclear\""));
    }
    let (_, html) = served.text("/sessions/acme-erp/1").await;
    assert!(words(&html).contains("Check overdue. The last check was 26 min ago"), "{}", words(&html));
    let ahead = PolledState::new(&[("acme-erp", &["1", "2"])]).minutes_later(20).returns("acme-erp", &fine);
    let served = Served::new(ahead.published()).await;
    let (_, html) = served.text("/").await;
    assert_eq!(html.matches("<small class=\"late\">dated in the future</small>").count(), 2);
    let (_, html) = served.text("/sessions/acme-erp/1").await;
    let says = "Time of the check unknown. The last check is dated 14 min in the future";
    assert!(words(&html).contains(says), "{}", words(&html));
}

#[tokio::test]
async fn times_have_seconds_where_a_schedule_is_short_and_a_day_where_it_is_another_one() {
    let says: [SessionValues<'_>; 1] = [("1", "one", "1", "5", "1")];
    let published = PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &says).published();
    let with_schedule = |expression: &str| {
        let mut plans = Plans::clone(&published.plans());
        for session in plans.values_mut().flat_map(|plan| plan.sessions.values_mut()) {
            session.schedule = Schedule::parse(expression, session.zone(), start()).unwrap();
        }
        let states = published.read(|present| present.states.clone()).into_iter();
        let states = states.map(|(name, state)| (name, SourceState::clone(&state))).collect();
        Arc::new(Published::new(Arc::new(plans), states))
    };
    for (expression, since) in [("*/5 * * * *", "09:00 GMT"), ("*/10 * * * * *", "09:00:00 GMT")] {
        let (_, html) = Served::new(with_schedule(expression)).await.text("/").await;
        let time = format!("<time datetime=\"2026-11-23T09:00:00Z\">{since}</time><small>6 min ago or earlier</small>");
        assert!(html.contains(&time), "{expression}\n{html}");
    }
    let yesterday = PolledState::new(&[("acme-erp", &["1"])]).minutes_later(-24 * 60).returns("acme-erp", &says);
    let (_, html) = Served::new(yesterday.published()).await.text("/").await;
    assert!(words(&html).contains("Sun 22 Nov 2026 09:00 GMT 24 h ago or earlier"), "{}", words(&html));
}
