//! The shop sample, published: what the operator's commands are tried on.

use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Finished, Sandbox};

/// Whose the sample is.
pub const SCOPE: &str = "--tenant demo --surface home";

/// Its manifest.
pub const MANIFEST: &str = "out/registry/current/demo/home/manifest.json";

/// Three days of the shop, published one after the other.
#[derive(Debug)]
pub struct Shop(pub Sandbox);

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Shop {
    /// The shop of which 1 to 3 January are published.
    pub fn new() -> Self {
        let shop = Self(Sandbox::shop());
        shop.run(&format!("run {SCOPE} --start 2026-01-01 --end 2026-01-03")).ok();
        shop
    }

    /// Runs a command with the configuration of the shop.
    pub fn run(&self, line: &str) -> Finished {
        self.0.run("recsys-pipelines", &format!("{line} --config config.json"))
    }

    /// The same with variables, and arguments that may hold blanks.
    pub fn with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Finished {
        let mut command = self.0.command("recsys-pipelines");
        command.args(arguments).args(["--config", "config.json"]).envs(environment.iter().copied());
        command.output().unwrap().into()
    }

    /// The document that a command prints, however it ends.
    pub fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} --json")).json()
    }

    /// The manifest.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.join(MANIFEST)).unwrap()).unwrap()
    }

    /// The entries of the history, newest first.
    pub fn entries(&self) -> Vec<Value> {
        self.json(&format!("history {SCOPE}"))["entries"].as_array().unwrap().clone()
    }

    /// The hashes of the history, newest first.
    pub fn hashes(&self) -> Vec<String> {
        self.entries().iter().map(|entry| entry["hash"].as_str().unwrap().to_owned()).collect()
    }
}

impl Sandbox {
    /// A folder with the raw events of the shop, and a configuration that reads them.
    pub fn shop() -> Self {
        let sandbox = Self::new();
        sandbox.copy("testdata/events/shop", "raw");
        sandbox.write("config.json", json!({"out_dir": "out", "raw_events_dir": "raw"}).to_string());
        sandbox
    }
}
