//! The real binaries against a real Postgres server. Each test has its own database.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod catalog;
mod faults;
mod hidden_rows;
mod hosted;
mod ingest;
mod init;
mod interruptions;
mod keys;
mod linkage;
mod outcomes;
mod pooler;
mod signals;

use std::process::Command;

use recsys_testkit::postgres::Database;
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

/// Id of the tenant `demo`.
const DEMO: &str = "00000000-0000-0000-0000-00000000000a";

/// Flags for a run of one day.
const DAY: &str = "--config config.json --tenant demo --surface home --start 2026-01-01";

/// A sandbox, and a database with the pilot's tables and the tenant `demo`.
struct Pilot {
    sandbox: Sandbox,
    database: Database,
    config: Value,
}

impl Pilot {
    fn new() -> Self {
        let config = json!({
            "out_dir": "out", "raw_events_dir": "raw", "limits": {"min_cooc_support": 1},
            "storage": {"retry_timeout_s": 0},
        });
        let pilot = Self { sandbox: Sandbox::new(), database: Database::new(), config };
        pilot.configure(|_| ());
        pilot.run("recsys-pipelines", "db init --config config.json").ok();
        pilot.database.execute(&format!(
            "insert into tenants (id, external_id, name) values ('{DEMO}', 'demo', 'Demo'), (gen_random_uuid(), 'other', 'Other')"
        ));
        pilot
    }

    /// Writes the configuration with `change` applied; the next call starts from the original again.
    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config.clone();
        change(&mut config);
        self.sandbox.write("config.json", config.to_string());
    }

    /// A command with the DSN in its environment.
    fn command(&self, binary: &str, line: &str) -> Command {
        let mut command = self.sandbox.command(binary);
        command.env("RECSYS_PIPELINES__DB__DSN", self.database.url()).args(line.split_whitespace());
        command
    }

    fn run(&self, binary: &str, line: &str) -> Finished {
        self.finish(&mut self.command(binary, line))
    }

    /// Runs a command and asserts that its output does not contain the password.
    fn finish(&self, command: &mut Command) -> Finished {
        let finished = Finished::from(command.output().unwrap());
        self.hides_password(&finished);
        finished
    }

    fn hides_password(&self, finished: &Finished) {
        let password = self.password();
        assert!(
            !finished.stdout.contains(&password) && !finished.stderr.contains(&password),
            "{finished:#?}"
        );
    }

    fn password(&self) -> String {
        let url = self.database.url();
        url.split_once('@').unwrap().0.rsplit_once(':').unwrap().1.to_owned()
    }

    /// Runs a binary successfully and returns the document it prints.
    fn document(&self, binary: &str, line: &str) -> Value {
        let finished = self.run(binary, &format!("{line} --json"));
        serde_json::from_str(&finished.ok().stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }

    /// Writes the raw events of the day: sessions, and the items shown in each.
    fn write_sessions<S: AsRef<str>>(&self, sessions: &[(S, impl AsRef<[S]>)]) {
        let mut lines = String::new();
        for (session, items) in sessions {
            for item in items.as_ref() {
                let event = json!({
                    "v": 1, "ts": "2026-01-01T08:00:00Z", "tenant": "demo", "surface": "home",
                    "session_id": session.as_ref(), "item_id": item.as_ref(),
                });
                lines += &format!("{event}\n");
            }
        }
        self.sandbox.write("raw/exposure.jsonl", lines);
    }

    /// All signals.
    fn signals(&self) -> Vec<String> {
        self.database.lines(
            "select day, item_id, '', score from item_popularity_daily union all
             select day, item_id, neighbor_id, score from item_covisit_daily order by 1, 2, 3",
        )
    }

    /// All signals, with the columns that change on every write.
    fn traces(&self) -> Vec<String> {
        self.database.lines(
            "select day, item_id, '', ctid, xmin, updated_at from item_popularity_daily union all
             select day, item_id, neighbor_id, ctid, xmin, updated_at from item_covisit_daily order by 1, 2, 3",
        )
    }
}
