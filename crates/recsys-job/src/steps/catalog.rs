//! A catalogue → its rows in a database.

use std::fmt;
use std::io::Read;

use recsys_core::catalog::{CatalogError, CatalogRows};
use recsys_core::database::{CatalogTarget, ItemRow, Mode, Obsolete, Written};
use recsys_core::limit::Limits;
use serde::Serialize;

use crate::context::{CatalogFile, Context};
use crate::database::Target;
use crate::error::JobError;

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
        let Self { tenant, namespace, input, dry_run, counts, written } = self;
        let RowCounts { rows, foreign, rows_without_id } = counts;
        writeln!(f, "{tenant}/{namespace}")?;
        writeln!(
            f,
            "  read         {input}: {rows} rows, {foreign} foreign, {rows_without_id} without an id"
        )?;
        let not = if *dry_run { "; a dry run, so nothing was changed" } else { "" };
        write!(f, "  {:<12} {written}{not}", "database")
    }
}

/// Writes a catalogue's rows, in one transaction, while they are read.
pub(crate) fn write_catalog(
    ctx: &Context,
    target: &Target<'_>,
    file: CatalogFile<'_>,
    obsolete: Obsolete,
    mode: Mode,
) -> Result<CatalogReport, JobError> {
    let CatalogFile { path, format, reader } = file;
    let namespace = ctx.scope.surface.as_str();
    let mut rows = ItemRows {
        rows: CatalogRows::open(path, format, reader)?,
        path,
        namespace,
        limits: &ctx.config.limits,
        counts: RowCounts::default(),
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
    tracing::info!(path, namespace, %written, dry_run = mode == Mode::DryRun, "catalogue written");
    Ok(CatalogReport {
        tenant: ctx.scope.tenant.to_string(),
        namespace: namespace.to_owned(),
        input: path.to_owned(),
        dry_run: mode == Mode::DryRun,
        counts,
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
    /// Whether not one row of the namespace is an error: all that is there would be pruned.
    must_have_one: bool,
}

impl<R: Read> ItemRows<'_, R> {
    fn advance(&mut self) -> Result<Option<ItemRow>, CatalogError> {
        let Self { path, limits, counts, .. } = self;
        while let Some(row) = self.rows.next_row()? {
            counts.rows += 1;
            let seen = usize::try_from(counts.rows).unwrap_or(usize::MAX);
            limits
                .check("max_catalog_items", limits.max_catalog_items, seen)
                .map_err(|exceeded| exceeded.in_place(&path))?;
            if row.item_id.is_empty() {
                counts.rows_without_id += 1;
            } else if row.is_for(self.namespace) {
                self.must_have_one = false;
                row.check(self.limits)?;
                let (line, price, created_at) = (row.line, row.price()?, row.created_at()?);
                let item_id = row.item_id.into_owned();
                return Ok(Some(ItemRow { line, item_id, tags: row.tags, price, created_at }));
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
