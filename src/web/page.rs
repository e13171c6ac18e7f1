//! How a page is made: the templates and the stylesheet that are compiled in, and what makes outside text harmless.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, Output, Value, context, escape_formatter};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Web, words};
use crate::domain::reading::{is_invisible, visible};

const STYLE: &str = include_str!("templates/style.css");

const TEMPLATES: [(&str, &str); 4] = [
    ("base.html", include_str!("templates/base.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("session.html", include_str!("templates/session.html")),
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
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        Ok(Self { templates, policy: policy() })
    }

    /// The Content-Security-Policy: the one stylesheet, by its hash, and a form that leads back here.
    pub fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    pub fn render(&self, status: StatusCode, template: &str, page: impl Serialize) -> Response {
        let page = Value::from(Serde(page));
        let rendered = self.templates.get_template(template).and_then(|found| found.render(context! { page }));
        match rendered {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(template, error = %error, "a page cannot be made");
                (StatusCode::INTERNAL_SERVER_ERROR, "this page cannot be made; the log says why\n").into_response()
            }
        }
    }

    /// A page that says one thing.
    pub fn notice(&self, status: StatusCode, title: &str, text: &str) -> Response {
        self.render(status, "notice.html", context! { title, text })
    }
}

/// Every address that nobody knows.
pub(super) async fn nothing_here(State(web): State<Arc<Web>>) -> Response {
    web.pages.notice(StatusCode::NOT_FOUND, "There is no such page", "The address may have been cut or mistyped.")
}

fn policy() -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let text = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Escapes what is written into a page, with marks that hide or turn text made visible and mail addresses made out only by
/// their first letter: a page has no sign-in, and anything that is said of a setting may hold one.
fn harmless(out: &mut Output<'_>, state: &mut minijinja::State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() && text.contains(|c| c == '@' || is_invisible(c)) => {
            let shown = |c: char| match c {
                '\n' | '\r' | '\t' => ' ',
                c => visible(c),
            };
            let text = text.chars().map(shown).collect::<String>();
            escape_formatter(out, state, &Value::from(words::masked(&text)))
        }
        _ => escape_formatter(out, state, value),
    }
}
