//! Notices that the configuration changed on disk, for `reload: watch`.
//!
//! It compares what the file system says of each file and of each folder that holds one, every few seconds. Events of the
//! kernel would be quicker, but they do not come from network mounts, and a Kubernetes `ConfigMap` replaces a link two
//! levels up: comparing the files that the paths lead to now works for all of them. A change counts once it has stood
//! still for one round, so that a file that is still being written is not read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the files are compared: soon enough for a person who waits, and a handful of `stat` calls.
pub(super) const ROUND: Duration = Duration::from_secs(2);

/// What the file system says of the files of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<PathBuf, Option<Stamp>>);

/// What tells one state of a file from another. Of the file that a link leads to, so a replaced link is a change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    /// In bytes; 0 for folders, whose size says nothing.
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

impl Fingerprint {
    /// Of `files`, and of the folders they are in: a file that an `include` pattern will match appears there.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let folders = files.iter().filter_map(|file| file.parent()).map(|folder| match folder.as_os_str() {
            nothing if nothing.is_empty() => Path::new("."),
            _ => folder,
        });
        let paths = files.iter().map(PathBuf::as_path).chain(folders);
        Self(paths.map(|path| (path.to_owned(), stamp(path))).collect())
    }
}

impl Fingerprint {
    /// With what `before` says of the paths that both know: what changed since then is still a change.
    #[must_use]
    pub(super) fn with_known(mut self, before: &Self) -> Self {
        for (path, stamp) in &mut self.0 {
            if let Some(known) = before.0.get(path) {
                stamp.clone_from(known);
            }
        }
        self
    }
}

/// `None` where there is nothing at `path`, or nothing that may be read.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: if found.is_dir() { 0 } else { found.len() },
        modified: (found.mtime(), found.mtime_nsec()),
    })
}

/// Watches for changes that have come to rest.
#[derive(Debug)]
pub(super) struct Watch {
    /// As last reported, or as at the start.
    known: Fingerprint,
    /// As found in the last round.
    last: Fingerprint,
}

impl Watch {
    pub(super) fn new(now: Fingerprint) -> Self {
        Self { known: now.clone(), last: now }
    }

    /// Takes what a round found. True where the files differ from what was last reported and did not change since the
    /// round before.
    pub(super) fn changed(&mut self, found: Fingerprint) -> bool {
        let settled = found == self.last;
        self.last = found;
        if settled && self.last != self.known {
            self.known = self.last.clone();
            return true;
        }
        false
    }

    /// The configuration was read again, after `known` was found; `now` is what is found after it.
    pub(super) fn start_over(&mut self, known: Fingerprint, now: Fingerprint) {
        *self = Self { known, last: now };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_is_reported_once_and_only_when_it_has_come_to_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("driftwise.yaml");
        let files = [file.clone()];
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(Fingerprint::of(&files));
        assert!(!watch.changed(Fingerprint::of(&files)), "nothing has changed");
        fs::write(&file, "ab").unwrap();
        assert!(!watch.changed(Fingerprint::of(&files)), "it may still be being written");
        fs::write(&file, "abc").unwrap();
        assert!(!watch.changed(Fingerprint::of(&files)), "it was");
        assert!(watch.changed(Fingerprint::of(&files)));
        assert!(!watch.changed(Fingerprint::of(&files)), "reported already");
    }

    #[test]
    fn a_change_while_the_configuration_is_read_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("driftwise.yaml");
        let files = [file.clone()];
        fs::write(&file, "a").unwrap();
        let before = Fingerprint::of(&files);
        let mut watch = Watch::new(before.clone());
        // The reload has read "a" when the editor saves.
        fs::write(&file, "ab").unwrap();
        let after = Fingerprint::of(&files);
        watch.start_over(after.clone().with_known(&before), after);
        assert!(watch.changed(Fingerprint::of(&files)));
        assert!(!watch.changed(Fingerprint::of(&files)));
    }

    #[test]
    fn a_file_that_is_deleted_and_one_that_appears_beside_it_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("driftwise.yaml");
        let files = [file.clone()];
        fs::write(&file, "a").unwrap();
        let present = Fingerprint::of(&files);
        fs::write(folder.path().join("more.yaml"), "").unwrap();
        let joined = Fingerprint::of(&files);
        assert_ne!(present, joined);
        fs::remove_file(&file).unwrap();
        assert_ne!(joined, Fingerprint::of(&files));
    }

    #[test]
    fn the_link_that_a_configmap_swaps_two_levels_up_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("..first", "same"), ("..second", "same")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("driftwise.yaml"), text).unwrap();
        }
        symlink("..first", path("..data")).unwrap();
        symlink("..data/driftwise.yaml", path("driftwise.yaml")).unwrap();
        let files = [path("driftwise.yaml")];
        let before = Fingerprint::of(&files);
        symlink("..second", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert_ne!(before, Fingerprint::of(&files));
    }
}
