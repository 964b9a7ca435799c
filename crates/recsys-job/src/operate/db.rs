//! `db init`: creates the tables for a pilot.

use recsys_core::database::{Driver, Mode, TableName, TableNames, TableState};
use recsys_core::domain::id::Scope;
use serde::Serialize;

use super::table;
use crate::config::{Config, ConfigError};
use crate::pipeline::database::connect;
use crate::shell::cli::{CommandFlags, CommonArgs, EXIT_CODES};
use crate::shell::output::Output;

/// The commands of `recsys-pipelines db`.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum DbCommand {
    /// Create the tables that are missing in the database of `db.dsn`
    ///
    /// For pilots: a real installation has its tables already. What is there is compared and never altered; if
    /// a table is not what it must be, nothing is created and exit code 2 names every column.
    #[command(after_help = EXIT_CODES)]
    Init(DbInitJob),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DbInitJob {
    /// Say what is missing, and create nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    common: CommonArgs,
}

impl CommandFlags for DbCommand {
    fn common(&self) -> &CommonArgs {
        let Self::Init(flags) = self;
        &flags.common
    }

    fn scope(&self) -> Option<Scope> {
        None
    }
}

/// `recsys-pipelines db`.
pub(crate) fn db(command: &DbCommand, driver: &dyn Driver) -> anyhow::Result<()> {
    let DbCommand::Init(flags) = command;
    init(flags, driver)
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

/// `recsys-pipelines db init`.
fn init(flags: &DbInitJob, driver: &dyn Driver) -> anyhow::Result<()> {
    let mut config = Config::load(flags.common.config.as_deref())?;
    config.storage = config.storage.of_operator();
    let dsn = config.db.dsn.as_ref().ok_or(ConfigError::DsnMissing)?;
    let source = &config.raw_source.postgres;
    let is_here = source.dsn.as_ref().is_none_or(|own| own == dsn);
    let names =
        TableNames { exposures: is_here.then(|| source.exposure_table.clone()), ..TableNames::default() };
    let mode = if flags.dry_run { Mode::DryRun } else { Mode::Write };
    let states =
        connect(&config, driver, ("db.dsn", dsn), config.db.row_security)?.init_tables(&names, mode)?;
    let tables = states.into_iter().map(|(table, state)| TableReport { table, state });
    let document = Initialised { dry_run: flags.dry_run, tables: tables.collect() };
    let output = Output::new(flags.common.json);
    let mut shown = table(["TABLE", "STATE"]);
    for TableReport { table, state } in &document.tables {
        let state = match (state, flags.dry_run) {
            (TableState::Created, false) => "created",
            (TableState::Created, true) => "missing",
            (TableState::Present, _) => "present",
        };
        shown.add_row([&table.to_string(), state]);
    }
    output.line(shown.trim_fmt());
    output.end(&document, Ok(()))
}
