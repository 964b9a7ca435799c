//! `db init`: creates the tables for a pilot.

use recsys_core::database::{Driver, Mode, TableName, TableNames, TableState};
use serde::Serialize;

use super::table;
use crate::config::{Config, ConfigError};
use crate::pipeline::database::connect;
use crate::shell::cli::DbInitJob;
use crate::shell::output::Output;

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
pub(crate) fn db_init(flags: &DbInitJob, driver: &dyn Driver) -> anyhow::Result<()> {
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
