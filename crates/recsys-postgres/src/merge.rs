//! Shared by the writers of all tables: locking, and merging from a temporary table.

use recsys_core::database::{TableName, TenantId};

use crate::connection::Connection;
use crate::error::Problem;

impl Connection {
    /// Takes an advisory lock on tenant, namespace and table until the transaction ends; other writers queue.
    ///
    /// The lock key contains the table's oid, because names with and without a schema may denote the same table.
    pub(crate) fn lock(
        &mut self,
        tenant: &TenantId,
        namespace: &str,
        table: &TableName,
    ) -> Result<(), Problem> {
        let sql = "select pg_advisory_xact_lock(
            hashtextextended(concat_ws('/', 'recsys-pipelines', $1, $2, $3::regclass::oid), 0))::text";
        self.rows(sql, &[&tenant.0, namespace, &table.quoted()])?;
        Ok(())
    }

    /// The timestamp for all rows written in a transaction. It is later than those of any writer this one has waited
    /// for, which the start of the transaction, perhaps long past, is not.
    pub(crate) fn writing_time(&mut self) -> Result<String, Problem> {
        let time = self.rows("select clock_timestamp()::text", &[])?.into_iter().flatten().flatten().next();
        time.ok_or_else(|| Problem::Answer("the server does not say what time it is".to_owned()))
    }

    /// Inserts the rows that do not exist yet.
    ///
    /// If another writer inserts the same row concurrently, the second try finds it. If a row still conflicts then,
    /// it is a different row with the same key.
    pub(crate) fn insert_missing(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Problem> {
        self.command("savepoint before_insert")?;
        let first = match self.execute(sql, parameters) {
            Err(Problem::Unique(text)) => text,
            done => return done,
        };
        self.command("rollback to savepoint before_insert")?;
        match self.execute(sql, parameters) {
            // Two different rows: someone keeps inserting.
            Err(Problem::Unique(second)) if second != first => Err(Problem::Conflict(second)),
            done => done,
        }
    }

    /// Prepares the merge of a temporary table that was just filled, within a transaction.
    pub(crate) fn before_merge(&mut self, incoming: &str) -> Result<(), Problem> {
        self.execute(&format!("analyze {incoming}"), &[])?;
        // The target may have been filled a moment ago and lack statistics. Assumed to be almost empty, it would be
        // scanned in full for every row.
        self.execute("set local enable_nestloop = off", &[])?;
        Ok(())
    }
}
