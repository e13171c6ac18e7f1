//! Credentials that end: what each is, when it ends, and how long before its end an operator must act.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::name::Name;

/// A secret or certificate of the configuration, or a certificate that a server of the configuration presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The key of the configuration, such as `email.smtp.oauth2.client_secret`.
    pub key: String,
    /// The source that needs it; `None` if mail does.
    pub source: Option<Name>,
    pub kind: CredentialKind,
    /// One for each certificate in a file; empty if no end is known.
    pub ends: Vec<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Of an app; the configuration states its end.
    ClientSecret,
    /// With the private key of an app.
    ClientCertificate,
    /// A signed assertion (JWT) that another program renews.
    ClientAssertion,
    /// Trusted besides the authorities of the system.
    CaCertificate,
    /// Presented by a server.
    ServerCertificate,
}

impl CredentialKind {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientSecret => "client_secret",
            Self::ClientCertificate => "client_certificate",
            Self::ClientAssertion => "client_assertion",
            Self::CaCertificate => "ca_certificate",
            Self::ServerCertificate => "server_certificate",
        }
    }

    /// How long before its end a credential needs an act.
    ///
    /// People replace a secret, and other people must often approve it: 30 days. Programs renew the certificate of a server with
    /// a third of its life left, 15 days or more; less than 7 means that the renewal fails. A program also renews an assertion,
    /// which may live for an hour, so that only its end says something.
    pub fn lead_time(self) -> TimeDelta {
        match self {
            Self::ClientSecret | Self::ClientCertificate | Self::CaCertificate => TimeDelta::days(30),
            Self::ServerCertificate => TimeDelta::days(7),
            Self::ClientAssertion => TimeDelta::zero(),
        }
    }
}

/// Days before the end of a credential at which its operators are notified.
const NOTIFIED: [i64; 4] = [30, 14, 7, 1];

/// So many days before the end of a credential its operators are notified, once for each threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryThreshold {
    pub end: DateTime<Utc>,
    /// 30, 14, 7 or 1 days before the end. The last one also stands for an end that is over.
    pub days: i64,
}

/// The state of a credential at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialState {
    /// No end is known.
    Unknown,
    Valid(DateTime<Utc>),
    EndsSoon(DateTime<Utc>),
    Over(DateTime<Utc>),
}

impl Credential {
    /// The next end; after the last end, the last. If a file holds a certificate and its successor, the end of the successor
    /// counts once the first has ended.
    pub fn end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ends = || self.ends.iter().copied();
        ends().filter(|end| *end > now).min().or_else(|| ends().max())
    }

    /// The last threshold that has passed. Certificates of servers and assertions are other people's to renew, so they have none.
    pub fn expiry_threshold(&self, now: DateTime<Utc>) -> Option<ExpiryThreshold> {
        if matches!(self.kind, CredentialKind::ServerCertificate | CredentialKind::ClientAssertion) {
            return None;
        }
        let end = self.end(now)?;
        let days = NOTIFIED.into_iter().filter(|days| end - now <= TimeDelta::days(*days)).min()?;
        Some(ExpiryThreshold { end, days })
    }

    pub fn state(&self, now: DateTime<Utc>) -> CredentialState {
        match self.end(now) {
            None => CredentialState::Unknown,
            Some(end) if end <= now => CredentialState::Over(end),
            Some(end) if end - now <= self.kind.lead_time() => CredentialState::EndsSoon(end),
            Some(end) => CredentialState::Valid(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(days)
    }

    #[test]
    fn a_credential_needs_an_act_within_the_lead_time_of_its_kind() {
        use CredentialKind::{ClientAssertion, ClientSecret, ServerCertificate};
        for (kind, days, expected) in [
            (ClientSecret, 31, CredentialState::Valid(day(31))),
            (ClientSecret, 30, CredentialState::EndsSoon(day(30))),
            (ClientSecret, 0, CredentialState::Over(day(0))),
            (ServerCertificate, 8, CredentialState::Valid(day(8))),
            (ServerCertificate, 7, CredentialState::EndsSoon(day(7))),
            (ClientAssertion, 1, CredentialState::Valid(day(1))),
            (ClientAssertion, -1, CredentialState::Over(day(-1))),
        ] {
            let credential = Credential { key: String::new(), source: None, kind, ends: vec![day(days)] };
            assert_eq!(credential.state(day(0)), expected, "{kind:?} {days}");
        }
    }

    #[test]
    fn operators_are_notified_30_14_7_and_1_days_before_the_end_of_their_credentials() {
        use CredentialKind::{CaCertificate, ClientAssertion, ClientCertificate, ClientSecret, ServerCertificate};
        let hour = TimeDelta::hours(1);
        for (left, expected) in [
            (TimeDelta::days(30) + hour, None),
            (TimeDelta::days(30), Some(30)),
            (TimeDelta::days(14) + hour, Some(30)),
            (TimeDelta::days(14), Some(14)),
            (TimeDelta::days(7), Some(7)),
            (TimeDelta::days(1) + hour, Some(7)),
            (TimeDelta::days(1), Some(1)),
            (TimeDelta::zero(), Some(1)),
            (-TimeDelta::days(400), Some(1)),
        ] {
            for kind in [ClientSecret, ClientCertificate, CaCertificate, ServerCertificate, ClientAssertion] {
                let credential = Credential { key: String::new(), source: None, kind, ends: vec![day(0) + left] };
                let expected = expected.filter(|_| !matches!(kind, ServerCertificate | ClientAssertion));
                let expected = expected.map(|days| ExpiryThreshold { end: day(0) + left, days });
                assert_eq!(credential.expiry_threshold(day(0)), expected, "{kind:?} {left}");
            }
        }
        let endless = Credential { key: String::new(), source: None, kind: ClientSecret, ends: Vec::new() };
        assert_eq!(endless.expiry_threshold(day(0)), None);
    }

    #[test]
    fn the_next_end_of_several_certificates_counts_and_after_the_last_end_the_last() {
        for (ends, expected) in
            [(vec![], None), (vec![5, 2], Some(2)), (vec![-3, 5], Some(5)), (vec![-3, -1, -2], Some(-1))]
        {
            let ends = ends.into_iter().map(day).collect();
            let credential = Credential { key: String::new(), source: None, kind: CredentialKind::CaCertificate, ends };
            assert_eq!(credential.end(day(0)), expected.map(day));
        }
    }
}
