//! `notifications preview`: prints a sample of a kind of notification, as a mail would show it. Needs no configuration and no
//! store.

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

use crate::app::notifications::{Preview, Sample, preview};
use crate::cli::{Exit, print};
use crate::clock::{Clock as _, SystemClock};

#[derive(Debug, Args)]
pub(in crate::cli) struct PreviewArguments {
    /// The kind of notification, or a form of a kind
    #[arg(value_name = "KIND", value_parser = samples())]
    sample: Sample,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: PreviewFormat,
}

/// What is printed of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum PreviewFormat {
    /// The plain text
    #[default]
    Text,
    Html,
    /// The whole mail
    Eml,
    Json,
}

fn samples() -> impl clap::builder::TypedValueParser<Value = Sample> {
    PossibleValuesParser::new(Sample::all().map(Sample::label))
        .try_map(|label| Sample::from_label(&label).ok_or_else(|| format!("unknown kind {label:?}")))
}

pub(super) fn run(arguments: &PreviewArguments) -> anyhow::Result<Exit> {
    let Preview { kind, subject, text, html, eml, message_id, to } = preview(arguments.sample, SystemClock.now())?;
    match arguments.format {
        PreviewFormat::Text => print(&format!("Subject: {subject}\n\n{text}\n"))?,
        PreviewFormat::Html => print(&format!("{html}\n"))?,
        PreviewFormat::Eml => print(&eml)?,
        PreviewFormat::Json => {
            let document = serde_json::json!({
                "kind": kind.label(), "to": to, "subject": subject, "message_id": message_id, "text": text, "html": html,
            });
            print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        }
    }
    Ok(Exit::Fine)
}
