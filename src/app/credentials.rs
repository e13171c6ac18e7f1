//! The credentials of a configuration and of its servers, with their ends: read from files, stated in the configuration, or
//! presented by the servers.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use crate::config::{Adapter, Config, Delivery, TokenConfig, TokenCredential};
use crate::domain::address::Address;
use crate::domain::alerting::recipients;
use crate::domain::announcement::EndingCredential;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::name::Name;
use crate::domain::notification::Role;
use crate::engine::audit::Sources;
use crate::http::certificate;
use crate::notify::Channel;
use crate::secret::Secret;

/// The credentials of one configuration.
pub struct Credentials {
    /// Those that stay until the next reload: the adapters, too, read certificate files once.
    fixed: Vec<Credential>,
    /// The file of a client assertion with its key. Another program may renew it at any time.
    assertion: Option<(String, Secret)>,
    /// Recipients of announcements about the credentials of each source that has one, and about those of mail.
    of_sources: BTreeMap<Name, Vec<(Address, Role)>>,
    of_mail: Vec<(Address, Role)>,
}

impl Credentials {
    /// Reads the certificate files.
    pub fn of(config: &Config) -> Self {
        let mut fixed = Vec::new();
        let mut of_sources = BTreeMap::new();
        for source in &config.sources {
            let Adapter::OrderWise(options) = &source.adapter else { continue };
            let key = format!("sources.{}.tls.ca_file", source.name);
            if let (Some(credential), Some(plan)) =
                (authorities(key, Some(&source.name), options.ca_file.as_deref()), config.plans.get(&source.name))
            {
                fixed.push(credential);
                let members = recipients::of_source(plan).into_iter().map(|member| (member.to, member.role));
                of_sources.insert(source.name.clone(), members.collect());
            }
        }
        let (section, ca_file, token) = match config.email.as_ref().map(|email| &email.delivery) {
            Some(Delivery::Smtp(smtp)) => ("email.smtp", smtp.ca_file.as_deref(), smtp.oauth2.as_ref()),
            Some(Delivery::Graph(graph)) => ("email.graph", graph.token.ca_file.as_deref(), Some(&graph.token)),
            Some(Delivery::Spool(_)) | None => ("email", None, None),
        };
        fixed.extend(authorities(format!("{section}.ca_file"), None, ca_file));
        let app = if section == "email.smtp" { "email.smtp.oauth2" } else { section };
        let mut assertion = None;
        match token.map(|TokenConfig { credential, .. }| credential) {
            Some(TokenCredential::Secret { end, .. }) => fixed.push(Credential {
                key: format!("{app}.client_secret"),
                source: None,
                kind: CredentialKind::ClientSecret,
                ends: end.iter().copied().collect(),
            }),
            Some(TokenCredential::Assertion { file, .. }) => {
                assertion = Some((format!("{app}.client_assertion_file"), file.clone()));
            }
            // The key of a service account has no end.
            Some(TokenCredential::Google { .. }) | None => {}
        }
        let of_mail = recipients::of_program(&config.alerts.operators, &config.alerts.fallback, &config.plans);
        Self { fixed, assertion, of_sources, of_mail }
    }

    /// All credentials and their present ends, with the certificates that the servers of `sources` and `channel` have presented.
    /// Reads the file of the assertion.
    pub fn known(&self, sources: &Sources, channel: Option<&dyn Channel>) -> Vec<Credential> {
        let mut known = self.fixed.clone();
        known.extend(self.assertion.iter().map(|(key, file)| assertion(key.clone(), file)));
        let of_sources = sources.iter().filter_map(|(name, source)| {
            Some((format!("sources.{name}.base_url"), Some(name.clone()), source.certificate_end()?))
        });
        let of_mail = channel.into_iter().flat_map(Channel::certificate_ends);
        let presented = of_sources.chain(of_mail.map(|(key, end)| (key.to_owned(), None, end)));
        known.extend(presented.map(|(key, source, end)| Credential {
            key,
            source,
            kind: CredentialKind::ServerCertificate,
            ends: vec![end],
        }));
        known
    }

    /// The announcements that are due of `known`; the same ones until a credential is replaced.
    pub fn ending(&self, known: &[Credential], now: DateTime<Utc>) -> Vec<EndingCredential> {
        let recipients = |credential: &Credential| match &credential.source {
            Some(source) => self.of_sources.get(source).map(Vec::as_slice).unwrap_or_default(),
            None => &self.of_mail,
        };
        known.iter().filter_map(|credential| EndingCredential::new(credential, recipients(credential), now)).collect()
    }
}

/// The certificates in a file; no ends if one of them cannot be read.
fn authorities(key: String, source: Option<&Name>, file: Option<&Path>) -> Option<Credential> {
    let ends = certificate::ends(&std::fs::read(file?).unwrap_or_default()).into_iter().collect::<Option<_>>();
    Some(Credential {
        key,
        source: source.cloned(),
        kind: CredentialKind::CaCertificate,
        ends: ends.unwrap_or_default(),
    })
}

/// A file with a key and its certificate, or with an assertion that states its end.
fn assertion(key: String, file: &Secret) -> Credential {
    let read = file.checked(|text| {
        if text.contains("-----BEGIN") {
            // The first certificate of a chain is that of the key.
            let own = certificate::ends(text.as_bytes()).into_iter().next().flatten();
            (CredentialKind::ClientCertificate, own)
        } else {
            (CredentialKind::ClientAssertion, stated_end(text))
        }
    });
    let (kind, end) = read.unwrap_or((CredentialKind::ClientAssertion, None));
    Credential { key, source: None, kind, ends: end.into_iter().collect() }
}

/// The claim `exp` of an assertion (RFC 7519, 4.1.4): seconds since 1970, which may have a fraction.
fn stated_end(assertion: &str) -> Option<DateTime<Utc>> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(assertion.trim().split('.').nth(1)?).ok()?;
    let claims = serde_json::from_slice::<serde_json::Value>(&claims).ok()?;
    let end = &claims["exp"];
    #[expect(clippy::cast_possible_truncation, reason = "a number beyond i64 is beyond the calendar, too")]
    let seconds = end.as_i64().or_else(|| end.as_f64().map(|seconds| seconds as i64))?;
    DateTime::from_timestamp(seconds, 0)
}
