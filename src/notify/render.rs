//! Renders a notification as plain text and as HTML: pure, so that a repeat is the same mail.
//!
//! The reader runs a shop. One [`page`] of words is made of the notification and both templates only lay it out, so the two parts
//! cannot differ. Outside text is cut and loses control and direction marks in [`words`]; the template engine escapes HTML. A
//! mail is bounded in size, however much one audit has found.

use std::sync::LazyLock;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, HtmlEscape};

use crate::domain::notification::Notification;
use crate::view::times;

mod announced;
mod audit_over;
mod brief;
mod credential;
mod entry;
mod lead;
mod page;
mod source_change;
mod subject;
mod undeliverable;
mod words;

/// A notification in the form that mail carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// A template that cannot be read or filled: a fault of the program, not of the message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a mail template cannot be filled: {0}")]
pub struct RenderError(String);

const TEXT: &str = "mail.txt";
const HTML: &str = "mail.html";

static TEMPLATES: LazyLock<Result<Environment<'static>, RenderError>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|name| if name == HTML { AutoEscape::Html } else { AutoEscape::None });
    for (name, source) in
        [(TEXT, include_str!("templates/mail.txt.j2")), (HTML, include_str!("templates/mail.html.j2"))]
    {
        templates.add_template(name, source).map_err(|e| fault(&e))?;
    }
    Ok(templates)
});

fn fault(error: &minijinja::Error) -> RenderError {
    RenderError(format!("{error:#}"))
}

/// Puts `notification` into words, laid out by the templates. `public_url`: the address of the pages, if they are public.
pub fn render(notification: &Notification, public_url: Option<&str>) -> Result<Rendered, RenderError> {
    let templates = TEMPLATES.as_ref().map_err(Clone::clone)?;
    let subject = subject::subject(notification);
    let page = Value::from(Serde(page::page(notification, &subject, public_url)));
    let fill =
        |name| templates.get_template(name).and_then(|template| template.render(page.clone())).map_err(|e| fault(&e));
    Ok(Rendered { subject, text: fill(TEXT)?, html: fill(HTML)? })
}

/// The same words without a template, in case the templates fail.
pub fn unadorned(notification: &Notification, public_url: Option<&str>) -> Rendered {
    let subject = subject::subject(notification);
    let text = page::page(notification, &subject, public_url).lines().join("\n");
    let html = format!("<pre>{}</pre>", HtmlEscape(&text));
    Rendered { subject, text, html }
}

#[cfg(test)]
mod last_mail;
#[cfg(test)]
mod tests;
