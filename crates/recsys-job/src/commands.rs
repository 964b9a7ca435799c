//! The commands of `recsys-pipelines`. A new one is a file in `operate/` and an entry in the list here.

use clap::Parser;
use recsys_core::domain::id::Scope;

use crate::operate::{db, diff, gc, history, release, rollback, settings, show, status, verify};
use crate::pipeline::run;
use crate::shell::cli::{CommonArgs, Flags, RunJob};
use crate::watch::metrics::Run;

/// Flags of `recsys-pipelines`.
#[derive(Debug, Clone, Parser)]
pub struct Pipelines {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// Each command: its help, flags and name, and what it does.
macro_rules! commands {
    (|$flags:ident, $run:ident|
     $($(#[$attribute:meta])* $variant:ident($job:ty) = $name:literal => $call:expr;)*) => {
        #[derive(Debug, Clone, clap::Subcommand)]
        enum Command {
            $($(#[$attribute])* $variant($job),)*
        }

        impl Flags for Pipelines {
            fn common(&self) -> &CommonArgs {
                match &self.command { $(Command::$variant(flags) => flags.common(),)* }
            }

            fn scope(&self) -> Option<Scope> {
                match &self.command { $(Command::$variant(flags) => flags.scope(),)* }
            }

            fn command_name(&self) -> Option<&'static str> {
                Some(match &self.command { $(Command::$variant(_) => $name,)* })
            }
        }

        /// Runs a command.
        pub fn pipelines(flags: &Pipelines, $run: &Run) -> anyhow::Result<()> {
            match &flags.command { $(Command::$variant($flags) => $call,)* }
        }
    };
}

commands! {
    |flags, run|

    /// Ingest, validate, build, stage and publish each day of a range
    ///
    /// Reads the raw events once and builds every kind in `artifact_kinds` from them. Each day is published
    /// before the next one begins. Running the same day again changes nothing.
    ///
    /// For example: recsys-pipelines run --config configs/env/local.json --tenant demo --surface home --start
    /// 2026-01-01
    Run(RunJob) = "run" => run::run(flags, run);

    /// What is current, until which day its data goes, how old it is, and what is wrong with it
    ///
    /// A line for each tenant and surface, worst first. A manifest that was lost, and an artifact of the future, end it
    /// with code 3; an age that is given does, too, when something is older or missing.
    Status(status::StatusJob) = "status" => status::status(flags, run);

    /// What is live: the artifact of a kind that the manifest names
    ///
    /// For example: recsys-pipelines show cooc --config configs/env/shop.json --tenant demo --surface home --item tent
    Show(show::ShowJob) = "show" => show::show(flags, run);

    /// Every manifest that was current, newest first
    History(history::HistoryJob) = "history" => history::history(flags, run);

    /// Make an earlier manifest current again
    ///
    /// Every blob that would become current is read and its hash recomputed first; if one is missing or
    /// damaged, nothing changes. A rollback is itself an entry of the history and can be rolled back. With --to it
    /// brings back a manifest that was lost.
    Rollback(rollback::RollbackJob) = "rollback" => rollback::rollback(flags, run);

    /// Let publishes move what `rollback --hold` holds
    Release(release::ReleaseJob) = "release" => release::release(flags, run);

    /// Re-read and re-hash all that the manifest names; exit code 3 on a mismatch
    Verify(verify::VerifyJob) = "verify" => verify::verify(flags, run);

    /// What changed between two manifests, per kind
    ///
    /// Says which items came and went, and which moved farthest in rank. Items are ranked by weight: their
    /// count in popularity, the sum of their row in cooc, the sum of their scores over all users in implicit
    /// and `session_seq`. A blob that is missing or damaged is an error with exit code 3. With --against, before is
    /// what is current here, and after what is current in the other registry.
    ///
    /// For example: recsys-pipelines diff --config configs/env/shop.json --tenant demo --surface home --kind
    /// popularity
    Diff(diff::DiffJob) = "diff" => diff::diff(flags, run);

    /// List blobs and records that nothing in the kept history names, and delete them with --delete
    ///
    /// Kept is whatever a kept manifest names, and whatever is younger than --older-than, so that it can run
    /// beside a publish. History, canonical data and staged artifacts are never touched.
    ///
    /// For example: recsys-pipelines gc --config configs/env/shop.json --older-than 30d --keep 10
    Gc(gc::GcJob) = "gc" => gc::gc(flags, run);

    /// The database that signals are written to
    #[command(subcommand)]
    Db(db::DbCommand) = "db" => db::db(flags, run);

    /// The effective configuration
    #[command(subcommand)]
    Config(settings::ConfigCommand) = "config" => settings::config(flags, run);
}
