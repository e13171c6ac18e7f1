//! Probes, metrics, methods and paths.

use super::*;

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
    assert!(text.contains("store") && text.contains("scheduler: not running"), "{text}");
    let ticked = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
    published.write(|present| (present.store_sound, present.ticked) = (true, ticked(11)));
    let (status, text) = served.text("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("scheduler: no tick for ten seconds") && !text.contains("store"), "{text}");
    published.write(|present| present.ticked = ticked(5));
    assert_eq!(served.text("/readyz").await.0, StatusCode::OK);
    published.write(|present| present.delivery = Some(troubled_mail()));
    let detail = "ready\nMail to o…@acme.example has been refused since Mon 23 Nov 2026 09:00 UTC; 2 notifications were not \
                  delivered: refused.\n";
    assert_eq!(served.text("/readyz").await, (StatusCode::OK, detail.to_owned()), "the process itself is ready");
    let (_, html) = served.text("/").await;
    assert!(words(&html).contains("Mail to o…@acme.example has been refused since"), "{html}");
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
async fn a_path_without_a_page_says_so() {
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
    for command in ["/-/reload", "/-/notifications/1/resend"] {
        assert_eq!(served.ask(Method::POST, command).await.status(), StatusCode::FORBIDDEN, "{command}");
    }
}

#[tokio::test]
async fn a_resend_has_a_status_for_each_outcome_and_is_refused_to_a_web_page() {
    let served = Served::with(troubled().published(), Arc::new(OneDrift::default()), machines).await;
    for (number, status, text) in [
        ("1", 200, "again as 2\n"),
        ("2", 409, "notification 2 is pending\n"),
        ("3", 500, "disk full\n"),
        ("9", 404, "there is none\n"),
        ("one", 404, "\"one\" is not the number of a notification\n"),
    ] {
        let path = format!("/-/notifications/{number}/resend");
        let response = served.ask(Method::POST, &path).await;
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (status, text), "{number}");
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
async fn a_server_that_is_asked_to_stop_stops() {
    let served = Served::new(troubled().published()).await;
    assert_eq!(served.text("/healthz").await.0, StatusCode::OK);
    served.shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), served.serving).await;
    stopped.expect("it stops").unwrap();
}
