//! The filter of the status page, as its form sends it and as a hostile address does.

use super::*;

/// The addresses of the sessions on a page.
fn shown(html: &str) -> Vec<String> {
    let links = html.replace("&#x2f;", "/");
    let rows = links.split("<th scope=\"row\"><a href=\"/sessions/").skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
}

fn listed_as_unaudited(html: &str) -> usize {
    html.split_once("<ul class=\"unaudited\">").map_or(0, |(_, list)| list.matches("<li>").count())
}

#[tokio::test]
async fn each_choice_of_the_form_narrows_the_sessions_down() {
    let served = Served::new(troubled().published()).await;
    let all = shown(&served.text("/").await.1).len();
    assert_eq!(all, 15);
    for (query, expected) in [
        ("status=drifted", &["acme-erp/4"][..]),
        ("status=missing", &["acme-erp/9"]),
        ("status=unverifiable", &["acme-erp/7"]),
        ("status=unreachable", &["erp-x/1"]),
        ("status=attention", &["erp-x/1", "acme-erp/9", "acme-erp/4", "acme-erp/7"]),
        ("status=attention&severity=critical&source=acme-erp", &["acme-erp/9", "acme-erp/4", "acme-erp/7"]),
        ("severity=warning", &[]),
        ("source=erp-x", &["erp-x/1"]),
        ("customer=acme&q=4", &["acme-erp/4", "acme-erp/14"]),
        // Each word may match another text: name, ID, customer, setting, status.
        ("q=EXPORT+acme-uk", &["acme-erp/4"]),
        ("q=in+full+%20+acme", &["acme-erp/7"]),
        ("q=export+acme-fr", &[]),
        // No session has the value, so none is shown.
        ("status=fine", &[]),
        ("customer=nobody", &[]),
    ] {
        let (status, html) = served.text(&format!("/?{query}")).await;
        assert_eq!(
            (status, shown(&html)),
            (StatusCode::OK, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{query}"
        );
        let says = if expected.is_empty() { "No session matches the filter." } else { "of 15 sessions, worst first." };
        assert!(words(&html).contains(says), "{query}\n{}", words(&html));
    }
}

#[tokio::test]
async fn the_form_shows_the_filter_in_force_and_the_link_to_the_next_page_keeps_it() {
    let ids = (1..=450).map(|id: u32| id.to_string()).collect::<Vec<_>>();
    let ids = ids.iter().map(String::as_str).collect::<Vec<_>>();
    let served = Served::new(PolledState::new(&[("acme-erp", &ids), ("erp-x", &["1"])]).published()).await;
    let (_, html) = served.text("/?q=acme-erp%2F+%22&source=acme-erp&status=odd+one&page=1").await;
    assert!(html.contains("value=\"acme-erp&#x2f; &quot;\""), "{html}");
    assert!(
        html.contains("<option value=\"acme-erp\" selected>") && html.contains("<option value=\"odd one\" selected>")
    );
    let (_, html) = served.text("/?source=acme-erp&q=acme+erp&page=2").await;
    assert!(words(&html).contains("450 of 451 sessions, worst first: 201 to 400 on this page."), "{}", words(&html));
    assert!(html.contains("href=\"&#x2f;?page=3&amp;q=acme%20erp&amp;source=acme-erp\""), "{html}");
}

#[tokio::test]
async fn a_hostile_query_costs_no_more_than_a_page() {
    let served = Served::new(troubled().published()).await;
    let whole = served.text("/").await.1.len();
    let long = "x".repeat(10_000);
    let many = "k=<i>&".repeat(2_000);
    for query in [
        format!("q={long}"),
        format!("status={long}&severity={long}&source={long}&customer={long}&page={long}"),
        format!("{many}q=1&q=2"),
        "q=%F0%9F&status=%&%=%&=&&&page=-1&page=2".to_owned(),
        "page=18446744073709551616&source=%00%0A%E2%80%AE".to_owned(),
        "q=%3Cscript%3Ealert(1)%3C/script%3E&customer=%22%3E%3Ci%3E".to_owned(),
    ] {
        let (status, html) = served.text(&format!("/?{query}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(html.len() < whole + 8_000, "{} bytes", html.len());
        for bad in ["<i>", "<script>alert", "\u{202E}"] {
            assert!(!html.contains(bad), "{bad}");
        }
    }
}

#[tokio::test]
async fn unaudited_sessions_are_listed_by_source_with_id_and_name_and_can_be_found() {
    let says: [SessionValues<'_>; 4] = [
        ("1", "one", "0", "5", "1"),
        ("2", "<b>two</b>.example", "0", "5", "1"),
        ("30", "thirty.example", "0", "5", "1"),
        ("31", "", "0", "5", "1"),
    ];
    let stage = PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &says);
    let served = Served::new(stage.published()).await;
    let (_, html) = served.text("/").await;
    let text = words(&html);
    assert!(text.contains("acme-erp : 3 sessions not audited"), "{text}");
    assert!(
        text.contains("acme-erp&#x2f;2 &lt;b&gt;two") && text.contains("acme-erp&#x2f;30 thirty.example"),
        "{text}"
    );
    for (query, audited, unaudited) in [
        ("q=thirty", 0, 1),
        ("status=unaudited", 0, 3),
        ("status=unaudited&q=acme-erp/3", 0, 2),
        ("q=not+audited", 0, 3),
        ("customer=acme", 1, 3),
        ("source=acme-erp", 1, 3),
        ("severity=critical", 0, 0),
        ("status=compliant", 1, 0),
        ("source=other", 0, 0),
    ] {
        let (_, html) = served.text(&format!("/?{query}")).await;
        assert_eq!((shown(&html).len(), listed_as_unaudited(&html)), (audited, unaudited), "{query}\n{}", words(&html));
    }
}

#[tokio::test]
async fn the_first_of_many_unaudited_sessions_are_listed_and_the_others_counted() {
    let ids = (1..=1_000).map(|id: u32| id.to_string()).collect::<Vec<_>>();
    let says = ids.iter().map(|id| (id.as_str(), "shop.example", "0", "5", "1")).collect::<Vec<_>>();
    let stage = PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &says);
    let (_, html) = Served::new(stage.published()).await.text("/").await;
    assert_eq!(listed_as_unaudited(&html), 200);
    let text = words(&html);
    assert!(text.contains("acme-erp : 999 sessions not audited"), "{text}");
    assert!(text.contains("799 more: driftwise sessions --source acme-erp lists all."), "{text}");
    // A start knows only their number until the first poll.
    let stage = PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &says).restarted("export");
    let (_, html) = Served::new(stage.published()).await.text("/").await;
    assert!(words(&html).contains("999 sessions not audited"), "{}", words(&html));
}
