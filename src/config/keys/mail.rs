//! The keys of the mail account, see `keys`.

use crate::config::containers::Sub;
use crate::config::declaration::section;
use crate::config::email::Tls;
use crate::config::proxy::Proxy;
use crate::config::secret::{Hidden, SecretFile};
use crate::config::shapes::{Certificates, Choice, FilePath, Flag, Text, Whole};
use crate::config::url::WebAddress;
use crate::config::words::{Day, Host};
use crate::domain::address::{Address, NamedAddress};

section! {
    /// The mail account: `from`, and `smtp`, `graph` or `spool`.
    EmailKeys: "\"email\"" {
        /// The sender.
        from: NamedAddress, Required, "Driftwise <driftwise@integrator.example>";
        /// The mail server.
        smtp: Sub<SmtpKeys>, Optional, "{ host: smtp.integrator.example }";
        /// In place of `smtp`: a folder that takes one .eml file a message.
        spool: FilePath, Optional, "./mail";
        /// In place of `smtp`: a mailbox of Microsoft 365, over Microsoft Graph.
        graph: Sub<GraphKeys>, Optional,
            "{ tenant: integrator.example, client_id: ID, client_secret: { env: MAIL_SECRET }, user: driftwise@integrator.example }";
    }

    /// The mail server.
    SmtpKeys: "\"smtp\"" {
        /// Its name or address, without a port.
        host: Host, Required, "smtp.integrator.example";
        /// Default: 587 for `starttls`, 465 for `implicit`, 25 for `none`.
        port: Whole<u16, 1, 65_535>, Optional, "587";
        /// TLS of the connection. `none` only to this machine, or with `allow_insecure`.
        tls: Choice<Tls> = "starttls", Optional, "starttls";
        /// The account, with `password` or `oauth2`. Google: without the key, the `subject`.
        username: Text, Optional, "driftwise@integrator.example";
        /// In place of `oauth2`.
        password: Hidden, Optional, "{ env: SMTP_PASSWORD }";
        /// Certificates to trust besides those of the system.
        ca_file: Certificates, Optional, "mail-ca.pem";
        /// Most mails in a minute. Microsoft 365 takes 30 from one account.
        max_per_minute: Whole<u32, 1, 100_000> = "30", Optional, "30";
        /// Permits `tls: none` to another machine, so that mails and the password cross the network in plain text.
        allow_insecure: Flag = "false", Optional, "false";
        /// In place of `password`: sign-in with a token (XOAUTH2).
        oauth2: Sub<OAuth2Keys>, Optional, "{ token_url: \"https://login.microsoftonline.com/TENANT/oauth2/v2.0/token\", client_id: ID, client_secret: { env: MAIL_SECRET } }";
    }

    /// Sign-in at the mail server with a token: as an app of Microsoft, or as a service account of Google.
    OAuth2Keys: "\"oauth2\"" {
        /// The token endpoint. Google: `https://oauth2.googleapis.com/token` without the key.
        token_url: WebAddress, Optional, "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token";
        /// The application (client) ID of the app registration.
        client_id: Text, Optional, "00000000-0000-0000-0000-000000000000";
        /// The value of a client secret of the app.
        client_secret: Hidden, Optional, "{ env: MAIL_SECRET }";
        /// The day on which `client_secret` ends, as the app registration shows it; counted to its first minute, in UTC.
        client_secret_expires: Day, Optional, "2027-01-31";
        /// In place of `client_secret`: a file with an assertion (JWT), such as the token that Kubernetes renews for a workload
        /// identity, or with an RSA private key and its certificate in PEM form. Read again for each token.
        client_assertion_file: SecretFile, Optional, "mail-app.pem";
        /// Default: `https://outlook.office365.com/.default`, and for Google `https://mail.google.com/`.
        scope: Text, Optional, "https://outlook.office365.com/.default";
        /// In place of `client_id` and the secret: a service account of Google.
        google: Sub<GoogleKeys>, Optional, "{ service_account: { file: google.json }, subject: driftwise@integrator.example }";
        /// The proxy to the token endpoint, as for a source.
        proxy: Proxy, Optional, "http://proxy.acme.example:3128";
        /// Permits a `token_url` with `http://` to another machine, so that the secret crosses the network in plain text.
        allow_insecure: Flag = "false", Optional, "false";
    }

    /// A service account of Google with domain-wide delegation.
    GoogleKeys: "\"google\"" {
        /// The JSON key file of the service account.
        service_account: Hidden, Required, "{ file: google.json }";
        /// The mailbox that it acts for.
        subject: Address, Required, "driftwise@integrator.example";
    }

    /// A mailbox of Microsoft 365 that sends over Microsoft Graph (`sendMail`), as an app with `Mail.Send`.
    GraphKeys: "\"graph\"" {
        /// The tenant: its domain or ID.
        tenant: Host, Required, "integrator.onmicrosoft.com";
        /// The application (client) ID of the app registration.
        client_id: Text, Required, "00000000-0000-0000-0000-000000000000";
        /// The value of a client secret of the app.
        client_secret: Hidden, Optional, "{ env: MAIL_SECRET }";
        /// The day on which `client_secret` ends, as the app registration shows it; counted to its first minute, in UTC.
        client_secret_expires: Day, Optional, "2027-01-31";
        /// In place of `client_secret`, as for `oauth2`.
        client_assertion_file: SecretFile, Optional, "mail-app.pem";
        /// The mailbox that sends.
        user: Address, Required, "driftwise@integrator.example";
        /// The address of Microsoft Graph; others for national clouds.
        base_url: WebAddress = "https://graph.microsoft.com/v1.0", Optional, "https://graph.microsoft.us/v1.0";
        /// Default: `https://login.microsoftonline.com/TENANT/oauth2/v2.0/token`.
        token_url: WebAddress, Optional, "https://login.microsoftonline.us/TENANT/oauth2/v2.0/token";
        /// Certificates to trust besides those of the system.
        ca_file: Certificates, Optional, "proxy-ca.pem";
        /// The proxy to both addresses, as for a source.
        proxy: Proxy, Optional, "http://proxy.acme.example:3128";
        /// Most mails in a minute. Microsoft 365 takes 30 from one mailbox.
        max_per_minute: Whole<u32, 1, 100_000> = "30", Optional, "30";
        /// Permits `http://` to another machine, so that mails and secrets cross the network in plain text.
        allow_insecure: Flag = "false", Optional, "false";
    }
}
