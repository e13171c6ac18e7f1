//! Writes a line of the log as logfmt: `timestamp=… level=WARN message="failed to read source" source=erp`.
//!
//! The names are those of the JSON lines. A value that is not one plain word is in quotes with the escapes of JSON, so it cannot
//! break a line or reverse its direction, and a reader gets it back unchanged.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{LOST, timestamp};
use crate::domain::reading::visible;

/// See the module.
pub(super) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(out, "timestamp={} level={}", timestamp(), event.metadata().level())?;
        let mut fields = Fields { out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writeln!(out)
    }
}

/// Writes each field of an event.
struct Fields<'a> {
    out: &'a mut dyn Write,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let write = |out: &mut dyn Write| {
            write!(out, " {}=", field.name())?;
            write_value(out, value)
        };
        self.result = self.result.and_then(|()| write(self.out));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn write_value(out: &mut dyn Write, value: &str) -> fmt::Result {
    let plain = |c: char| !c.is_whitespace() && !"\"=\\".contains(c) && visible(c) == c;
    if !value.is_empty() && value.chars().all(plain) {
        return out.write_str(value);
    }
    out.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            '\n' => out.write_str("\\n")?,
            ' ' => out.write_char(c)?,
            c if plain(c) || c == '=' => out.write_char(c)?,
            // All of these are below U+10000, as are all spaces and marks that `visible` hides.
            c => write!(out, "\\u{:04x}", u32::from(c))?,
        }
    }
    out.write_char('"')
}

/// The line that reports lost lines.
pub(super) fn report(lines: u64) -> String {
    format!("timestamp={} level=WARN message=\"{LOST}\" lines={lines}\n", timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_one_plain_word_is_a_json_string() {
        for (value, expected) in [
            ("erp", "erp"),
            ("acme-erp/14", "acme-erp/14"),
            ("Größe", "Größe"),
            ("", r#""""#),
            ("two words", r#""two words""#),
            ("a=b", r#""a=b""#),
            (r#"say "x""#, r#""say \"x\"""#),
            (r"C:\x", r#""C:\\x""#),
            ("a\nlevel=ERROR", r#""a\nlevel=ERROR""#),
            ("a\u{202e}b\u{1b}[31m\0", r#""a\u202eb\u001b[31m\u0000""#),
            ("\u{feff}x\u{a0}", r#""\ufeffx\u00a0""#),
        ] {
            let mut out = String::new();
            write_value(&mut out, value).unwrap();
            assert_eq!(out, expected);
            if out.starts_with('"') {
                assert_eq!(serde_json::from_str::<String>(&out).unwrap(), value);
            }
        }
    }
}
