//! The largest configurations: 10,000 sessions in one file and in a folder of files.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::Config;
use super::{environment, now};

/// A folder of 100 files with 100 sessions each, which share equal values by anchors and merge keys.
#[test]
fn ten_thousand_sessions_are_read_from_a_folder_of_included_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("sessions")).unwrap();
    write(
        "driftwise.yaml",
        "include: [sessions/*.yaml, sessions/000.yaml]\nsources: { grid: { type: file, path: a.csv } }\n\
         defaults: { session: { source: grid, owners: [ops@integrator.example] } }\n",
    );
    for file in 0..100 {
        let mut text = String::from("sessions:\n");
        for n in 0..100 {
            let id = file * 100 + n;
            let common = if n == 0 { "&common " } else { "" };
            let merge = if n == 0 { "timezone: Europe/London, labels: { region: uk }" } else { "<<: *common" };
            writeln!(text, "  - {common}{{ {merge}, id: {id}, name: shop-{id}, params: {{ notification_email: s{id}@acme.example }} }}").unwrap();
        }
        write(&format!("sessions/{file:03}.yaml"), &text);
    }
    let config = Config::load(&folder.path().join("driftwise.yaml"), &environment, now()).unwrap();
    assert_eq!((config.files.len(), config.warnings.len()), (101, 0));
    let sessions = &config.plans.values().next().unwrap().sessions;
    assert_eq!(sessions.len(), 10_000);
    for (id, session) in sessions {
        assert_eq!(session.name.as_deref(), Some(format!("shop-{id}").as_str()));
        assert_eq!(session.params["notification_email"], [format!("s{id}@acme.example")]);
        assert_eq!(session.labels["region"], "uk");
        assert_eq!((session.zone().name(), session.owners.len()), ("Europe/London", 1));
    }
}

#[test]
fn sessions_with_the_same_params_share_them_in_memory() {
    let text = "sources: { grid: { type: file, path: a.csv } }\n\
                defaults: { session: { source: grid, params: { notification_email: ops@acme.example } } }\n\
                sessions: [{ id: 1 }, { id: 2 }, { id: 3, params: { notification_email: it@acme.example } }, { id: 4 }]\n";
    let config = Config::read(std::path::Path::new("driftwise.yaml"), text.as_bytes(), &environment, now()).unwrap();
    let params =
        config.plans.values().next().unwrap().sessions.values().map(|session| &session.params).collect::<Vec<_>>();
    assert!(Arc::ptr_eq(params[0], params[1]) && Arc::ptr_eq(params[0], params[3]));
    assert_ne!(params[0], params[2]);
}

/// An error in a shared value is one problem; ten thousand errors are ten thousand problems, each at its line.
#[test]
fn ten_thousand_problems_are_each_reported_once() {
    let mut text = String::from(
        "sources: { grid: { type: file, path: a.csv } }\ndefaults: { session: { timezone: Mars } }\nsessions:\n",
    );
    for id in 0..10_000 {
        writeln!(text, "  - {{ source: grid, id: {id}, owners: [nobody] }}").unwrap();
    }
    let path = std::path::Path::new("driftwise.yaml");
    let problems = Config::read(path, text.as_bytes(), &environment, now()).unwrap_err();
    assert_eq!(problems.iter().count(), 10_001);
    let lines = problems.iter().filter_map(|problem| problem.at.as_ref()).map(|at| at.line);
    assert!(lines.eq(std::iter::once(2).chain(4..10_004)));
}
