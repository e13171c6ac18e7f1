//! The disk space that the store takes, and the space that is left for it.

use super::error::{Fault, Operation, StoreError};
use super::{Store, file};

/// Disk use of the store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// The database and its write-ahead log.
    pub size: u64,
    /// Free on the file system of the database, for a process without privileges.
    pub free: u64,
}

impl Store {
    /// Asks the file system.
    pub async fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let path = self.path.clone();
        // A network file system can take long to respond.
        let asked = tokio::task::spawn_blocking(move || -> Result<DiskUsage, Fault> {
            let size = std::fs::metadata(&path)?.len();
            let log = std::fs::metadata(file::log(&path)).map_or(0, |log| log.len());
            let space = nix::sys::statvfs::statvfs(&path).map_err(std::io::Error::from)?;
            Ok(DiskUsage { size: size + log, free: space.blocks_available() * space.fragment_size() })
        });
        let asked = asked.await.map_err(|error| Fault::from(std::io::Error::other(error)));
        asked.and_then(|usage| usage).map_err(self.error(Operation::Probe))
    }
}
