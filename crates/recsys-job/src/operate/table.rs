//! Tables on standard output.

use comfy_table::presets;
use recsys_core::domain::id::Scope;

use crate::shell::visible;

/// A table without borders. Control characters in cells are escaped.
#[derive(Debug)]
pub(super) struct Table(comfy_table::Table);

/// A table of tenants and surfaces, with a header and no rows.
pub(super) fn scope_table<const N: usize>(header: [&str; N]) -> Table {
    table(["TENANT", "SURFACE"].into_iter().chain(header))
}

/// A table with a header and no rows.
pub(super) fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    Table(table)
}

impl Table {
    pub(super) fn add_row<const N: usize>(&mut self, cells: [&str; N]) {
        self.0.add_row(cells.map(visible::line));
    }

    /// Adds a row of a [`scope_table`].
    pub(super) fn add_row_of<const N: usize>(&mut self, scope: &Scope, cells: [&str; N]) {
        let names = [scope.tenant.as_str(), scope.surface.as_str()];
        self.0.add_row(names.into_iter().chain(cells).map(visible::line));
    }

    /// The rendered table, without trailing blanks.
    pub(super) fn trim_fmt(&self) -> String {
        self.0.trim_fmt()
    }
}
