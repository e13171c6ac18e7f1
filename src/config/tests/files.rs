//! Invalid files: each is reported where it is named, and reading never blocks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::Config;
use super::{environment, now};

const GRID: &str =
    "sources: { grid: { type: file, path: a.csv } }\nsessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n";

/// Loads `text` as the file `driftwise.yaml` of `folder`.
fn report(folder: &Path, text: &str) -> String {
    let path = folder.join("driftwise.yaml");
    fs::write(&path, text).unwrap();
    let problems = Config::load(&path, &environment, now()).unwrap_err();
    problems.to_string().replace(&format!("{}/", folder.display()), "")
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Opening a pipe blocks until another process writes to it, so a failure of this test is that it never ends.
#[test]
fn a_pipe_is_refused_as_an_included_file_and_as_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    pipe(&folder.path().join("pipe.yaml"));
    pipe(&folder.path().join("pipe.pem"));
    for include in ["pipe.yaml", "p*.yaml"] {
        let report = report(folder.path(), &format!("include: [{include}]\n{GRID}"));
        assert!(report.contains("pipe.yaml: this is not a regular file"), "{report}");
    }
    let email = "email: { from: a@b.example, smtp: { host: h.example, ca_file: pipe.pem } }\n";
    let report = report(folder.path(), &format!("{email}{GRID}"));
    assert!(report.contains("\"ca_file\": cannot read pipe.pem: it is not a regular file"), "{report}");
}

/// A shell passes a pipe for `--config <(...)`.
#[test]
fn the_main_file_may_be_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.yaml");
    pipe(&path);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, GRID).unwrap()
    });
    Config::load(&path, &environment, now()).unwrap();
    writer.join().unwrap();
}

#[test]
fn a_file_past_32_mib_is_refused_and_one_of_that_size_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = GRID.to_owned();
    text.push_str(&"#".repeat((32 << 20) - text.len()));
    let path = folder.path().join("driftwise.yaml");
    fs::write(&path, &text).unwrap();
    assert!(Config::load(&path, &environment, now()).is_ok());
    text.push('#');
    let report = report(folder.path(), &text);
    let expected = "driftwise.yaml: this file is larger than 32 MiB\n  divide it, and name the parts under include\n";
    assert!(report.starts_with(expected), "{}", &report[..200]);
}

#[test]
fn a_pattern_that_matches_too_many_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sessions")).unwrap();
    for n in 0..=20_000 {
        fs::write(folder.path().join(format!("sessions/{n}.yaml")), "").unwrap();
    }
    let report = report(folder.path(), &format!("include: [sessions/*.yaml]\n{GRID}"));
    assert!(report.contains("driftwise.yaml:1:11: more than 20,000 files match this pattern"), "{report}");
    assert!(report.ends_with("\n1 problem"), "{report}");
}

/// Root may read every file, so root runs the test as an unprivileged user.
#[test]
fn a_file_without_permission_is_reported_with_the_user_that_needs_it() {
    const FOLDER: &str = "DRIFTWISE_TEST_AS_NOBODY";
    let given = std::env::var_os(FOLDER).map(PathBuf::from);
    let own = tempfile::tempdir().unwrap();
    let folder = given.as_deref().unwrap_or(own.path());
    let closed = |name: &str, text: &str, mode| {
        let path = folder.join(name);
        let _ = fs::write(&path, text);
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
        path
    };
    let path = closed("closed.yaml", GRID, 0o000);
    if fs::read(&path).is_ok() {
        return as_nobody(folder, FOLDER);
    }
    let problems = Config::load(&path, &environment, now()).unwrap_err().to_string();
    assert!(problems.contains("closed.yaml: cannot read this file: permission denied"), "{problems}");
    assert!(problems.contains("the user that runs Driftwise must be able to read it"), "{problems}");
    fs::create_dir_all(folder.join("parts/closed")).unwrap();
    fs::set_permissions(folder.join("parts/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let text = format!("include: [closed.yaml, parts/*/*.yaml]\n{GRID}");
    let problems = report(folder, &text);
    assert!(problems.contains("closed.yaml: cannot read this file: permission denied"), "{problems}");
    assert!(problems.contains("driftwise.yaml:1:24: cannot search for files to include: "), "{problems}");
    fs::set_permissions(folder.join("parts/closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Runs the test above as a user without rights, from a copy of this program that every user may run.
fn as_nobody(folder: &Path, variable: &str) {
    let name = "config::tests::files::a_file_without_permission_is_reported_with_the_user_that_needs_it";
    fs::remove_file(folder.join("closed.yaml")).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args([name, "--exact"]);
    match command.env(variable, folder).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "setpriv cannot be run: {error}");
            eprintln!("SKIPPED: what may not be read: as root without setpriv ({error})");
        }
    }
}
