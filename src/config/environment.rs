//! Environment variables: those of the process, or a table in a test. No other code of the program reads them.

/// A lookup of environment variables by name; `None` where one is not set.
pub trait Environment {
    fn variable(&self, name: &str) -> Option<String>;
}

/// The variables of this process. A value that is not valid Unicode counts as not set.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the configuration reads the environment"
    )]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn variable(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Whether `name` can be the name of a variable: letters, digits and underscores, not starting with a digit.
pub(super) fn is_variable_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}
