//! Writes the catalogue of a namespace to `item_tags`, where the serving side reads it.
//!
//! Rows are streamed into a temporary table and merged in one transaction. A row that is already right is not touched,
//! including its `updated_at`. Writers of the same tenant and namespace queue.

use std::cell::Cell;

use csv::ByteRecord;
use recsys_core::database::{CatalogTarget, CatalogWriteError, ItemRow, Obsolete, TableName, Written};
use recsys_core::input::catalog::{CatalogError, Columns};

use crate::connection::Connection;
use crate::copy::{copy_rows, push_item};
use crate::error::Problem;

/// A failure that does not name the server yet.
enum CatalogFailure {
    Catalog(CatalogError),
    Problem(Problem),
}

impl From<Problem> for CatalogFailure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

const TABLE: &str = "item_tags";
const INCOMING: &str = "recsys_item_tags";

impl Connection {
    /// Inserts and updates rows in one transaction. The first bad row ends it, and nothing is written.
    pub fn write_catalog(
        &mut self,
        target: CatalogTarget<'_>,
        rows: impl Iterator<Item = Result<ItemRow, CatalogError>>,
    ) -> Result<Written, CatalogWriteError> {
        let written = self.transaction(target.mode, |connection| merge(connection, target, rows));
        written.map_err(|failure| match failure {
            CatalogFailure::Catalog(error) => CatalogWriteError::Catalog(error),
            CatalogFailure::Problem(problem) => {
                CatalogWriteError::Database(self.error(format!("write {TABLE} in"), problem).into())
            }
        })
    }
}

fn merge(
    connection: &mut Connection,
    target: CatalogTarget<'_>,
    rows: impl Iterator<Item = Result<ItemRow, CatalogError>>,
) -> Result<Written, CatalogFailure> {
    connection.lock(target.tenant, target.namespace, &TableName::known(TABLE))?;
    connection.execute(
        &format!(
            "create temporary table {INCOMING} on commit drop as
             select 0::bigint as line, item_id, tags, price, created_at from {TABLE} with no data"
        ),
        &[],
    )?;
    let time = connection.writing_time()?;
    let rows = rows.map(|row| row.map_err(CatalogFailure::Catalog));
    let columns = Cell::new(Columns::default());
    let given = copy_rows(connection, INCOMING, rows, |row, fields| {
        columns.set(columns.get().or(row.columns));
        push_row(row, fields).map_err(|problem| {
            CatalogFailure::Catalog(CatalogError::Row {
                name: target.file.to_owned(),
                line: row.line,
                reason: problem.to_string(),
            })
        })
    })?;
    connection.before_merge(INCOMING)?;
    if let Some(duplicate) = duplicate(connection, target.file)? {
        return Err(CatalogFailure::Catalog(duplicate));
    }
    // Columns that the file lacks keep their values.
    let tags = if columns.get().tags { "i.tags" } else { "t.tags" };
    let price = if columns.get().price { "i.price" } else { "t.price" };
    let whose = [target.tenant.0.as_str(), target.namespace];
    let timed = [target.tenant.0.as_str(), target.namespace, &time];
    let of_the_namespace = "t.tenant_id = $1::uuid and t.namespace = $2";
    let deleted = match target.obsolete {
        Obsolete::Keep => 0,
        Obsolete::Remove => connection.execute(
            &format!(
                "delete from {TABLE} t where {of_the_namespace}
                 and not exists (select from {INCOMING} i where i.item_id = t.item_id)"
            ),
            &whose,
        )?,
    };
    let updated = connection.execute(
        &format!(
            "update {TABLE} t set tags = {tags}, price = {price},
                 created_at = coalesce(i.created_at, t.created_at), updated_at = $3::timestamptz
             from {INCOMING} i where {of_the_namespace} and i.item_id = t.item_id
             and (t.tags, t.price, t.created_at)
                 is distinct from ({tags}, {price}, coalesce(i.created_at, t.created_at))"
        ),
        &timed,
    )?;
    let inserted = connection.insert_missing(
        &format!(
            "insert into {TABLE} (tenant_id, namespace, item_id, tags, price, created_at, updated_at)
             select $1::uuid, $2, item_id, tags, price, coalesce(created_at, $3::timestamptz), $3::timestamptz from {INCOMING} i
             where not exists (select from {TABLE} t where {of_the_namespace} and i.item_id = t.item_id)"
        ),
        &timed,
    )?;
    let found = connection.number(
        &format!(
            "select count(*)::text from {TABLE} t join {INCOMING} i on i.item_id = t.item_id where {of_the_namespace}
             and (t.tags, t.price) is not distinct from ({tags}, {price})"
        ),
        &whose,
    )?;
    match given.checked_sub(inserted + updated) {
        Some(unchanged) if found == given => Ok(Written { inserted, updated, deleted, unchanged }),
        _ => Err(Problem::Count { table: TABLE.to_owned(), given, found }.into()),
    }
}

/// The first item that occurs twice.
fn duplicate(connection: &mut Connection, file: &str) -> Result<Option<CatalogError>, Problem> {
    let sql = format!(
        "select item_id::text, lines[1]::text, lines[2]::text from (
             select item_id, array_agg(line order by line) as lines from {INCOMING}
             group by item_id having count(*) > 1
         ) as twice order by lines[2] limit 1"
    );
    let mut row = connection.rows(&sql, &[])?.into_iter().flatten().flatten();
    let Some(item_id) = row.next() else { return Ok(None) };
    let mut line = || row.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    let (first_line, line) = (line(), line());
    Ok(Some(CatalogError::Duplicate { name: file.to_owned(), item_id, first_line, line }))
}

fn push_row(row: &ItemRow, fields: &mut ByteRecord) -> Result<(), Problem> {
    fields.push_field(row.line.to_string().as_bytes());
    push_item(fields, &row.item_id)?;
    if row.tags.iter().any(|tag| tag.contains('\0')) {
        let reason = "has a tag that contains U+0000, which Postgres cannot hold".to_owned();
        return Err(Problem::Item { item_id: row.item_id.clone(), reason });
    }
    fields.push_field(array(&row.tags).as_bytes());
    fields.push_field(row.price.as_deref().unwrap_or_default().as_bytes());
    fields.push_field(row.created_at.map(|at| at.to_string()).unwrap_or_default().as_bytes());
    Ok(())
}

/// A Postgres array literal.
fn array(elements: &[String]) -> String {
    let quoted = |element: &String| format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{{{}}}", elements.iter().map(quoted).collect::<Vec<_>>().join(","))
}
