//! The files that a configuration was read from, with the state of each just before it was read, for `reload: watch`.
//!
//! They are the main file, the included files, the files that match a pattern of `include`, secret files and certificate
//! files. A state describes the file at the end of all links, so the links that Kubernetes swaps when it updates a
//! `ConfigMap` or `Secret` count as changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Each path with its state; `None` where no regular file is.
type Files = BTreeMap<PathBuf, Option<Stamp>>;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    named: Files,
    /// By pattern, so that a new match is a change.
    matched: BTreeMap<String, Files>,
}

/// The state of a file, as the file system reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    /// In bytes.
    size: u64,
    /// The last change of content, owner or mode: seconds and nanoseconds since 1970. The time of the last modification
    /// would miss a copy that keeps its time, and a file that became readable.
    changed: (i64, i64),
}

impl Inputs {
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.matched.is_empty()
    }

    /// The same files and patterns, with their states of this moment.
    #[must_use]
    pub fn current(&self) -> Self {
        let named = self.named.keys().map(|path| (path.clone(), stamp(path))).collect();
        let matched = self.matched.keys().map(|pattern| (pattern.clone(), matches(pattern))).collect();
        Self { named, matched }
    }

    /// Adds a file that is about to be read. Of a file that is read twice, the first state counts.
    pub(super) fn file(&mut self, path: &Path) {
        if !self.named.contains_key(path) {
            self.named.insert(path.to_owned(), stamp(path));
        }
    }

    /// Adds a pattern whose matches are about to be read.
    pub(super) fn pattern(&mut self, pattern: &str) {
        if !self.matched.contains_key(pattern) {
            self.matched.insert(pattern.to_owned(), matches(pattern));
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let changed = (found.ctime(), found.ctime_nsec());
    Some(Stamp { device: found.dev(), inode: found.ino(), size: found.len(), changed })
}

fn matches(pattern: &str) -> Files {
    let found = glob::glob(pattern).into_iter().flatten().flatten();
    found.filter(|path| !path.is_dir()).map(|path| (path.clone(), stamp(&path))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A folder with a file, a pattern and their inputs.
    fn folder() -> (tempfile::TempDir, PathBuf, Inputs) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("driftwise.yaml");
        fs::write(&file, "a").unwrap();
        let mut inputs = Inputs::default();
        inputs.file(&file);
        inputs.pattern(&folder.path().join("sessions/*.yaml").to_string_lossy());
        (folder, file, inputs)
    }

    #[test]
    fn edits_deletions_and_changes_of_mode_are_changes() {
        let (_folder, file, inputs) = folder();
        assert_eq!(inputs.current(), inputs);
        fs::write(&file, "ab").unwrap();
        let edited = inputs.current();
        assert_ne!(edited, inputs);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(inputs.current(), edited);
        fs::remove_file(&file).unwrap();
        assert_eq!(inputs.current().named[&file], None);
    }

    #[test]
    fn only_a_file_that_matches_a_pattern_is_new() {
        let (folder, _, inputs) = folder();
        fs::create_dir(folder.path().join("sessions")).unwrap();
        for other in ["driftwise.db", "sessions/notes.txt"] {
            fs::write(folder.path().join(other), "").unwrap();
            assert_eq!(inputs.current(), inputs, "{other}");
        }
        fs::write(folder.path().join("sessions/one.yaml"), "").unwrap();
        let one = inputs.current();
        assert_ne!(one, inputs);
        fs::remove_file(folder.path().join("sessions/one.yaml")).unwrap();
        assert_eq!(one.current(), inputs);
    }

    #[test]
    fn a_link_that_is_swapped_two_levels_up_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for version in ["..first", "..second"] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("password"), "same").unwrap();
        }
        symlink("..first", path("..data")).unwrap();
        symlink("..data/password", path("password")).unwrap();
        let mut inputs = Inputs::default();
        inputs.file(&path("password"));
        symlink("..second", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert_ne!(inputs.current(), inputs);
    }

    #[test]
    fn a_pipe_has_no_state_that_reading_it_could_change() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut inputs = Inputs::default();
        inputs.file(&pipe);
        assert_eq!(inputs.named[&pipe], None);
    }
}
