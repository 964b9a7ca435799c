//! A catalogue → its rows in a database.

use std::fmt;
use std::io::Read;

use recsys_core::database::{CatalogTarget, ItemRow, Mode, Obsolete, Written};
use recsys_core::domain::limit::{Limit, Limits};
use recsys_core::input::catalog::{AbsentColumn, CatalogError, CatalogRows, Columns};
use serde::Serialize;

use crate::pipeline::context::{CatalogFile, Context};
use crate::pipeline::database::DatabaseTarget;

/// What became of a catalogue.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CatalogReport {
    tenant: String,
    namespace: String,
    input: String,
    /// Whether nothing was changed, only counted.
    dry_run: bool,
    #[serde(flatten)]
    counts: RowCounts,
    /// Columns that the file does not have, and that stay as they are.
    absent: Vec<AbsentColumn>,
    #[serde(flatten)]
    written: Written,
}

/// What was found in a catalogue.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct RowCounts {
    /// Rows in the file.
    rows: u64,
    /// Rows of another namespace, which are left out.
    foreign: u64,
    /// Rows that name no item, which are left out.
    rows_without_id: u64,
}

impl fmt::Display for CatalogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, namespace, input, dry_run, counts, absent, written } = self;
        let RowCounts { rows, foreign, rows_without_id } = counts;
        writeln!(f, "{tenant}/{namespace}")?;
        writeln!(
            f,
            "  read         {input}: {rows} rows, {foreign} foreign, {rows_without_id} without an id"
        )?;
        if !absent.is_empty() {
            writeln!(f, "  left alone   {}: not in the file", listed(absent))?;
        }
        let not = if *dry_run { "; a dry run, so nothing was changed" } else { "" };
        write!(f, "  {:<12} {written}{not}", "database")
    }
}

fn listed(absent: &[AbsentColumn]) -> String {
    absent.iter().map(AbsentColumn::to_string).collect::<Vec<_>>().join(", ")
}

/// Writes a catalogue's rows, in one transaction, while they are read.
pub(crate) fn write_catalog(
    ctx: &Context,
    target: &DatabaseTarget<'_>,
    file: CatalogFile<'_>,
    obsolete: Obsolete,
    mode: Mode,
) -> anyhow::Result<CatalogReport> {
    let CatalogFile { path, format, reader } = file;
    let namespace = ctx.scope.surface.as_str();
    let mut rows = ItemRows {
        rows: CatalogRows::open(path, format, reader)?,
        path,
        namespace,
        limits: &ctx.config.limits,
        counts: RowCounts::default(),
        columns: None,
        must_have_one: obsolete == Obsolete::Remove,
    };
    let (mut database, tenant) = target.connect(mode)?;
    let whose = CatalogTarget { tenant: &tenant, namespace, obsolete, mode, file: path };
    let written = database.write_catalog(whose, &mut rows)?;
    let counts = rows.counts;
    if counts.rows_without_id > 0 {
        let rows_without_id = counts.rows_without_id;
        tracing::warn!(path, rows_without_id, "catalogue rows that name no item are left out");
    }
    let absent = rows.absent();
    if !absent.is_empty() {
        let absent = listed(&absent);
        tracing::warn!(
            path,
            absent,
            "columns that the catalogue does not have stay as they are in item_tags"
        );
    }
    tracing::info!(path, namespace, %written, dry_run = mode == Mode::DryRun, "catalogue written");
    Ok(CatalogReport {
        tenant: ctx.scope.tenant.to_string(),
        namespace: namespace.to_owned(),
        input: path.to_owned(),
        dry_run: mode == Mode::DryRun,
        counts,
        absent,
        written,
    })
}

/// The rows of a namespace, one at a time.
struct ItemRows<'a, R> {
    rows: CatalogRows<R>,
    path: &'a str,
    namespace: &'a str,
    limits: &'a Limits,
    counts: RowCounts,
    /// Those that the rows so far have; none before the first.
    columns: Option<Columns>,
    /// Whether not one row of the namespace is an error: all that is there would be pruned.
    must_have_one: bool,
}

impl<R: Read> ItemRows<'_, R> {
    /// The columns that no row of the namespace has; none if there is no row.
    fn absent(&self) -> Vec<AbsentColumn> {
        self.columns.unwrap_or(Columns::ALL).absent().map(|column| self.rows.absent(column)).collect()
    }

    fn advance(&mut self) -> Result<Option<ItemRow>, CatalogError> {
        let Self { path, limits, counts, .. } = self;
        while let Some(row) = self.rows.next_row()? {
            counts.rows += 1;
            let seen = usize::try_from(counts.rows).unwrap_or(usize::MAX);
            limits.check(Limit::CatalogItems, seen).map_err(|exceeded| exceeded.in_place(&path))?;
            if row.item_id.is_empty() {
                counts.rows_without_id += 1;
            } else if row.is_for(self.namespace) {
                self.must_have_one = false;
                row.check(self.limits)?;
                let (line, price, created_at) = (row.line, row.price()?, row.created_at()?);
                let columns = match self.columns {
                    Some(Columns::ALL) => Columns::ALL,
                    before => before.unwrap_or_default().or(row.columns()?),
                };
                self.columns = Some(columns);
                let item_id = row.item_id.into_owned();
                return Ok(Some(ItemRow { line, item_id, tags: row.tags, price, created_at, columns }));
            } else {
                counts.foreign += 1;
            }
        }
        if self.must_have_one {
            let (name, namespace) = ((*path).to_owned(), self.namespace.to_owned());
            return Err(CatalogError::NothingLeft { name, namespace });
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for ItemRows<'_, R> {
    type Item = Result<ItemRow, CatalogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
