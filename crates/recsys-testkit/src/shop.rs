//! The shop sample, published, for tests of the operator's commands.

use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Finished, Sandbox};
use crate::scope::MANIFEST;

/// Flags for the tenant and surface of the sample.
pub const SCOPE: &str = "--tenant demo --surface home";

/// A sandbox with three published days of the shop.
#[derive(Debug)]
pub struct Shop(pub Sandbox);

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Shop {
    /// Publishes 1 to 3 January of the shop in a new sandbox.
    pub fn new() -> Self {
        let shop = Self(Sandbox::shop());
        shop.run(&format!("run {SCOPE} --start 2026-01-01 --end 2026-01-03")).ok();
        shop
    }

    /// Runs a command with the shop's configuration.
    pub fn run(&self, line: &str) -> Finished {
        self.0.run("recsys-pipelines", &format!("{line} --config config.json"))
    }

    /// Like [`Self::run`], with environment variables and with arguments that may contain blanks.
    pub fn with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Finished {
        let mut command = self.0.command("recsys-pipelines");
        command.args(arguments).args(["--config", "config.json"]).envs(environment.iter().copied());
        command.output().unwrap().into()
    }

    /// The JSON document that a command prints, whatever its exit code.
    pub fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} --json")).json()
    }

    /// The current manifest.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.join(MANIFEST)).unwrap()).unwrap()
    }

    /// Entries of the history, newest first.
    pub fn entries(&self) -> Vec<Value> {
        self.json(&format!("history {SCOPE}"))["entries"].as_array().unwrap().clone()
    }

    /// Hashes of the history, newest first.
    pub fn hashes(&self) -> Vec<String> {
        self.entries().iter().map(|entry| entry["hash"].as_str().unwrap().to_owned()).collect()
    }
}

impl Sandbox {
    /// A sandbox with the raw events of the shop and a configuration that reads them; nothing is published.
    pub fn shop() -> Self {
        let sandbox = Self::new();
        sandbox.copy("testdata/events/shop", "raw");
        sandbox.configure(&json!({}));
        sandbox
    }
}
