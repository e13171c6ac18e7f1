//! Secrets: values without a text form, exposed only by the function that builds a credential; and their removal from outside
//! text (`redactor`).

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

mod redactor;
mod spelling;
mod unknown;

pub use redactor::{KnownSecret, REDACTED, Redactor};

/// Largest secret file, in bytes; a key in PEM has a few thousand.
const LARGEST: u64 = 64 << 10;

/// A secret of the configuration. Its `Debug` does not show the value.
#[derive(Clone)]
pub enum Secret {
    /// From the configuration, or from the environment when the configuration was read.
    Given(SecretString),
    /// Read at each use, so that the next sign-in after a refused one uses a rotated secret.
    File(PathBuf),
    /// Of a part of the configuration whose secrets the command does not need.
    NotNeeded,
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret file {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the secret file {path} is empty")]
    Empty { path: PathBuf },
    #[error("the secret file {path} is larger than 64 KiB")]
    TooLarge { path: PathBuf },
    #[error("the secret was not read, because this command does not need it")]
    NotNeeded,
}

impl Secret {
    pub fn given(value: impl Into<String>) -> Self {
        Self::Given(SecretString::from(value.into()))
    }

    /// The value, for the function that builds the credential. Drops one line break at the end of a file.
    pub fn value(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::NotNeeded => Err(SecretError::NotNeeded),
            Self::File(path) => {
                let failed = |source| SecretError::File { path: path.clone(), source };
                let mut text = String::new();
                // A wrong path may name an endless device.
                File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
                if text.len() as u64 > LARGEST {
                    return Err(SecretError::TooLarge { path: path.clone() });
                }
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    return Err(SecretError::Empty { path: path.clone() });
                }
                Ok(SecretString::from(text))
            }
        }
    }
}

impl Secret {
    /// Runs `check` on the value, to validate its form.
    pub fn checked<T>(&self, check: impl FnOnce(&str) -> T) -> Result<T, SecretError> {
        Ok(check(self.value()?.expose_secret()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Secret(given)"),
            Self::NotNeeded => f.write_str("Secret(not needed)"),
            Self::File(path) => write!(f, "Secret(file {})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_reads_the_secret_file_and_drops_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let secret = Secret::File(path.clone());
        assert!(matches!(secret.value(), Err(SecretError::File { .. })));
        for (written, expected) in [("one\n", "one"), ("two\r\n", "two"), (" three \n\n", " three \n")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(secret.value().unwrap().expose_secret(), expected);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(secret.value(), Err(SecretError::Empty { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn an_endless_device_is_not_read_as_a_secret() {
        let endless = Secret::File("/dev/zero".into());
        assert!(matches!(endless.value(), Err(SecretError::TooLarge { .. })));
    }

    #[test]
    fn a_secret_does_not_show_its_value() {
        assert_eq!(format!("{:?}", Secret::given("hunter2")), "Secret(given)");
    }
}
