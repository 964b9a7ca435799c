//! Places for stores in tests: on disk, in memory, or in a bucket of the test S3 server.

use std::fs;
use std::process::Command;

use recsys_core::storage::{Roots, S3Settings, Store, StoreTimeouts};
use tempfile::TempDir;

use crate::s3::S3;
use crate::sandbox::Sandbox;

/// A place used by a single test.
#[derive(Debug)]
pub enum Backend {
    /// A folder on disk.
    Disk(TempDir),
    /// URL of a bucket in memory.
    Memory(String),
    /// A bucket on the server, and the test's prefix in it.
    Bucket(S3, String),
}

impl Backend {
    /// A new folder on disk.
    pub fn disk() -> Self {
        Self::Disk(tempfile::tempdir().unwrap())
    }

    /// A new bucket in memory.
    pub fn memory() -> Self {
        Self::Memory(format!("memory://{}", S3::unique_prefix()))
    }

    /// A new prefix in a bucket on the server.
    pub fn bucket() -> Self {
        Self::Bucket(S3::from_env(), S3::unique_prefix())
    }

    /// Path or URL of the root `name` in this place.
    pub fn root(&self, name: &str) -> String {
        match self {
            Self::Disk(dir) => dir.path().join(name).display().to_string(),
            Self::Memory(url) => format!("{url}/{name}"),
            Self::Bucket(s3, prefix) => format!("s3://{}/{prefix}/{name}", s3.bucket),
        }
    }

    /// Opens the root `name` in this place.
    pub fn store(&self, name: &str) -> Box<dyn Store> {
        let sections = match self {
            Self::Bucket(s3, _) => vec![section(s3)],
            _ => Vec::new(),
        };
        Roots::new(sections, StoreTimeouts::default()).open(&self.root(name)).unwrap()
    }

    /// A command for a binary in `sandbox` that uses this place.
    pub fn command(&self, sandbox: &Sandbox, binary: &str, line: &str) -> Command {
        let mut command = sandbox.command(binary);
        command.args(line.split_whitespace());
        if let Self::Bucket(s3, _) = self {
            command.envs(s3.settings());
        }
        command
    }

    /// Reads the document at a URI; on disk and in a bucket without the code under test.
    pub fn read(&self, uri: &str) -> Option<Vec<u8>> {
        match self {
            Self::Disk(_) => fs::read(uri.strip_prefix("file://").unwrap()).ok(),
            Self::Memory(url) => {
                let key = uri.strip_prefix(url).unwrap().trim_start_matches('/');
                self.store("").read(key).unwrap()
            }
            Self::Bucket(s3, _) => s3.get(uri.strip_prefix(&format!("s3://{}/", s3.bucket)).unwrap()),
        }
    }
}

/// S3 settings for the test server.
fn section(s3: &S3) -> S3Settings {
    serde_json::from_value(serde_json::json!({
        "endpoint": s3.endpoint,
        "bucket": s3.bucket,
        "access_key": s3.access_key,
        "secret_key": s3.secret_key,
        "use_ssl": s3.endpoint.starts_with("https://"),
    }))
    .unwrap()
}
