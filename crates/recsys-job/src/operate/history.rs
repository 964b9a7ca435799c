//! `history`: all past manifests of a surface, newest first.

use clap::Args;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use jiff::Timestamp;
use recsys_core::artifact::Kind;
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Window;
use recsys_core::publish::{HistoryEntry, Reason, RegistryError};
use recsys_core::storage::layout::version_in;
use recsys_core::threads::parallel;
use serde::Serialize;

use super::{Operator, table};
use crate::shell::cli::{CommonArgs, ScopeArgs, flags, parse_count};
use crate::shell::output::Output;
use crate::watch::metrics::Run;

#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryJob {
    #[command(flatten)]
    pub(super) scope: ScopeArgs,

    /// Show at most so many entries
    #[arg(long, value_name = "N", default_value = "20", value_parser = parse_count::<NonZeroUsize>)]
    pub(super) limit: NonZeroUsize,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(scope: HistoryJob);

#[derive(Debug, Serialize)]
struct History {
    #[serde(flatten)]
    scope: Scope,
    /// Whether the manifest was lost. All entries are shown then, and none is current.
    lost: bool,
    /// Newest first. The first is current, unless the manifest was lost.
    entries: Vec<EntryReport>,
}

#[derive(Debug, Serialize)]
struct EntryReport {
    hash: String,
    updated_at: Timestamp,
    reason: Reason,
    by: String,
    /// The run that wrote it; none if that was not recorded.
    run_id: Option<String>,
    /// The operator's reason.
    note: Option<String>,
    /// Kinds whose pointer differs from the manifest before; in the oldest entry shown, all kinds.
    changed: Vec<Kind>,
    /// Windows of the changed kinds, or of all kinds if none changed. Kinds without a record are left out.
    windows: BTreeMap<Kind, Window>,
}

pub(crate) fn history(flags: &HistoryJob, run: &Run) -> anyhow::Result<()> {
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let scope = flags.scope.scope();
    let (chain, lost) = match operator.history(&scope, flags.limit.get()) {
        Err(lost) if matches!(lost.downcast_ref(), Some(RegistryError::Lost { .. })) => {
            let mut entries = operator.registry().entries(&scope)?;
            entries.truncate(flags.limit.get());
            (entries, Some(lost))
        }
        chain => (chain?, None),
    };
    let pairs: Vec<_> = chain.iter().enumerate().map(|(at, entry)| (entry, chain.get(at + 1))).collect();
    let entries = parallel::try_map(pairs, |(entry, before)| shown(&operator, &scope, entry, before))?;
    let output = Output::new(flags.common.json);
    let mut table = table(["", "HASH", "UPDATED AT", "REASON", "BY", "RUN", "WINDOW", "NOTE", "CHANGED"]);
    for (at, entry) in entries.iter().enumerate() {
        let current = match (at, &lost) {
            (0, None) => "current",
            (0, Some(_)) => "lost",
            _ => "",
        };
        let changed: Vec<&str> = entry.changed.iter().map(|kind| kind.as_str()).collect();
        let (hash, changed) = (format!("{:.12}", entry.hash), changed.join(" "));
        table.add_row([
            current,
            &hash,
            &entry.updated_at.to_string(),
            entry.reason.as_str(),
            &entry.by,
            entry.run_id.as_deref().unwrap_or("-"),
            &windows(entry),
            entry.note.as_deref().unwrap_or("-"),
            &changed,
        ]);
    }
    output.line(table.trim_fmt());
    output.end(&History { scope, lost: lost.is_some(), entries }, lost.map_or(Ok(()), Err))
}

/// Windows of the changed kinds; a single one if they are equal.
fn windows(entry: &EntryReport) -> String {
    let mut windows = entry.windows.values();
    match windows.next() {
        None => "-".to_owned(),
        Some(first) if windows.all(|other| other == first) => first.to_string(),
        Some(_) => {
            let each = entry.windows.iter().map(|(kind, window)| format!("{kind} {window}"));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

fn shown(
    operator: &Operator,
    scope: &Scope,
    entry: &HistoryEntry,
    before: Option<&HistoryEntry>,
) -> anyhow::Result<EntryReport> {
    let current = &entry.manifest.current;
    let differs =
        |kind: &&Kind| current.get(kind) != before.and_then(|before| before.manifest.current.get(kind));
    let changed: Vec<Kind> = Kind::ALL.iter().filter(differs).copied().collect();
    let mut windows = BTreeMap::new();
    for (kind, uri) in current.iter().filter(|(kind, _)| changed.is_empty() || changed.contains(kind)) {
        if let Some(record) = operator.registry().record(scope, *kind, version_in(uri))? {
            windows.insert(*kind, record.window);
        }
    }
    let HistoryEntry { hash, reason, by, run_id, note, manifest, .. } = entry.clone();
    Ok(EntryReport { hash, updated_at: manifest.updated_at, reason, by, run_id, note, changed, windows })
}
