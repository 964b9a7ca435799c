//! Tenants and surfaces that there are, for the error about another one. Those that the raw events are of are looked
//! for only when a day has no event.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};

use recsys_core::domain::id::Scope;
use recsys_core::domain::stream::Stream;
use recsys_core::input::raw::{MaxWindow, open_decompressed};
use recsys_core::storage::{Store, layout};
use serde::Deserialize;

use crate::pipeline::context::Context;

/// Lines of a flat file that are looked at.
const MOST_LINES: usize = 10_000;

/// Bytes of a flat file that are looked at.
const MOST_BYTES: u64 = 16 << 20;

/// Names that a message lists.
const MOST_NAMES: usize = 10;

/// The end of a message that lists the tenants and surfaces that there are; empty if there are none.
pub(crate) fn there_is(names: &[String]) -> String {
    let shown = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len() {
        0 => String::new(),
        1..=MOST_NAMES => format!("; there is {shown}"),
        all => format!("; there is {shown} and {} more", all - MOST_NAMES),
    }
}

/// Lists what the raw events are of; empty where that is not known, and where the scope of the job is among it.
pub(crate) fn others(ctx: &Context) -> String {
    let mut names = find(ctx).unwrap_or_default();
    if names.contains(&ctx.scope.to_string()) {
        names.clear();
    }
    there_is(&Vec::from_iter(names))
}

/// None where they cannot be listed.
fn find(ctx: &Context) -> Option<BTreeSet<String>> {
    if ctx.input.is_some() {
        return None;
    }
    let store = ctx.raw_store().ok()?;
    for key in layout::raw_flat(Stream::Exposures) {
        if let Some(reader) = open_decompressed(&*store, &key, MaxWindow::of(&ctx.budget)).ok()? {
            return Some(in_lines(reader));
        }
    }
    in_folders(&*store)
}

fn in_lines(reader: impl Read) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct EventScope {
        tenant: String,
        surface: String,
    }
    let lines = BufReader::new(reader.take(MOST_BYTES)).lines().take(MOST_LINES).map_while(Result::ok);
    let name = |line: String| {
        let EventScope { tenant, surface } = serde_json::from_str(&line).ok()?;
        Some(Scope { tenant: tenant.trim().parse().ok()?, surface: surface.trim().parse().ok()? }.to_string())
    };
    lines.filter_map(name).collect()
}

fn in_folders(store: &dyn Store) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for tenant in store.folders("").ok()? {
        let surfaces = store.folders(&tenant).ok()?;
        names.extend(surfaces.into_iter().map(|surface| format!("{tenant}/{surface}")));
    }
    Some(names)
}
