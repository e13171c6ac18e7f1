//! Builds adapters from the configuration.

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{self, Adapter, Config, Delivery, EmailConfig, TokenConfig, TokenCredential};
use crate::domain::name::Name;
use crate::engine::audit::Sources;
use crate::http::HttpProxy;
use crate::notify::email::{self, Email, Gates};
use crate::source::Source;
use crate::source::file::{FileOptions, FileSource};
use crate::source::orderwise::{ApiCredential, OrderWise, OrderWiseOptions, Systems};

/// The waits that a reload does not end: those of sources after a failure, and those that mail servers asked for.
#[derive(Debug, Default)]
pub struct Waits {
    systems: Systems,
    gates: Gates,
}

impl Waits {
    /// The same waits, for the adapters of another configuration.
    #[must_use]
    pub fn carried_over(&self) -> Self {
        Self { systems: self.systems.carried_over(), gates: self.gates.clone() }
    }
}

/// The adapter of every source.
pub fn sources(config: &Config, waits: &mut Waits) -> anyhow::Result<Sources> {
    sources_of(config, waits, |_| true)
}

/// The adapters of the sources that are `wanted`: those of others may lack their secrets.
pub fn sources_of(config: &Config, waits: &mut Waits, wanted: impl Fn(&Name) -> bool) -> anyhow::Result<Sources> {
    let build = |source: &config::SourceConfig| {
        let adapter = source_adapter(&mut waits.systems, source)
            .with_context(|| format!("cannot set up the source {}", source.name))?;
        Ok((source.name.clone(), adapter))
    };
    config.sources.iter().filter(|source| wanted(&source.name)).map(build).collect()
}

fn source_adapter(systems: &mut Systems, source: &config::SourceConfig) -> anyhow::Result<Arc<dyn Source>> {
    Ok(match &source.adapter {
        Adapter::OrderWise(options) => {
            let options = OrderWiseOptions {
                base_url: options.base_url.clone(),
                credential: match &options.credential {
                    config::Credential::Password { username, password } => {
                        ApiCredential::Password { username: username.clone(), password: password.clone() }
                    }
                    config::Credential::Hash(hash) => ApiCredential::Hash(hash.clone()),
                },
                export_definition: options.export_definition,
                parameters: options.parameters.clone(),
                timeout: options.timeout,
                max_body: options.max_body,
                ca_file: options.ca_file.clone(),
                proxy: options.proxy.as_ref().map(proxy),
            };
            Arc::new(OrderWise::of(systems, source.name.as_str(), options)?)
        }
        Adapter::File(options) => Arc::new(FileSource::new(FileOptions {
            path: options.path.clone(),
            max_age: options.max_age,
            timeout: options.timeout,
            max_body: options.max_body,
        })?),
    })
}

fn proxy(proxy: &config::ProxyConfig) -> HttpProxy {
    HttpProxy { url: proxy.url.clone(), except: proxy.except.clone() }
}

fn token(token: &TokenConfig) -> email::TokenOptions {
    email::TokenOptions {
        url: token.url.clone(),
        grant: match token.credential.clone() {
            TokenCredential::Secret { client_id, secret, .. } => email::Grant::Secret { client_id, secret },
            TokenCredential::Assertion { client_id, file } => email::Grant::Assertion { client_id, file },
            TokenCredential::Google { service_account, subject } => email::Grant::Google { service_account, subject },
        },
        scope: token.scope.clone(),
        access: email::HttpAccess {
            allow_insecure: token.allow_insecure,
            ca_file: token.ca_file.clone(),
            proxy: token.proxy.as_ref().map(proxy),
        },
    }
}

/// The mail channel.
pub fn email(config: &Config, email: &EmailConfig, waits: &mut Waits) -> anyhow::Result<Email> {
    let delivery = match &email.delivery {
        Delivery::Spool(folder) => email::Delivery::Spool(folder.clone()),
        Delivery::Smtp(smtp) => email::Delivery::Smtp(email::SmtpOptions {
            host: smtp.host.clone(),
            port: smtp.port,
            tls: match smtp.tls {
                config::Tls::StartTls => email::Tls::StartTls,
                config::Tls::Implicit => email::Tls::Implicit,
                config::Tls::None => email::Tls::None,
            },
            allow_insecure: smtp.allow_insecure,
            username: smtp.username.clone(),
            password: smtp.password.clone(),
            oauth2: smtp.oauth2.as_ref().map(token),
            ca_file: smtp.ca_file.clone(),
            timeout: email::SmtpOptions::TIMEOUT,
        }),
        Delivery::Graph(graph) => email::Delivery::Graph(email::GraphOptions {
            base_url: graph.base_url.clone(),
            user: graph.user.clone(),
            token: token(&graph.token),
            timeout: email::SmtpOptions::TIMEOUT,
        }),
    };
    let public_url = config.server.public_url.clone();
    let options = email::Options { from: email.from.clone(), delivery, public_url };
    Email::of(&mut waits.gates, options).context("cannot set up email")
}

/// Most notifications per minute; 0 for no limit.
pub fn rate_limiter(config: &EmailConfig) -> u32 {
    match &config.delivery {
        Delivery::Spool(_) => 0,
        Delivery::Smtp(smtp) => smtp.max_per_minute,
        Delivery::Graph(graph) => graph.max_per_minute,
    }
}
