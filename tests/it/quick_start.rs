//! The quick start of the documentation: a trial without OrderWise and without a mail server.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::mailbox;
use crate::program::{Daemon, eventually, run};
use crate::support::edit::replaced;

/// A copy of `config/`, with a port of its own and a poll every second.
fn copied() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = std::fs::read_to_string(shipped.join("quickstart.yaml")).unwrap();
    let config = replaced(&config, "127.0.0.1:9464", "127.0.0.1:0");
    let config = replaced(&config, "*/5 * * * * *", "* * * * * *");
    std::fs::write(folder.path().join("quickstart.yaml"), config).unwrap();
    std::fs::copy(shipped.join("quickstart-sessions.csv"), folder.path().join("quickstart-sessions.csv")).unwrap();
    folder
}

fn edit(folder: &TempDir, before: &str, after: &str) {
    crate::support::edit::edit(&folder.path().join("quickstart-sessions.csv"), &[(before, after)]);
}

const CONFIG: [&str; 2] = ["-c", "quickstart.yaml"];
const OUTLET: (&str, &str) = ("acme-outlet.myshopify.com,True,True", "acme-outlet.myshopify.com,True,False");

#[test]
fn the_trial_shows_its_drift_on_console_page_and_mail_and_an_edit_of_the_file_resolves_it() {
    let folder = copied();
    let mails = || mailbox::in_folder(&folder.path().join("mail"));
    let check = run(folder.path(), &["check", "-c", "quickstart.yaml"]).expect(1);
    assert!(check.out.contains("export-off") && check.out.contains("ticked, should be unticked"), "{}", check.out);
    assert!(!folder.path().join("driftwise.db").exists(), "check writes nothing");

    let daemon = Daemon::start(folder.path(), &CONFIG);
    let drifts = eventually("drift mails", || Some(mails()).filter(|mails| mails.len() == 2));
    let expected = [("drift", "integrations@acme.example"), ("drift", "it@acme.example")];
    assert_eq!(mailbox::kinds(&drifts), expected.map(|(kind, to)| (kind.to_owned(), to.to_owned())));
    let opened = |line: &&str| line.contains("an incident opened") && line.contains("export-off");
    daemon.logs("an incident opened");
    assert_eq!(daemon.said().lines().filter(opened).count(), 1);
    let (status, page) = daemon.get("/");
    assert!(
        status == 200 && page.contains("acme-outlet.myshopify.com") && page.contains("Not as it should be"),
        "{page}"
    );
    let (status, page) = daemon.get("/sessions/demo/3");
    assert!(status == 200 && page.contains("Export"), "{page}");
    assert_eq!(daemon.metric("driftwise_drift_open", &[("session", "3"), ("rule", "export-off")]), Some(1.0));

    edit(&folder, OUTLET.0, OUTLET.1);
    let all = eventually("resolved mails", || Some(mails()).filter(|mails| mails.len() == 4));
    for drift in &drifts {
        let resolved = all.iter().find(|mail| mail.kind() == "resolved" && mail.to() == drift.to()).unwrap();
        assert_eq!(resolved.subject, "acme-outlet.myshopify.com: Export was put right");
        assert_eq!(resolved.header("In-Reply-To"), drift.id());
        let root = drift.header("References");
        assert!(root.starts_with("<incident-") && resolved.header("References") == format!("{root} {}", drift.id()));
        assert_eq!(drift.header("In-Reply-To"), "");
    }
    daemon.stop();
}

#[test]
fn the_trial_stops_well_within_ten_seconds_and_a_restart_neither_repeats_nor_forgets() {
    let folder = copied();
    let mails = || mailbox::in_folder(&folder.path().join("mail"));
    for (round, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let mut daemon = Daemon::start(folder.path(), &CONFIG);
        daemon.poll();
        daemon.until("driftwise_drift_open", &[("session", "3")], 1.0);
        let opened = daemon.metric("driftwise_incidents_opened_total", &[("kind", "drift")]);
        assert_eq!(opened, Some(if round == 0 { 1.0 } else { 0.0 }), "known before, so nothing opens");
        eventually("mails", || (mails().len() == 2).then_some(()));
        let asked = Instant::now();
        daemon.signal(signal);
        assert!(daemon.wait().success(), "{}", daemon.said());
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert!(daemon.said().contains(&format!("SIG{signal}")));
    }
    let status = run(folder.path(), &["status", "-c", "quickstart.yaml", "--format", "json"]).expect(1);
    assert_eq!(status.json()["sessions"][0]["session"], "demo/3");
    assert_eq!(mails().len(), 2);
}
