//! What the writers of all tables have in common: they queue, and their rows wait in a temporary table.

use recsys_core::database::{TableName, TenantId};

use crate::connection::Connection;
use crate::fault::Problem;

impl Connection {
    /// Waits, within a transaction, until no other one writes rows of the tenant and namespace into the table.
    ///
    /// The table goes by its number: one name may be another's, with the schema or without.
    pub(crate) fn lock(
        &mut self,
        tenant: &TenantId,
        namespace: &str,
        table: &TableName,
    ) -> Result<(), Problem> {
        let sql = "select pg_advisory_xact_lock(
            hashtextextended(concat_ws('/', 'recsys-pipelines', $1, $2, $3::regclass::oid), 0))::text";
        self.rows(sql, &[tenant.as_str(), namespace, &table.quoted()])?;
        Ok(())
    }

    /// The time at which rows are written, for all rows of a transaction the same: later than that of whatever a writer
    /// has written that this one has waited for. Not the beginning of the transaction, which may be long past.
    pub(crate) fn writing_time(&mut self) -> Result<String, Problem> {
        let time = self.rows("select clock_timestamp()::text", &[])?.into_iter().flatten().flatten().next();
        time.ok_or_else(|| Problem::Answer("the server does not say what time it is".to_owned()))
    }

    /// Inserts the rows that are not there yet.
    ///
    /// When another one has inserted the same row meanwhile, it is there at the second try. A row that is in the way then,
    /// too, is another one with the same key.
    pub(crate) fn insert_missing(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Problem> {
        self.command("savepoint before_insert")?;
        let first = match self.execute(sql, parameters) {
            Err(Problem::Unique(text)) => text,
            done => return done,
        };
        self.command("rollback to savepoint before_insert")?;
        match self.execute(sql, parameters) {
            // Two different rows: somebody is inserting one after the other.
            Err(Problem::Unique(second)) if second != first => Err(Problem::Conflict(second)),
            done => done,
        }
    }

    /// Prepares, within a transaction, for the merge of a temporary table that was just filled.
    pub(crate) fn before_merge(&mut self, incoming: &str) -> Result<(), Problem> {
        self.execute(&format!("analyze {incoming}"), &[])?;
        // A table that was filled a moment ago has no statistics yet; taken for almost empty, it would be
        // searched from end to end for every row.
        self.execute("set local enable_nestloop = off", &[])?;
        Ok(())
    }
}
