//! Spans for OpenTelemetry: the work that the engine traces, and how each span ends.
//!
//! Only the cargo feature `otel` compiles them. Without it, [`traced!`] is its future and nothing else.

/// Awaits a future in a span with the given fields, and records its [`Outcome`]. No field holds a mail address, a value of a
/// source or a secret.
#[cfg(feature = "otel")]
macro_rules! traced {
    ($name:literal, { $($field:ident = $value:expr),* }, $future:expr) => {{
        let span = tracing::info_span!(
            target: $crate::spans::TARGET,
            $name,
            $($field = %$value,)*
            outcome = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        let value = tracing::Instrument::instrument($future, span.clone()).await;
        $crate::spans::record(&span, &value);
        value
    }};
}

#[cfg(not(feature = "otel"))]
macro_rules! traced {
    ($name:literal, { $($field:ident = $value:expr),* }, $future:expr) => {{
        $(let _ = &$value;)*
        $future.await
    }};
}

pub(crate) use traced;

#[cfg(feature = "otel")]
pub use recorded::{Outcome, TARGET, record};

#[cfg(feature = "otel")]
mod recorded {
    use tracing::Span;

    /// The target of every span: the log leaves it out, and only spans with it are exported.
    pub const TARGET: &str = "otel";

    /// How a traced piece of work ended.
    pub trait Outcome {
        /// A word for the outcome; an error if the work failed.
        fn outcome(&self) -> Result<&'static str, &'static str>;
    }

    /// Records the outcome in the span of the work.
    pub fn record(span: &Span, ended: &impl Outcome) {
        let (Ok(word) | Err(word)) = ended.outcome();
        span.record("outcome", word);
        if ended.outcome().is_err() {
            span.record("otel.status_code", "ERROR");
        }
    }
}
