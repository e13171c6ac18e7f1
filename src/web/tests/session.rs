//! The page of one session.

use super::*;

#[tokio::test]
async fn the_page_of_a_drifted_session_has_findings_settings_schedule_and_history() {
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
    let stage = PolledState::new(&[("acme-erp", &["1"])]);
    let published = stage.returns("acme-erp", &[("1", "one", "0", "Every hour", "1")]).published();
    let served = Served::new(published).await;
    let (_, html) = served.text("/sessions/acme-erp/1").await;
    let says = words(&html);
    assert!(says.contains("before Mon 30 Nov 2026 09:00 GMT at the latest"), "{says}");
    assert!(says.contains("not known; already so at the first check, Mon 23 Nov 2026 09:00 GMT"), "{says}");
    assert!(says.contains("E-Commerce &gt; E-Commerce Sessions"), "the place where the rule gives no fix\n{says}");
}

#[tokio::test]
async fn a_rule_that_was_never_checked_is_never_shown_as_compliant() {
    let says: [SessionValues<'_>; 1] = [("1", "one", "0", "5", "1")];
    let polled_once = || PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &says).minutes_later(5);
    let asks = |stage: PolledState| async move {
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
        assert!(table.contains("other-options-unchanged\nAs it should be when last seen"), "{table}");
        assert_eq!(good, 0, "a green light from an auditor that could not see: {table}");
    }
    // A wrong value from before the start is not a drift before a poll has found one.
    let (table, good) = asks(polled_once().restarted("export")).await;
    assert!(table.contains("ticked one-more\nNot checked yet") && good == 0, "{table}");
    let (table, good) = asks(polled_once().restarted("brand_new").returns("acme-erp", &says)).await;
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
async fn an_incident_says_until_when_its_grace_period_holds_the_mail_back() {
    let stage = || PolledState::new(&[("acme-erp", &["1"])]);
    let down = |stage: PolledState| stage.unreachable("acme-erp", "refused");
    let unread = || stage().returns("acme-erp", &[("1", "one", "0", "now and then", "1")]);
    let an_hour_ago = || down(stage().minutes_later(-55));
    let hour = Some("lasts until Mon 23 Nov 2026 10:00 GMT");
    for (stage, waits) in [
        (down(stage()), hour),
        (unread(), hour),
        // A mail about the outage covers the setting.
        (down(unread()), hour),
        (an_hour_ago(), Some("ends when another poll has failed")),
        (down(an_hour_ago().minutes_later(55)), None),
    ] {
        let served = Served::new(stage.published()).await;
        for page in ["/", "/sessions/acme-erp/1"] {
            let says = words(&served.text(page).await.1);
            let outage = page != "/" || says.contains("A source cannot be read");
            let waits = waits.filter(|_| outage);
            let all = says.matches("No mail yet").count();
            assert_eq!(all, usize::from(waits.is_some()), "{page}: {says}");
            let line = waits.map(|waits| format!("No mail yet: the grace period (unreachable_after) {waits}"));
            assert!(line.is_none_or(|line| says.contains(&line)), "{page}: {says}");
        }
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
