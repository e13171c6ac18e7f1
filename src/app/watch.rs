//! Detects changes of the configuration's files, for `reload: watch`.
//!
//! Every few seconds it compares the state of each file that was read with the state just before it was read. Kernel events would
//! be quicker, but network mounts send none, and a Kubernetes `ConfigMap` replaces a link two levels up. A change counts once two
//! rounds in a row find the same state, so that a file is not read while an editor still writes it.

use std::time::Duration;

use crate::config::Inputs;

/// Time between two rounds: short enough for a person who waits, and the work is a few `stat` calls.
pub(super) const ROUND: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// As they were read, or as last reported.
    known: Inputs,
    /// As the last round found them.
    last: Inputs,
}

impl FileWatch {
    /// Watches the files in `read`. Every change since they were read is noticed.
    pub(super) fn new(read: Inputs) -> Self {
        Self { known: read.clone(), last: read }
    }

    pub(super) fn inputs(&self) -> &Inputs {
        &self.known
    }

    /// Takes the result of a round. True if the files differ from those read or last reported, and are as in the round before.
    pub(super) fn changed(&mut self, found: Inputs) -> bool {
        let settled = found == self.last;
        self.last = found;
        if settled && self.last != self.known {
            self.known = self.last.clone();
            return true;
        }
        false
    }

    /// Watches the files of the latest attempt to read the configuration; the present ones where it read none.
    pub(super) fn start_over(&mut self, read: Inputs) {
        if !read.is_empty() {
            *self = Self::new(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use crate::config::{Config, Environment};

    use super::*;

    const TEXT: &str = "sources: { grid: { type: file, path: a.csv } }\n\
        sessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n";

    fn read(path: &std::path::Path) -> Inputs {
        let environment: &dyn Environment = &|_: &str| None;
        match Config::load(path, environment, chrono::DateTime::UNIX_EPOCH) {
            Ok(config) => config.inputs,
            Err(problems) => problems.inputs,
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("driftwise.yaml");
        fs::write(&file, TEXT).unwrap();
        (folder, file)
    }

    #[test]
    fn a_change_is_reported_once_and_only_when_it_has_settled() {
        let (_folder, file) = folder();
        let mut watch = FileWatch::new(read(&file));
        let round = |watch: &mut FileWatch| {
            let found = watch.inputs().current();
            watch.changed(found)
        };
        assert!(!round(&mut watch), "nothing has changed");
        fs::write(&file, "a").unwrap();
        assert!(!round(&mut watch), "the editor may still write");
        fs::write(&file, "ab").unwrap();
        assert!(!round(&mut watch), "it did");
        assert!(round(&mut watch));
        assert!(!round(&mut watch), "reported already");
    }

    #[test]
    fn a_change_after_a_file_was_read_is_not_missed() {
        let (_folder, file) = folder();
        let mut watch = FileWatch::new(read(&file));
        let inputs = read(&file);
        // The editor saves while the rest of the reload goes on.
        fs::write(&file, "").unwrap();
        watch.start_over(inputs);
        let found = watch.inputs().current();
        assert!(!watch.changed(found.clone()));
        assert!(watch.changed(found));
    }
}
