//! Renders a page from the compiled templates, stylesheet and script, and escapes outside text.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Object, Serde};
use minijinja::{Environment, Output, Value, context, escape_formatter};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Web;
use super::mask::Masks;
use crate::domain::reading::{is_invisible, visible};

const STYLE: &str = include_str!("templates/style.css");

/// Keeps a page current until the reader stops it, and filters while the reader types; without script, a link and a button do.
const SCRIPT: &str = include_str!("templates/page.js");

const TEMPLATES: [(&str, &str); 5] = [
    ("base.html", include_str!("templates/base.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("session.html", include_str!("templates/session.html")),
    ("refresh.html", include_str!("templates/refresh.html")),
    ("notice.html", include_str!("templates/notice.html")),
];

/// The templates, ready to be filled.
pub(super) struct Pages {
    templates: Environment<'static>,
    policy: HeaderValue,
}

impl Pages {
    pub fn compile() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        templates.set_formatter(harmless);
        templates.add_global("style", Value::from_safe_string(STYLE.to_owned()));
        templates.add_global("script", Value::from_safe_string(SCRIPT.to_owned()));
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        Ok(Self { templates, policy: policy() })
    }

    /// The Content-Security-Policy: the one stylesheet and the one script, by their hashes; requests and forms only to this
    /// server.
    pub fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    pub fn render(&self, status: StatusCode, template: &str, page: impl Serialize) -> Response {
        let page = Value::from(Serde(page));
        let masks = Value::from_object(PageMasks::default());
        let rendered = self.templates.get_template(template).and_then(|found| found.render(context! { page, masks }));
        match rendered {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(template, error = %error, "failed to render a page");
                (StatusCode::INTERNAL_SERVER_ERROR, "cannot render this page; the log says why\n").into_response()
            }
        }
    }

    /// A page with one message.
    pub fn notice(&self, status: StatusCode, title: &str, text: &str) -> Response {
        self.render(status, "notice.html", context! { title, text })
    }
}

/// Answers every path that has no page.
pub(super) async fn nothing_here(State(web): State<Arc<Web>>) -> Response {
    web.pages.notice(StatusCode::NOT_FOUND, "There is no such page", "The address may have been cut short or mistyped.")
}

fn policy() -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let text = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// The masks of the page that is being rendered.
#[derive(Debug, Default)]
struct PageMasks(Mutex<Masks>);

impl Object for PageMasks {}

/// `text` with the mail addresses in it masked, in the same way on the whole page.
fn masked(state: &minijinja::State<'_, '_>, text: &str) -> String {
    let page = state.lookup("masks");
    match page.as_ref().and_then(|masks| masks.downcast_object_ref::<PageMasks>()) {
        Some(PageMasks(masks)) => masks.lock().unwrap_or_else(PoisonError::into_inner).mask(text),
        None => Masks::default().mask(text),
    }
}

/// Escapes text for a page, makes marks that hide or turn text visible, and masks mail addresses: a page has no sign-in, and
/// any value of a setting may hold an address.
fn harmless(out: &mut Output<'_>, state: &mut minijinja::State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() && text.contains(|c| c == '@' || is_invisible(c)) => {
            let shown = |c: char| match c {
                '\n' | '\r' | '\t' => ' ',
                c => visible(c),
            };
            let text = text.chars().map(shown).collect::<String>();
            escape_formatter(out, state, &Value::from(masked(state, &text)))
        }
        _ => escape_formatter(out, state, value),
    }
}
