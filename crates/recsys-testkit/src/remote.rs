//! The real binaries, with all their data in a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use recsys_core::artifact::Kind;
use serde_json::{Value, json};

use crate::golden::repository;
use crate::reader::read_published_at;
use crate::s3::S3;
use crate::sandbox::{Finished, Sandbox};

/// The shop sample in a bucket, below a prefix used by a single test.
#[derive(Debug)]
pub struct Remote {
    /// Folder in which binaries run; it holds only `config.json`.
    pub sandbox: Sandbox,
    /// Client of the server.
    pub s3: S3,
    /// Prefix of the test in the bucket.
    pub prefix: String,
    /// Contents of `config.json`.
    pub config: Value,
    /// Endpoint that binaries use, such as a proxy's.
    pub endpoint: String,
}

impl Default for Remote {
    fn default() -> Self {
        Self::new()
    }
}

impl Remote {
    /// Uploads the sample and writes a configuration with every root in the bucket.
    pub fn new() -> Self {
        let (s3, prefix) = (S3::from_env(), S3::unique_prefix());
        let samples = repository().join("testdata");
        upload(&s3, &samples.join("events/shop"), &format!("{prefix}/raw"));
        s3.put(&format!("{prefix}/shop.csv"), fs::read(samples.join("catalog/shop.csv")).unwrap());
        let root = format!("s3://{}/{prefix}", s3.bucket);
        let config = json!({
            "out_dir": format!("{root}/out"),
            "raw_events_dir": format!("{root}/raw"),
            "catalog": {"path": format!("{root}/shop.csv")},
            "artifact_kinds": Kind::ALL,
        });
        let endpoint = s3.endpoint.clone();
        let remote = Self { sandbox: Sandbox::new(), s3, prefix, config, endpoint };
        remote.write_config();
        remote
    }

    /// Writes `config` to `config.json`.
    pub fn write_config(&self) {
        self.sandbox.write("config.json", self.config.to_string());
    }

    /// A command for a binary, with the S3 settings in its environment.
    pub fn command(&self, binary: &str) -> Command {
        let mut command = self.sandbox.command(binary);
        command.envs(self.s3.settings_at(&self.endpoint));
        command
    }

    /// Runs a binary to its end; `line` holds its flags, separated by blanks.
    pub fn run(&self, binary: &str, line: &str) -> Finished {
        self.command(binary).args(line.split_whitespace()).output().unwrap().into()
    }

    /// Full key of `name` below the test's prefix.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// Keys and contents of the objects below a folder.
    pub fn objects(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let keys = self.s3.keys(&self.key(folder));
        keys.into_iter()
            .map(|key| (key[self.prefix.len() + 1..].to_owned(), self.s3.get(&key).unwrap()))
            .collect()
    }

    /// The current artifacts, read by a client that knows only the bucket.
    pub fn published(&self) -> Option<BTreeMap<Kind, String>> {
        let bucket = format!("s3://{}/", self.s3.bucket);
        let manifest = format!("{bucket}{}", self.key("out/registry/current/demo/home/manifest.json"));
        read_published_at(&manifest, |uri| self.s3.get(uri.strip_prefix(&bucket).expect("of the bucket")))
    }
}

fn upload(s3: &S3, folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let key = format!("{prefix}/{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            upload(s3, &path, &key);
        } else {
            s3.put(&key, fs::read(&path).unwrap());
        }
    }
}
