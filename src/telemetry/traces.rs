//! Exports the spans of [`crate::spans`] over OTLP: HTTP with protobuf.
//!
//! The standard variables `OTEL_*` configure it; without an endpoint nothing is exported. Spans wait in a bounded queue, a thread
//! of the SDK takes them in batches, and a full queue drops spans. So a collector that is slow or absent costs traces only. The
//! HTTP client is that of the sources: rustls, no redirects, no proxy.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::Client;
use tokio::runtime::Handle;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::http;
use crate::http::{BodyError, SetupError};
use crate::spans::TARGET;

/// Longest export of one batch: the default of the specification of OTLP.
const EXPORT: Duration = Duration::from_secs(10);

/// Longest wait for the last batch. Together with the drain of the tasks, the closing of the store and the last lines of the log
/// it is less than the ten seconds that a service manager gives.
const LAST_BATCH: Duration = Duration::from_millis(500);

/// Most bytes read of an answer of the collector. The program uses the status only.
const ANSWER: u64 = 64 * 1024;

/// Why no traces are exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("cannot use the OTLP endpoint")]
    Endpoint(#[from] SetupError),
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
}

/// The layer that makes traces of spans.
pub type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// The exporter; exports the last batch when it is dropped, while the runtime must still run.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the exporter if a variable names an endpoint. `runtime` carries its requests.
    ///
    /// # Errors
    /// If a variable has a value that cannot be used.
    pub fn start(runtime: &Handle, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TracesError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let Some(endpoint) = endpoints.into_iter().find_map(variable) else { return Ok(None) };
        let authorities = variable("OTEL_EXPORTER_OTLP_CERTIFICATE");
        let url = http::base_url(&endpoint)?;
        let (client, _) = http::client(&url, authorities.as_deref().map(Path::new), EXPORT, None)?;
        let exchange = Exchange { client, runtime: runtime.clone(), failing: Arc::default() };
        let exporter = SpanExporter::builder().with_http().with_http_client(exchange).build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(variable("OTEL_SERVICE_NAME")))
            .build();
        Ok(Some(Self(provider)))
    }

    pub fn spans(&self) -> Spans {
        let tracer = self.0.tracer(env!("CARGO_PKG_NAME"));
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
        let layer = layer.with_target(false).with_tracked_inactivity(false);
        layer.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET)).boxed()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A batch that fails is logged by the exchange.
        let _ = self.0.shutdown_with_timeout(LAST_BATCH);
    }
}

/// The attributes of this process; the variables take precedence.
fn resource(service: Option<String>) -> Resource {
    let ours = [("service.name", env!("CARGO_PKG_NAME")), ("service.version", env!("CARGO_PKG_VERSION"))];
    let detectors: [Box<dyn ResourceDetector>; 2] =
        [Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())];
    let resource = Resource::builder_empty().with_attributes(ours.map(|(key, value)| KeyValue::new(key, value)));
    let resource = resource.with_detectors(&detectors);
    match service {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

/// Sends the batches, and logs when that begins to fail and when it works again.
#[derive(Clone)]
struct Exchange {
    client: Client,
    runtime: Handle,
    failing: Arc<AtomicBool>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

#[async_trait::async_trait]
impl HttpClient for Exchange {
    /// On the runtime, because the thread of the SDK has none. At the end of the program the runtime drops a request under way.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let this = self.clone();
        self.runtime.spawn(async move { this.send(request).await }).await?
    }
}

impl Exchange {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = tokio::time::timeout(EXPORT, self.exchange(request)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(format!("the collector did not answer within {} s", EXPORT.as_secs())));
        let failure = match &answer {
            Ok(answer) if !answer.status().is_success() => {
                Some(format!("the collector answered with status {}", answer.status().as_u16()))
            }
            Ok(_) => None,
            Err(reason) => Some(reason.clone()),
        };
        let was_failing = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !was_failing => {
                tracing::warn!(reason, "failed to export traces; dropping them until the collector accepts them");
            }
            None if was_failing => tracing::info!("exporting traces again"),
            Some(_) | None => {}
        }
        Ok(answer?)
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let describe = |error: &reqwest::Error| http::failure::of(error).reason;
        let request = reqwest::Request::try_from(request).map_err(|e| describe(&e))?;
        let answer = self.client.execute(request).await.map_err(|e| describe(&e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = http::body(answer, ANSWER).await.map_err(|error| match error {
            BodyError::TooLarge => format!("the answer of the collector is longer than {ANSWER} bytes"),
            BodyError::Broken(error) => describe(&error),
        })?;
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
