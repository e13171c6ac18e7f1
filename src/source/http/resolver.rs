//! Host names to addresses, by the operating system's resolver.
//!
//! That resolver hides why it failed: without a descriptor for `/etc/hosts` or for a socket it says that there is no such
//! host. So descriptors are tried before it is asked, and again when it fails.

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

/// Fails as the operating system does where it has no descriptors for a resolver.
fn expect_descriptors() -> io::Result<()> {
    /// What a resolver holds open at once: a file that it reads, and a socket.
    const NEEDED: usize = 2;
    let open = (0..NEEDED).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>();
    match open {
        // A machine without that file says nothing of its descriptors.
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

    /// Runs itself again, as a program of few descriptors of which all but one are in use.
    #[test]
    fn a_host_that_was_not_looked_up_for_want_of_descriptors_is_not_called_unknown() {
        const FEW: u64 = 61;
        let test = "source::http::resolver::tests::\
                    a_host_that_was_not_looked_up_for_want_of_descriptors_is_not_called_unknown";
        if getrlimit(Resource::RLIMIT_NOFILE).unwrap().0 != FEW {
            let mut again = Command::new("sh");
            again.args(["-c", &format!("ulimit -n {FEW} && exec \"$0\" --exact {test}")]);
            let output = again.arg(std::env::current_exe().unwrap()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let mut held = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            held.push(file);
        }
        held.pop();
        let error = addresses("no-such-host.invalid").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32), "{error}");
        held.pop();
        held.pop();
        assert!(addresses("127.0.0.1").is_ok());
    }
}
