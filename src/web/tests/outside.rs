//! Outside input: texts of a source, ids, other sites.

use super::*;

/// The page without the one script that it may have.
fn without_own_script(html: &str) -> String {
    html.replacen(&format!("<script>{}</script>", include_str!("../templates/page.js")), "", 1)
}

#[tokio::test]
async fn outside_text_is_escaped_on_every_page() {
    let evil = "<script>alert(1)</script>\u{202E}\"' onload=x";
    let id = "a/b <i>&\"?#%2F";
    let published = PolledState::new(&[("acme-erp", &[id, "2"])])
        .returns("acme-erp", &[(id, evil, evil, "javascript:alert(1)", "1"), ("2", "two", "0", "5", "1")])
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
    let published = PolledState::new(&[("acme-erp", &ids)]).published();
    let served = Served::new(published).await;
    let (_, html) = served.text("/").await;
    let html = html.replace("&#x2f;", "/");
    let links = html.split("<a href=\"/sessions/").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links = links.collect::<Vec<_>>();
    assert_eq!(links.len(), ids.len());
    let mut titles = std::collections::BTreeSet::new();
    for link in links {
        // Like a browser, the client resolves a piece that is a step up.
        let (status, page) = served.text(&format!("/sessions/{link}")).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        titles.insert(page.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap().to_owned());
    }
    assert_eq!(titles.len(), ids.len(), "{titles:?}");
}

#[tokio::test]
async fn pages_tell_the_browser_to_load_nothing_else() {
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
async fn a_request_for_the_host_of_another_site_is_refused() {
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
