//! `history`: every manifest that was current, newest first.

use jiff::Timestamp;
use recsys_core::artifact::Kind;
use recsys_core::publish::{HistoryEntry, Reason};
use serde::Serialize;

use super::{Operator, scope, table};
use crate::cli::HistoryJob;
use crate::error::JobError;
use crate::output::Output;

#[derive(Debug, Serialize)]
struct History {
    tenant: String,
    surface: String,
    /// Newest first; the first is current.
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    hash: String,
    updated_at: Timestamp,
    reason: Reason,
    by: String,
    /// Kinds whose pointer differs from the manifest before; all of them in the oldest entry shown.
    changed: Vec<Kind>,
}

/// `recsys-pipelines history`.
pub(crate) fn history(flags: &HistoryJob) -> Result<(), JobError> {
    let operator = Operator::new(&flags.common)?;
    let scope = scope(&flags.scope);
    let chain = operator.history(&scope, flags.limit.get())?;
    let entries: Vec<Entry> =
        chain.iter().enumerate().map(|(at, entry)| shown(entry, chain.get(at + 1))).collect();
    let output = Output::new(flags.common.json);
    let mut table = table(["", "HASH", "UPDATED AT", "REASON", "BY", "CHANGED"]);
    for (at, entry) in entries.iter().enumerate() {
        let current = if at == 0 { "current" } else { "" };
        let changed: Vec<&str> = entry.changed.iter().map(|kind| kind.as_str()).collect();
        let (hash, changed) = (format!("{:.12}", entry.hash), changed.join(" "));
        table.add_row([
            current,
            &hash,
            &entry.updated_at.to_string(),
            entry.reason.as_str(),
            &entry.by,
            &changed,
        ]);
    }
    output.line(table.trim_fmt());
    output.end(&History { tenant: scope.tenant.into(), surface: scope.surface.into(), entries }, Ok(()))
}

fn shown(entry: &HistoryEntry, before: Option<&HistoryEntry>) -> Entry {
    let differs = |kind: &&Kind| {
        entry.manifest.current.get(kind) != before.and_then(|before| before.manifest.current.get(kind))
    };
    Entry {
        hash: entry.hash.clone(),
        updated_at: entry.manifest.updated_at,
        reason: entry.reason,
        by: entry.by.clone(),
        changed: Kind::ALL.iter().filter(differs).copied().collect(),
    }
}
