//! Resolves the name of a tenant to its id.

use recsys_core::domain::id::Tenant;

use recsys_core::database::{MissingTenant, Mode, TableName, TenantId};

use crate::connection::Connection;
use crate::error::{PostgresError, Problem};

impl Connection {
    /// Finds the tenant with this `external_id` or `id`; with [`MissingTenant::Create`], creates a missing one.
    pub fn tenant(
        &mut self,
        table: &TableName,
        tenant: &Tenant,
        missing: MissingTenant,
    ) -> Result<TenantId, PostgresError> {
        let found = self.transaction(Mode::Write, |connection| {
            connection.find_or_create(table, tenant.as_str(), missing)
        });
        found.map_err(|problem| self.error(format!("look up a tenant in {table} of"), problem))
    }

    fn find_or_create(
        &mut self,
        table: &TableName,
        tenant: &str,
        missing: MissingTenant,
    ) -> Result<TenantId, Problem> {
        if let Some(id) = self.find(table, tenant)? {
            return Ok(id);
        }
        if missing == MissingTenant::Create && !looks_like_an_id(tenant) {
            // Another writer may insert it first; then its row is the tenant.
            let sql = format!(
                "insert into {} (id, external_id, name) values (gen_random_uuid(), $1, $1) on conflict do nothing",
                table.quoted()
            );
            self.execute(&sql, &[tenant])?;
            if let Some(id) = self.find(table, tenant)? {
                return Ok(id);
            }
        }
        let can_be_created = missing == MissingTenant::Advise && !looks_like_an_id(tenant);
        Err(Problem::NoTenant { tenant: tenant.to_owned(), table: table.to_string(), can_be_created })
    }

    fn find(&mut self, table: &TableName, tenant: &str) -> Result<Option<TenantId>, Problem> {
        let sql = format!(
            "select id::text from {} where external_id = $1 or id::text = lower($1) limit 2",
            table.quoted()
        );
        let mut ids = self.rows(&sql, &[tenant])?.into_iter().flatten().flatten();
        match (ids.next(), ids.next()) {
            (id, None) => Ok(id.map(TenantId)),
            _ => Err(Problem::AmbiguousTenant { tenant: tenant.to_owned(), table: table.to_string() }),
        }
    }
}

/// Whether a tenant is given by id. An unknown id is a mistake rather than the name of a new tenant.
fn looks_like_an_id(tenant: &str) -> bool {
    tenant.len() == 36 && tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
