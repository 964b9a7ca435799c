//! `diff`: changes between two manifests, by kind.

use clap::Args;
use std::borrow::Cow;
use std::path::PathBuf;

use jiff::Timestamp;
use recsys_core::artifact::compare::{
    ItemChanges, ItemExcerpt, Mover, Overlap, RowChanges, compare, overlaps,
};
use recsys_core::artifact::outline::RowsOf;
use recsys_core::artifact::{Artifact, Kind};
use recsys_core::domain::id::{NO_SEGMENT, Scope, Segment};
use recsys_core::domain::window::Window;
use recsys_core::publish::{BlobBytes, HistoryEntry, by_hash};
use recsys_core::storage::layout::version_in;
use recsys_core::threads::parallel;
use serde::Serialize;

use super::Operator;
use crate::shell::cli::{CommonArgs, ScopeArgs, flags};
use crate::shell::error::JobError;
use crate::shell::output::Output;
use crate::watch::metrics::Run;

#[derive(Debug, Clone, Args)]
pub(crate) struct DiffJob {
    #[command(flatten)]
    pub(super) scope: ScopeArgs,

    /// The manifest before, by the beginning of its hash; `history` lists them [default: the one before --to]
    #[arg(long, value_name = "HASH")]
    pub(super) from: Option<String>,

    /// The manifest after, by the beginning of its hash [default: the current one]
    #[arg(long, value_name = "HASH")]
    pub(super) to: Option<String>,

    /// Compare what is current with what is current in the registry of this configuration file; environment variables
    /// count for both
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    pub(super) against: Option<PathBuf>,

    /// Only this kind
    #[arg(long)]
    pub(super) kind: Option<Kind>,

    /// Name at most so many items of each list; all are counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) top: usize,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(scope: DiffJob);

#[derive(Debug, Serialize)]
struct Diff<'a> {
    #[serde(flatten)]
    scope: &'a Scope,
    /// Hash of the earlier manifest; none if there is no earlier one.
    from: Option<&'a str>,
    from_updated_at: Option<Timestamp>,
    /// Hash of the later manifest.
    to: &'a str,
    to_updated_at: Timestamp,
    kinds: Vec<KindDiff>,
}

#[derive(Debug, Serialize)]
struct KindDiff {
    kind: Kind,
    /// `unchanged`, `changed`, `added` or `removed`.
    state: &'static str,
    before: Option<Side>,
    after: Option<Side>,
    /// None if the kind is unchanged.
    items: Option<ItemChanges>,
    /// None if the kind is unchanged or its rows hold no lists.
    rows: Option<RowChanges>,
    /// Overlap of the tops of its lists, by length; empty if one side is missing.
    overlap: Vec<Overlap>,
}

/// An artifact named by one of the manifests.
#[derive(Debug, Clone, Serialize)]
struct Side {
    version: String,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
    /// None if the kind is unchanged and has no record.
    window: Option<Window>,
    /// None if the kind is unchanged, since its blob is not read.
    rows: Option<usize>,
}

/// A manifest to compare, and the operator whose stores hold its blobs.
#[derive(Clone, Copy)]
struct NamedManifest<'a> {
    operator: &'a Operator,
    entry: &'a HistoryEntry,
}

impl NamedManifest<'_> {
    fn uri(&self, kind: Kind) -> Option<&str> {
        self.entry.manifest.current.get(&kind).map(String::as_str)
    }
}

pub(crate) fn diff(flags: &DiffJob, run: &Run) -> anyhow::Result<()> {
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let scope = flags.scope.scope();
    if let Some(file) = &flags.against {
        let other = Operator::new(run, Some(file))?;
        let (own, others) = (operator.config.registry_dir(), other.config.registry_dir());
        if own == others {
            return Err(JobError::Usage(format!(
                "both configurations have the registry {own}, so there is nothing to compare; is a variable such as \
                 RECSYS_PIPELINES__OUT_DIR set, which overrides both?"
            )).into());
        }
        let (here, there) = (operator.history(&scope, 1)?, other.history(&scope, 1)?);
        let from = NamedManifest { operator: &operator, entry: &here[0] };
        let to = NamedManifest { operator: &other, entry: &there[0] };
        return compare_manifests(flags, &scope, Some(from), to);
    }
    // Chains can be long; without a hash the first two entries are enough.
    let most = if flags.from.is_none() && flags.to.is_none() { 2 } else { usize::MAX };
    let chain = operator.history(&scope, most)?;
    let to = flags.to.as_ref().map_or(Ok(0), |hash| by_hash(&scope, &chain, hash))?;
    let from = match &flags.from {
        Some(hash) => Some(&chain[by_hash(&scope, &chain, hash)?]),
        None => before(&chain, to)?,
    };
    let named = |entry| NamedManifest { operator: &operator, entry };
    compare_manifests(flags, &scope, from.map(named), named(&chain[to]))
}

fn compare_manifests(
    flags: &DiffJob,
    scope: &Scope,
    from: Option<NamedManifest<'_>>,
    to: NamedManifest<'_>,
) -> anyhow::Result<()> {
    let both = |kind: Kind| (from.as_ref().and_then(|from| from.uri(kind)), to.uri(kind));
    let wanted = Kind::ALL.iter().filter(|kind| flags.kind.is_none_or(|only| only == **kind));
    let named = wanted.copied().filter(|kind| matches!(both(*kind), (Some(_), _) | (_, Some(_))));
    let named: Vec<Kind> = named.collect();
    if let (Some(kind), []) = (flags.kind, &named[..]) {
        let line = format!("neither manifest names {kind}; nothing to compare");
        return Err(JobError::Usage(line).into());
    }
    let kinds = parallel::try_map(named, |kind| match both(kind) {
        // Same content, whatever the location.
        (Some(before), Some(after)) if version_in(before) == version_in(after) => {
            unchanged(to.operator, scope, kind, after)
        }
        _ => changed(scope, kind, (from, to), flags.top),
    })?;
    let diff = Diff {
        scope,
        from: from.map(|from| from.entry.hash.as_str()),
        from_updated_at: from.map(|from| from.entry.manifest.updated_at),
        to: &to.entry.hash,
        to_updated_at: to.entry.manifest.updated_at,
        kinds,
    };
    let output = Output::new(flags.common.json);
    print(&output, flags, &diff);
    output.end(&diff, Ok(()))
}

/// The entry before `to`, or none if `to` is the first. A gap in the history is an error.
fn before(chain: &[HistoryEntry], to: usize) -> anyhow::Result<Option<&HistoryEntry>> {
    match (chain.get(to + 1), &chain[to].previous) {
        (None, Some(_)) => Err(JobError::Usage(format!(
            "the manifest before {:.12} is not in the history any more; name another one with --from",
            chain[to].hash
        ))
        .into()),
        (entry, _) => Ok(entry),
    }
}

/// An unchanged kind: its blob is not read, the record gives window and segment.
fn unchanged(operator: &Operator, scope: &Scope, kind: Kind, uri: &str) -> anyhow::Result<KindDiff> {
    let version = version_in(uri);
    let record = operator.registry().record(scope, kind, version)?;
    let (window, segment) = record.map(|record| (record.window, record.segment)).unzip();
    let (version, uri, segment) = (version.to_owned(), uri.to_owned(), segment.flatten());
    let side = Some(Side { version, uri, segment, window, rows: None });
    let (before, after, overlap) = (side.clone(), side, Vec::new());
    Ok(KindDiff { kind, state: "unchanged", before, after, items: None, rows: None, overlap })
}

fn changed(
    scope: &Scope,
    kind: Kind,
    (from, to): (Option<NamedManifest<'_>>, NamedManifest<'_>),
    top: usize,
) -> anyhow::Result<KindDiff> {
    let read = |named: Option<&NamedManifest<'_>>| {
        let found = named.and_then(|named| Some((named.operator, named.uri(kind)?)));
        found.map(|(operator, uri)| operator.blob(scope, kind, uri)).transpose()
    };
    let blobs = (read(from.as_ref())?, read(Some(&to))?);
    let old = blobs.0.as_ref().map(BlobBytes::artifact).transpose()?;
    let new = blobs.1.as_ref().map(BlobBytes::artifact).transpose()?;
    let overlap = old.as_ref().zip(new.as_ref()).map(|(old, new)| overlaps(&old.payload, &new.payload));
    let outlines = [&old, &new].map(|side| side.as_ref().map(|artifact| artifact.payload.outline()));
    let comparison = compare(outlines[0].as_ref(), outlines[1].as_ref(), top);
    let state = match (&old, &new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let side = |artifact: Option<Artifact<'_>>, uri: Option<&str>| {
        artifact.zip(uri).map(|(artifact, uri)| Side {
            version: artifact.build.version,
            uri: uri.to_owned(),
            segment: artifact.key.segment,
            window: Some(artifact.key.window),
            rows: Some(artifact.payload.len()),
        })
    };
    let uri = from.as_ref().and_then(|from| from.uri(kind));
    let (before, after) = (side(old, uri), side(new, to.uri(kind)));
    let overlap = overlap.unwrap_or_default();
    Ok(KindDiff { kind, state, before, after, items: Some(comparison.items), rows: comparison.rows, overlap })
}

fn print(output: &Output, flags: &DiffJob, diff: &Diff<'_>) {
    let name = |(hash, updated_at): (&str, Timestamp)| format!("{hash:.12} of {updated_at}");
    let to = name((diff.to, diff.to_updated_at));
    let header = match (diff.from.zip(diff.from_updated_at).map(name), &flags.against) {
        (Some(from), Some(file)) => format!("from {from} here to {to} of {}", file.display()),
        (Some(from), None) => format!("from {from} to {to}"),
        (None, _) => format!("{to} is the first manifest; all that it names is new"),
    };
    output.line(format_args!("{}: {header}", diff.scope));
    for kind in &diff.kinds {
        output.line(format_args!("  {:<12} {}", kind.kind, summary(kind)));
        if let Some(items) = &kind.items {
            print_changes(output, items, kind.rows);
        }
        if flags.against.is_some() && !kind.overlap.is_empty() {
            let each = kind.overlap.iter().map(|Overlap { k, share }| format!("@{k} {share:.2}"));
            output.line(format_args!("    overlap  {}", each.collect::<Vec<_>>().join(", ")));
        }
    }
    if diff.kinds.iter().all(|kind| kind.items.is_none()) {
        output.line("  nothing changed");
    }
}

/// The state, and the properties of the artifact before and after.
fn summary(kind: &KindDiff) -> String {
    let sides = || [&kind.before, &kind.after].into_iter().flatten();
    let say = |of: &dyn Fn(&Side) -> Option<String>| {
        let mut values: Vec<String> = sides().filter_map(of).collect();
        values.dedup();
        values.join(" -> ")
    };
    let mut parts = vec![say(&|side| side.window.map(|window| window.to_string()))];
    if sides().any(|side| side.segment.is_some()) {
        let segment = |side: &Side| side.segment.as_ref().map_or(NO_SEGMENT, Segment::as_str).to_owned();
        parts.push(format!("segment {}", say(&|side| Some(segment(side)))));
    }
    let rows = say(&|side| side.rows.map(|rows| rows.to_string()));
    parts.push(if rows.is_empty() { rows } else { format!("{rows} rows") });
    parts.push(say(&|side| Some(format!("{:.12}", side.version))));
    parts.retain(|part| !part.is_empty());
    format!("{}: {}", kind.state, parts.join(", "))
}

fn print_changes(output: &Output, items: &ItemChanges, rows: Option<RowChanges>) {
    let rows = rows.filter(|rows| rows.entered + rows.left > 0);
    if items.is_empty() && rows.is_none() {
        let rest = if items.tags_changed.is_some() { "no tags changed" } else { "nothing moved" };
        output.line(format_args!("    nothing in, nothing out, {rest}"));
        return;
    }
    // User ids are personal data, so users are counted but not listed.
    if let Some(RowChanges { of, entered, left }) = rows {
        let of = if of == RowsOf::Users { "users" } else { "rows" };
        output.line(format_args!("    {of:<8} {entered} in, {left} out"));
    }
    for (name, listed) in [("in", &items.entered), ("out", &items.left)] {
        if listed.count > 0 {
            output.line(format_args!("    {name:<8} {}", list(listed)));
        }
    }
    if let Some(count) = items.tags_changed.filter(|count| *count > 0) {
        output.line(format_args!("    tags     changed in {count} of {} items", items.kept));
    }
    if let Some(count) = items.moved.filter(|count| *count > 0) {
        let shown = items.movers.len();
        let most = if shown < count && shown > 0 { ", the farthest:" } else { "" };
        output.line(format_args!("    moved    {count} of {} items{most}", items.kept));
        items.movers.iter().for_each(|mover| output.line(mover_line(mover)));
    }
}

fn list(listed: &ItemExcerpt) -> String {
    let ItemExcerpt { count, first } = listed;
    let names = first.iter().map(|item| id(item)).collect::<Vec<_>>().join(", ");
    match count - first.len() {
        _ if first.is_empty() => count.to_string(),
        0 => format!("{count}: {names}"),
        more => format!("{count}: {names} and {more} more"),
    }
}

fn mover_line(mover: &Mover) -> String {
    let Mover { item_id, rank_before, rank_after, change } = mover;
    let direction = if *change > 0 { "up" } else { "down" };
    let ranks = format!("{rank_before} -> {rank_after}");
    format!("      {direction:<4} {:<5} {ranks:<14} {}", change.unsigned_abs(), id(item_id))
}

/// An id, quoted and escaped if it contains control characters.
fn id(id: &str) -> Cow<'_, str> {
    if id.chars().any(char::is_control) { format!("{id:?}").into() } else { id.into() }
}
