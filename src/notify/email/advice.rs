//! Advice for refusals that have one usual cause: the codes of Microsoft's sign-in service and of Exchange Online, and those of
//! Google. Codes: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes> and
//! <https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online>.

/// A code that a refusal contains, and the usual remedy.
const ADVICE: [(&str, &str); 22] = [
    ("AADSTS7000215", "client_secret is not the value of a secret of this app (the value, not the secret's ID)"),
    ("AADSTS7000222", "the client secret has expired: create one in the app registration and replace it"),
    ("AADSTS700016", "the tenant has no such app: check client_id and the tenant in token_url"),
    ("AADSTS700027", "upload the certificate of client_assertion_file to the app registration"),
    ("AADSTS700024", "the assertion is not valid now: check the clock of this machine"),
    ("AADSTS700211", "the app registration has no federated credential for the issuer of the assertion"),
    ("AADSTS700213", "the app registration has no federated credential for the subject of the assertion"),
    ("AADSTS90002", "the tenant does not exist: check the tenant in token_url"),
    ("AADSTS900023", "the tenant is neither a domain nor an ID: check the tenant in token_url"),
    ("AADSTS1002012", "scope must end in /.default"),
    ("AADSTS70011", "scope is wrong: it must end in /.default"),
    ("AADSTS500011", "the resource in scope is unknown to the tenant"),
    ("AADSTS53003", "a Conditional Access policy of the tenant blocks the app"),
    (
        "5.7.139",
        "SMTP sign-in is off: an Exchange administrator can turn it on for the mailbox with \
                 Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false, see docs/mail.md",
    ),
    (
        "5.7.3 ",
        "grant the app the application role SMTP.SendAsApp with admin consent, register its service principal in \
               Exchange (New-ServicePrincipal) and give it the mailbox (Add-MailboxPermission), see docs/mail.md",
    ),
    ("SendAsDenied", "the sender in `from` must be the account's own address, or one that it may send as"),
    (
        "ErrorAccessDenied",
        "grant the app Mail.Send with admin consent; if RBAC for Applications or an application access \
                           policy limits it, include this mailbox, see docs/mail.md",
    ),
    ("ErrorInvalidUser", "`user` is not a mailbox of the tenant"),
    (
        "MailboxNotEnabledForRESTAPI",
        "`user` has no mailbox in Exchange Online: it needs a licence, or its mailbox is on premises",
    ),
    (
        "unauthorized_client",
        "allow the service account's client ID the scope https://mail.google.com/ in the Google Admin \
                             console (domain-wide delegation), see docs/mail.md",
    ),
    (
        "invalid_grant",
        "check `subject`, the clock of this machine, and that the key of the service account is not deleted",
    ),
    ("5.7.8 ", "the token is valid for another account: `username` (Google: `subject`) must be the mailbox that sends"),
];

/// The reason with the advice on it, if there is any.
pub(super) fn advised(reason: String) -> String {
    match ADVICE.iter().find(|(code, _)| reason.contains(code)) {
        Some((_, advice)) => format!("{reason}. What to do: {advice}"),
        None => reason,
    }
}
