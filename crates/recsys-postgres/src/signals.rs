//! Writes popularity and co-visitation of a day to the tables that the serving side reads.
//!
//! The rows of a (tenant, namespace, day) are replaced in one transaction: afterwards they are exactly those given,
//! or, after a failure, exactly the previous ones. `COPY` fills a temporary table; a merge then deletes, updates and
//! inserts what differs. A row that is already right is not touched, including its `updated_at`.
//!
//! Writers of the same tenant, namespace and table queue behind a lock that ends with the transaction.

use csv::ByteRecord;
use recsys_core::database::{Emptying, Mode, SignalTarget, Signals, SignalsWritten, TableName, Written};

use crate::connection::Connection;
use crate::copy::{copy_rows, push_item};
use crate::error::{PostgresError, Problem};

const POPULARITY: &str = "item_popularity_daily";
const COVISIT: &str = "item_covisit_daily";

impl Connection {
    /// Replaces the rows of a day by those given, in one transaction.
    pub fn replace_signals(
        &mut self,
        target: SignalTarget<'_>,
        signals: Signals<'_>,
    ) -> Result<SignalsWritten, PostgresError> {
        let tables =
            [signals.popularity.as_ref().map(|_| POPULARITY), signals.covisit.as_ref().map(|_| COVISIT)];
        let tables: Vec<&'static str> = tables.into_iter().flatten().collect();
        let written = self.transaction(Mode::Write, |connection| {
            // Take all locks first and always in this order, so that writers cannot deadlock.
            for &table in &tables {
                connection.lock(target.tenant, target.namespace, &TableName::known(table))?;
            }
            let time = connection.writing_time()?;
            let popularity = signals.popularity.map(|rows| {
                let merge = Merge { target, table: POPULARITY, keys: &["item_id"], time: &time };
                merge.run(connection, rows, |row, fields| {
                    push_item(fields, row.item_id)?;
                    push_score(fields, row.item_id, row.score)
                })
            });
            let popularity = popularity.transpose()?;
            let covisit = signals.covisit.map(|rows| {
                let merge = Merge { target, table: COVISIT, keys: &["item_id", "neighbor_id"], time: &time };
                merge.run(connection, rows, |row, fields| {
                    push_item(fields, row.item_id)?;
                    push_item(fields, row.neighbor_id)?;
                    push_score(fields, row.item_id, row.score)
                })
            });
            let written = SignalsWritten { popularity, covisit: covisit.transpose()? };
            check_emptying(target, &written)?;
            Ok(written)
        });
        written.map_err(|problem| self.error(format!("write {} in", tables.join(" and ")), problem))
    }
}

/// Adds a score as a field for `numeric(18,6)`.
fn push_score(fields: &mut ByteRecord, item_id: &str, score: f64) -> Result<(), Problem> {
    // Near 10^12 scores are about 10^-4 apart, so none below it rounds up to it.
    if !score.is_finite() || score.abs() >= 1e12 {
        let reason = format!("has the score {score}, which does not fit numeric(18,6)");
        return Err(Problem::Item { item_id: item_id.to_owned(), reason });
    }
    // Prints without an exponent, and reads back as the same number.
    fields.push_field(score.to_string().as_bytes());
    Ok(())
}

/// Refuses to empty a day that has rows. It is enough that one table keeps some: a day may have popular items but no
/// pairs.
fn check_emptying(target: SignalTarget<'_>, written: &SignalsWritten) -> Result<(), Problem> {
    let tables = [(POPULARITY, written.popularity), (COVISIT, written.covisit)];
    let is_empty = |written: &Written| written.inserted + written.updated + written.unchanged == 0;
    if target.emptying == Emptying::Allowed
        || !tables.iter().filter_map(|(_, written)| *written).all(|w| is_empty(&w))
    {
        return Ok(());
    }
    for (table, written) in tables {
        if let Some(Written { deleted: rows @ 1.., .. }) = written {
            return Err(Problem::Emptied { table: table.to_owned(), day: target.day.to_string(), rows });
        }
    }
    Ok(())
}

/// The merge of one table.
struct Merge<'a> {
    target: SignalTarget<'a>,
    table: &'static str,
    /// The columns that identify a row within the day.
    keys: &'a [&'static str],
    /// The timestamp for `updated_at`.
    time: &'a str,
}

impl Merge<'_> {
    fn run<R>(
        &self,
        connection: &mut Connection,
        rows: impl Iterator<Item = R>,
        write: impl Fn(&R, &mut ByteRecord) -> Result<(), Problem>,
    ) -> Result<Written, Problem> {
        let Self { target, table, keys, time } = self;
        let incoming = format!("recsys_{table}");
        let columns = keys.join(", ");
        connection.execute(
            &format!(
                "create temporary table {incoming} on commit drop as select {columns}, score from {table} with no data"
            ),
            &[],
        )?;
        let given = copy_rows(connection, &incoming, rows.map(Ok::<R, Problem>), write)?;
        connection.before_merge(&incoming)?;
        let day = target.day.to_string();
        let whose = [target.tenant.0.as_str(), target.namespace, &day];
        let timed = [target.tenant.0.as_str(), target.namespace, &day, time];
        let of_the_day = "t.tenant_id = $1::uuid and t.namespace = $2 and t.day = $3::date";
        let count = format!("select count(*)::text from {table} t where {of_the_day}");
        let same_key: Vec<String> = keys.iter().map(|key| format!("i.{key} = t.{key}")).collect();
        let same_key = same_key.join(" and ");
        let deleted = connection.execute(
            &format!(
                "delete from {table} t where {of_the_day} and not exists (select from {incoming} i where {same_key})"
            ),
            &whose,
        )?;
        let updated = connection.execute(
            &format!(
                "update {table} t set score = i.score, updated_at = $4::timestamptz from {incoming} i
                 where {of_the_day} and {same_key} and t.score is distinct from i.score"
            ),
            &timed,
        )?;
        let inserted = connection.insert_missing(
            &format!(
                "insert into {table} (tenant_id, namespace, {columns}, day, score, updated_at)
                 select $1::uuid, $2, {columns}, $3::date, score, $4::timestamptz from {incoming} i
                 where not exists (select from {table} t where {of_the_day} and {same_key})"
            ),
            &timed,
        )?;
        let found = connection.number(&count, &whose)?;

        if found != given {
            return Err(Problem::Count { table: (*table).to_owned(), given, found });
        }
        Ok(Written { inserted, updated, deleted, unchanged: given - inserted - updated })
    }
}
