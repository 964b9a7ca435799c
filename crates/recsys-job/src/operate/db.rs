//! `db init`: creates the tables for a pilot.

use recsys_core::database::{Mode, TableName, TableNames, TableState};
use serde::Serialize;

use super::table;
use crate::config::{Config, ConfigError};
use crate::pipeline::database::connect;
use crate::shell::cli::{CommonArgs, EXIT_CODES, Flags};
use crate::shell::output::Output;
use crate::watch::metrics::Run;

/// The commands of `recsys-pipelines db`.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum DbCommand {
    /// Create the tables that are missing in the database of `db.dsn`
    ///
    /// For pilots: a real installation has its tables already. What is there is compared and never altered; if
    /// a table is not what it must be, nothing is created and exit code 2 names every column.
    #[command(after_help = EXIT_CODES)]
    Init {
        /// Say what is missing, and create nothing
        #[arg(long)]
        dry_run: bool,

        #[command(flatten)]
        common: CommonArgs,
    },
}

impl Flags for DbCommand {
    fn common(&self) -> &CommonArgs {
        let Self::Init { common, .. } = self;
        common
    }
}

#[derive(Debug, Serialize)]
struct Initialised {
    /// Whether the tables were only inspected.
    dry_run: bool,
    tables: Vec<TableReport>,
}

#[derive(Debug, Serialize)]
struct TableReport {
    table: TableName,
    state: TableState,
}

pub(crate) fn db(DbCommand::Init { dry_run, common }: &DbCommand, run: &Run) -> anyhow::Result<()> {
    let dry_run = *dry_run;
    let mut config = Config::load(common.config.as_deref(), run.linked)?;
    config.storage = config.storage.for_operator();
    let dsn = config.db.dsn.as_ref().ok_or(ConfigError::DsnMissing)?;
    let source = &config.raw_source.postgres;
    let is_here = source.dsn.as_ref().is_none_or(|own| own == dsn);
    let names =
        TableNames { exposures: is_here.then(|| source.exposure_table.clone()), ..TableNames::default() };
    let mode = if dry_run { Mode::DryRun } else { Mode::Write };
    let states = connect(&config, run.linked, dsn)?.init_tables(&names, mode)?;
    let tables = states.into_iter().map(|(table, state)| TableReport { table, state });
    let document = Initialised { dry_run, tables: tables.collect() };
    let output = Output::new(common.json);
    let mut shown = table(["TABLE", "STATE"]);
    for TableReport { table, state } in &document.tables {
        let state = match (state, dry_run) {
            (TableState::Created, false) => "created",
            (TableState::Created, true) => "missing",
            (TableState::Present, _) => "present",
        };
        shown.add_row([&table.to_string(), state]);
    }
    output.line(shown.trim_fmt());
    output.end(&document, Ok(()))
}
