//! The real mail server: installed beside the build on first use, one process for each test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::certificate::authority;

/// A message that the server accepted.
#[derive(Debug, Deserialize)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    pub user: Option<String>,
    pub secure: bool,
    #[serde(deserialize_with = "decoded")]
    pub raw: Vec<u8>,
}

fn decoded<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

pub struct Server {
    pub port: u16,
    child: Child,
    said: Mutex<BufReader<ChildStdout>>,
}

impl Server {
    /// `options`: those of `tests/smtp/server.mjs`, and `expired` for an expired certificate.
    pub fn start(mut options: Value) -> Self {
        let authority = authority();
        options["key"] = authority.key.clone().into();
        let cert = if options["expired"] == true { &authority.expired } else { &authority.cert };
        options["cert"] = cert.clone().into();
        options["modules"] = format!("{}/", installed().display()).into();
        let mut child = Command::new("node")
            .arg(sources().join("server.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need node: install Node.js 18 or newer");
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let first: Value = read(&mut said);
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Self { port, child, said: Mutex::new(said) }
    }

    /// Waits for the next accepted message.
    pub fn taken(&self) -> Taken {
        read(&mut self.said.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read<T: serde::de::DeserializeOwned>(said: &mut BufReader<ChildStdout>) -> T {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("the mail server said {line:?}: {e}"))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp")
}

/// The folder whose `node_modules` hold the server.
fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smtp-server");
        std::fs::create_dir_all(&folder).unwrap();
        let lock = std::fs::read(sources().join("package-lock.json")).unwrap();
        let done = folder.join("installed");
        if std::fs::read(&done).is_ok_and(|before| before == lock) {
            return folder;
        }
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(sources().join(name), folder.join(name)).unwrap();
        }
        let status = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .current_dir(&folder)
            .status()
            .expect("these tests need npm, to install the mail server that they talk to");
        assert!(status.success(), "npm ci in {} failed: the tests need the package smtp-server", folder.display());
        std::fs::write(done, lock).unwrap();
        folder
    })
}
