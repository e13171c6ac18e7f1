//! See the crate.

use serde_json::json;

use crate::browser::Browser;
use crate::shop::Shop;

/// Makes the script load the page now, as when the reader returns to it.
const COME_BACK: &str = "document.dispatchEvent(new Event('visibilitychange')), true";

/// Counts the requests of the script from now on.
const COUNT: &str = "globalThis.asked = 0, globalThis.real = fetch,
    globalThis.fetch = (...of) => { asked += 1; return real(...of); }, true";

/// The number of sessions in the table.
const ROWS: &str = "document.querySelectorAll('.sessions tbody tr').length";

#[test]
#[ignore = "needs Chromium: scripts/browser-test"]
fn no_page_scrolls_sideways_on_a_telephone() {
    let (shop, mut browser) = (Shop::open(), Browser::start());
    for (width, height) in [(390, 844), (320, 640), (768, 1024), (1280, 800)] {
        browser.size(width, height);
        let last = format!("/sessions/{}/{}", "s".repeat(64), "9".repeat(64));
        let missing = format!("/sessions/grid/{}", "i".repeat(64));
        for path in [
            "/",
            "/?q=nothing",
            &last,
            &missing,
            "/sessions/grid/1",
            "/sessions/grid/2",
            "/sessions/grid/3",
            "/nowhere",
        ] {
            browser.open(&shop.url(path));
            let page = browser.ask("document.documentElement.scrollWidth");
            assert!(page.as_u64().unwrap() <= u64::from(width), "{path} is {page} px wide in a window of {width} px");
            assert_ne!(browser.ask("document.title"), json!("taken"));
        }
    }
}

#[test]
#[ignore = "needs Chromium: scripts/browser-test"]
fn a_page_stays_current_and_keeps_filter_scroll_position_and_focus() {
    let (shop, mut browser) = (Shop::open(), Browser::start());
    browser.size(1280, 800);
    browser.open(&shop.url("/"));
    browser.until("document.querySelectorAll('.sessions tbody tr').length === 62");
    browser.ask("document.querySelector('#q').focus()");
    browser.types("shop-");
    browser.until(&format!("location.search === '?q=shop-' && {ROWS} === 56"));
    assert_eq!(browser.ask("document.activeElement.id"), json!("q"), "the reader goes on typing");
    let link = "document.querySelector('a[href=\"/sessions/grid/40\"]')";
    browser.ask(&format!("{link}.focus(), scrollTo(0, 1500), {link}.id = 'old'"));
    shop.export(true);
    browser.until(&format!(
        "{COME_BACK} && document.querySelector('.sessions tbody tr').innerText.includes('shop-60.example')"
    ));
    assert_eq!(
        browser.ask("[location.search, scrollY, document.querySelector('#q').value]"),
        json!(["?q=shop-", 1500, "shop-"])
    );
    assert_eq!(browser.ask("document.activeElement.getAttribute('href')"), json!("/sessions/grid/40"));
    assert_eq!(browser.ask("document.activeElement.id"), json!(""), "the rows are new ones");
    // The reader stops the updates, and returns to the page another day.
    browser.ask("document.querySelector('.refresh input').click()");
    browser.ask(COUNT);
    browser.ask(COME_BACK);
    assert_eq!(browser.ask("asked"), json!(0));
    browser.open(&shop.url("/sessions/grid/1"));
    assert_eq!(browser.ask("document.querySelector('.refresh input').checked"), json!(false), "the choice is kept");
    browser.ask(COUNT);
    browser.ask("document.querySelector('.refresh input').click()");
    assert_eq!(browser.ask("asked"), json!(1));
    assert_eq!(browser.errors, Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium: scripts/browser-test"]
fn a_page_whose_server_does_not_answer_says_so_and_is_not_green() {
    let (shop, mut browser) = (Shop::open(), Browser::start());
    browser.open(&shop.url("/sessions/grid/10"));
    assert_eq!(browser.ask("document.querySelector('#lost').innerText"), json!(""));
    shop.daemon.kill();
    browser.until(&format!("{COME_BACK} && document.body.classList.contains('lost')"));
    let says = browser.ask("document.querySelector('#lost').innerText");
    let says = says.as_str().unwrap();
    assert!(
        says.starts_with("This page is old: last updated ") && says.ends_with("The server does not answer."),
        "{says}"
    );
    let filter = browser.ask("getComputedStyle(document.querySelector('main')).filter");
    assert_eq!(filter, json!("grayscale(1)"));
}

#[test]
#[ignore = "needs Chromium: scripts/browser-test"]
fn without_script_a_link_refreshes_and_a_button_filters() {
    let (shop, mut browser) = (Shop::open(), Browser::start());
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&shop.url("/?source=grid"));
    assert_eq!(browser.ask("getComputedStyle(document.querySelector('.refresh label')).display"), json!("none"));
    assert_eq!(browser.ask("document.querySelector('.refresh a').href"), json!(shop.url("/?source=grid")));
    browser.ask("document.querySelector('#q').focus()");
    browser.types("shop-7");
    browser.press("Enter");
    browser.until(&format!("new URLSearchParams(location.search).get('q') === 'shop-7' && {ROWS} === 1"));
    assert_eq!(browser.ask("document.querySelector('#source').value"), json!("grid"));
}

#[test]
#[ignore = "needs Chromium: scripts/browser-test"]
fn keyboard_and_screen_readers_find_their_way() {
    /// Every control without a name, every heading that skips a level, and every table cell without a header.
    const WRONG: &str = "(() => {
        const wrong = [...document.querySelectorAll('input, select')].filter((e) => !e.labels.length).map((e) => e.outerHTML);
        const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1]));
        if (levels.filter((level) => level === 1).length !== 1) wrong.push('not one h1');
        levels.forEach((level, at) => { if (level > (levels[at - 1] ?? 0) + 1) wrong.push('h' + level + ' after h' + levels[at - 1]); });
        for (const table of document.querySelectorAll('table')) {
            if (!table.caption) wrong.push('a table without a caption');
            if (table.querySelector('thead th:not([scope=col]), tbody tr > :first-child:not(th[scope=row])')) wrong.push('a cell without a header');
        }
        if (document.querySelectorAll('main').length !== 1 || !document.querySelector('header') || !document.documentElement.lang) wrong.push('no landmarks');
        const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
        if (new Set(ids).size !== ids.length) wrong.push('an id twice');
        return wrong; })()";
    /// Texts whose contrast is below that of WCAG 2.2, 1.4.3 (AA).
    const FAINT: &str = "(() => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
        const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
        const light = (colour) => { const [r, g, b] = [...rgba(colour)].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
        const ground = (e) => e ? (rgba(getComputedStyle(e).backgroundColor)[3] ? getComputedStyle(e).backgroundColor : ground(e.parentElement)) : 'white';
        const faint = [];
        for (const e of document.querySelectorAll('body *')) {
            if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => b - a);
            const ratio = (a + .05) / (b + .05);
            if (ratio < 4.5) faint.push(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.className + ' ' + e.innerText.slice(0, 30));
        }
        return [...new Set(faint)]; })()";
    let (shop, mut browser) = (Shop::open(), Browser::start());
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.call("Emulation.setEmulatedMedia", features);
        for path in ["/", "/sessions/grid/1", "/sessions/grid/2", "/sessions/grid/10", "/nowhere"] {
            browser.open(&shop.url(path));
            assert_eq!(browser.ask(WRONG), json!([]), "{path}");
            assert_eq!(browser.ask(FAINT), json!([]), "{path}, {scheme}");
        }
    }
    // The first stop skips the bar; each stop shows where it is.
    browser.open(&shop.url("/"));
    browser.ask("document.documentElement.style.setProperty('--soft', '#777777')");
    assert_ne!(browser.ask(FAINT), json!([]), "the measure sees faint texts");
    browser.press("Tab");
    assert_eq!(browser.ask("document.activeElement.innerText"), json!("Skip to the content"));
    assert!(browser.ask("document.activeElement.getBoundingClientRect().left").as_f64().unwrap() >= 0.0);
    for _ in 0..12 {
        browser.press("Tab");
        assert_eq!(browser.ask("getComputedStyle(document.activeElement).outlineStyle"), json!("solid"));
    }
    assert_eq!(browser.errors, Vec::<String>::new());
}
