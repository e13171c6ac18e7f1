//! Checks of the ends of credentials: client secrets, and certificates of our own and of servers.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::Check;
use crate::domain::credential::{Credential, CredentialKind, CredentialState};
use crate::view::credential::{act, noun};
use crate::view::times::{self, ago};

pub(super) fn checks(credentials: &[Credential], now: DateTime<Utc>) -> Vec<Check> {
    credentials.iter().map(|credential| check(credential, now).of(&credential.key)).collect()
}

fn check(credential: &Credential, now: DateTime<Utc>) -> Check {
    const KIND: &str = "credential";
    let what = noun(credential.kind);
    let at = |end| times::at(end, Tz::UTC);
    match credential.state(now) {
        CredentialState::Unknown if credential.kind == CredentialKind::ClientSecret => {
            Check::ok(KIND, format!("{what}; to be warned before it expires, set client_secret_expires"))
        }
        CredentialState::Unknown => {
            Check::warning(KIND, format!("{what}; cannot read when it expires"), act(credential.kind))
        }
        CredentialState::Valid(end) => Check::ok(KIND, format!("{what}, valid until {}", at(end))),
        CredentialState::EndsSoon(end) => {
            let found = format!("{what} expires in {}, {}", ago(end - now), at(end));
            Check::warning(KIND, found, act(credential.kind))
        }
        CredentialState::Over(end) => {
            let found = format!("{what} expired {} ago, {}", ago(now - end), at(end));
            Check::problem(KIND, found, act(credential.kind))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::cli::doctor::Outcome;

    #[test]
    fn each_kind_is_shown_with_its_end_and_from_its_notice_on_with_what_to_do() {
        use CredentialKind::{CaCertificate, ClientAssertion, ClientCertificate, ClientSecret, ServerCertificate};
        let now = "2026-12-31T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let mut shown = Vec::new();
        for (kind, days) in [
            (ClientSecret, None),
            (ClientSecret, Some(400)),
            (ClientSecret, Some(20)),
            (ClientSecret, Some(-1)),
            (ClientCertificate, Some(30)),
            (ClientAssertion, Some(1)),
            (ClientAssertion, Some(-1)),
            (CaCertificate, None),
            (CaCertificate, Some(3)),
            (ServerCertificate, Some(20)),
            (ServerCertificate, Some(2)),
        ] {
            let ends = days.map(|days| now + TimeDelta::days(days)).into_iter().collect();
            let check = check(&Credential { key: String::new(), source: None, kind, ends }, now);
            assert_eq!(check.act.is_some(), check.result != Outcome::Ok, "{check:?}");
            shown.push(format!("{:?}: {}", check.result, check.found));
        }
        insta::assert_snapshot!(shown.join("\n"), @r"
        Ok: client secret; to be warned before it expires, set client_secret_expires
        Ok: client secret, valid until Fri 4 Feb 2028 12:00 UTC
        Warning: client secret expires in 20 d, Wed 20 Jan 2027 12:00 UTC
        Problem: client secret expired 24 h ago, Wed 30 Dec 2026 12:00 UTC
        Warning: app certificate expires in 30 d, Sat 30 Jan 2027 12:00 UTC
        Ok: client assertion, valid until Fri 1 Jan 2027 12:00 UTC
        Problem: client assertion expired 24 h ago, Wed 30 Dec 2026 12:00 UTC
        Warning: CA certificate; cannot read when it expires
        Warning: CA certificate expires in 3 d, Sun 3 Jan 2027 12:00 UTC
        Ok: server certificate, valid until Wed 20 Jan 2027 12:00 UTC
        Warning: server certificate expires in 2 d, Sat 2 Jan 2027 12:00 UTC
        ");
    }
}
