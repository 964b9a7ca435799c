//! The checkpoint: the last day that `run` has published without a gap.

use recsys_core::storage::Condition;
use recsys_core::window::Day;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::JobError;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    day: Day,
}

fn key(ctx: &Context) -> String {
    format!("{}.json", ctx.scope.prefix())
}

/// The last day published, if any was.
pub(crate) fn read(ctx: &Context) -> Result<Option<Day>, JobError> {
    let key = key(ctx);
    let Some(bytes) = ctx.checkpoints.read(&key)? else { return Ok(None) };
    let checkpoint: Checkpoint = serde_json::from_slice(&bytes)
        .map_err(|source| JobError::Checkpoint { name: ctx.checkpoints.name(&key), source })?;
    Ok(Some(checkpoint.day))
}

/// Moves the checkpoint to `day` if that is its next day, or if there is no checkpoint yet. A day further
/// on would make an incremental run forget the days between; an earlier one was published before.
pub(crate) fn advance(ctx: &Context, day: Day) -> Result<(), JobError> {
    if let Some(last) = read(ctx)? {
        if day > last.next()? {
            tracing::warn!(%day, checkpoint = %last, "the checkpoint stays: the days between were not published");
        }
        if day != last.next()? {
            return Ok(());
        }
    }
    let mut bytes = serde_json::to_vec(&Checkpoint { day })
        .map_err(|source| JobError::Checkpoint { name: ctx.checkpoints.name(&key(ctx)), source })?;
    bytes.push(b'\n');
    ctx.checkpoints.put(&key(ctx), &bytes, Condition::Always)?;
    Ok(())
}
