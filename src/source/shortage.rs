//! Distinguishes a shortage of descriptors or memory on this machine from a failure of the source.
//!
//! A poll that found no descriptor made no request, so it says nothing about the source.

use std::io::{self, ErrorKind};

use nix::errno::Errno;

use super::{Failure, FetchError};

/// The failure of the poll, if `error` is a shortage of this machine.
pub(super) fn of(error: &io::Error) -> Option<FetchError> {
    let lacking = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "this process has no file descriptor left (its limit is reached)",
        Some(Errno::ENFILE) => "this machine has no file descriptor left",
        Some(Errno::ENOMEM | Errno::ENOBUFS) => "this machine has no memory left",
        _ if error.kind() == ErrorKind::OutOfMemory => "this machine has no memory left",
        _ => return None,
    };
    let reason = format!("{lacking}: the source was not asked");
    Some(FetchError { asked: false, ..FetchError::new(Failure::OwnLimit, reason) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_or_memory_is_not_a_failure_of_the_source() {
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS] {
            let error = of(&io::Error::from_raw_os_error(errno as i32)).unwrap();
            assert_eq!((error.failure, error.asked), (Failure::OwnLimit, false), "{errno}");
        }
        assert!(of(&ErrorKind::OutOfMemory.into()).is_some());
        for errno in [Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ENOENT, Errno::EACCES, Errno::EADDRNOTAVAIL] {
            assert_eq!(of(&io::Error::from_raw_os_error(errno as i32)), None, "{errno}");
        }
    }
}
