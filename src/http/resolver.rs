//! Resolves host names with the resolver of the operating system.
//!
//! That resolver hides the cause of a failure: without a descriptor for `/etc/hosts` or a socket it reports an unknown host. So
//! this opens descriptors before the call, and again after a failure, to detect a shortage.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// See the module.
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || addresses(name.as_str())).await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn addresses(name: &str) -> io::Result<Vec<SocketAddr>> {
    expect_descriptors()?;
    match (name, 0).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(expect_descriptors().err().unwrap_or(error)),
    }
}

/// Fails with the error of the operating system if a resolver would find too few descriptors.
fn expect_descriptors() -> io::Result<()> {
    /// A resolver opens a file and a socket at the same time.
    const NEEDED: usize = 2;
    let open = (0..NEEDED).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>();
    match open {
        // Without that file the number of free descriptors is unknown.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(()),
        open => open.map(drop),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use nix::errno::Errno;
    use nix::sys::resource::{Resource, getrlimit};

    use super::*;

    /// Runs itself in a process with few descriptors, of which all but one are in use.
    #[test]
    fn a_shortage_of_descriptors_is_not_reported_as_an_unknown_host() {
        const FEW: u64 = 61;
        let test = "http::resolver::tests::\
                    a_shortage_of_descriptors_is_not_reported_as_an_unknown_host";
        if getrlimit(Resource::RLIMIT_NOFILE).unwrap().0 != FEW {
            let mut again = Command::new("sh");
            again.args(["-c", &format!("ulimit -n {FEW} && exec \"$0\" --exact {test}")]);
            let output = again.arg(std::env::current_exe().unwrap()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let mut open = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            open.push(file);
        }
        open.pop();
        let error = addresses("no-such-host.invalid").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32), "{error}");
        open.pop();
        open.pop();
        assert!(addresses("127.0.0.1").is_ok());
    }
}
