//! Tenants and surfaces that the raw events are of, for whoever has asked for another one: looked for only when a day has
//! no event.

use std::io::{BufRead, BufReader, Read};

use recsys_core::domain::id::Scope;
use recsys_core::domain::stream::Stream;
use recsys_core::input::raw::{MaxWindow, open_decompressed};
use recsys_core::storage::{Store, layout};
use serde::Deserialize;

use crate::config::RawType;
use crate::pipeline::context::Context;
use crate::shell::error::Known;

/// Lines of a flat file that are looked at.
const MOST_LINES: usize = 10_000;

/// Bytes of a flat file that are looked at.
const MOST_BYTES: u64 = 16 << 20;

/// What the raw events are of, if that is known and the scope of the job is not among it.
pub(crate) fn others(ctx: &Context) -> Known {
    let met = if ctx.config.raw_source.r#type == RawType::Postgres { None } else { met(ctx) };
    let own = ctx.scope.to_string();
    let mut names = met.unwrap_or_default();
    names.sort();
    names.dedup();
    if names.contains(&own) { Known::default() } else { Known(names) }
}

/// None where nobody can look.
fn met(ctx: &Context) -> Option<Vec<String>> {
    let store = ctx.raw_store().ok()?;
    for key in layout::raw_flat(Stream::Exposures) {
        if let Some(reader) = open_decompressed(&*store, &key, MaxWindow::of(&ctx.budget)).ok()? {
            return Some(in_lines(reader));
        }
    }
    in_folders(&*store)
}

fn in_lines(reader: impl Read) -> Vec<String> {
    #[derive(Deserialize)]
    struct Line {
        tenant: String,
        surface: String,
    }
    let lines = BufReader::new(reader.take(MOST_BYTES)).lines().take(MOST_LINES).map_while(Result::ok);
    let name = |line: String| {
        let Line { tenant, surface } = serde_json::from_str(&line).ok()?;
        Some(Scope { tenant: tenant.trim().parse().ok()?, surface: surface.trim().parse().ok()? }.to_string())
    };
    let mut names: Vec<String> = lines.filter_map(name).collect();
    names.sort();
    names.dedup();
    names
}

fn in_folders(store: &dyn Store) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for tenant in store.folders("").ok()? {
        let surfaces = store.folders(&tenant).ok()?;
        names.extend(surfaces.into_iter().map(|surface| format!("{tenant}/{surface}")));
    }
    Some(names)
}
