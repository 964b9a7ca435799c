//! The checkpoint: the last day that `run` has published without a gap.

use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::encoding::json;
use recsys_core::storage::{Condition, Store, layout};
use serde::{Deserialize, Serialize};

use crate::pipeline::context::Context;
use crate::shell::clock::Clock;
use crate::shell::error::JobError;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    day: Day,
}

/// What messages call the checkpoint.
pub(crate) fn name(ctx: &Context) -> String {
    ctx.checkpoints.name(&layout::checkpoint(&ctx.scope))
}

/// The last day published, if any was.
pub(crate) fn read(ctx: &Context) -> anyhow::Result<Option<Day>> {
    read_of(&*ctx.checkpoints, &ctx.scope, ctx.clock)
}

/// The same of a tenant and surface.
pub(crate) fn read_of(store: &dyn Store, scope: &Scope, clock: Clock) -> anyhow::Result<Option<Day>> {
    let key = layout::checkpoint(scope);
    let Some(bytes) = store.read(&key)? else { return Ok(None) };
    let name = store.name(&key);
    let Checkpoint { day } = serde_json::from_slice(&bytes).map_err(|problem| {
        JobError::Refused(format!(
            "checkpoint {name} is not a checkpoint: {}; write the last day published into it, as \
             {{\"day\":\"2026-01-31\"}}, or remove it and say with --start where to begin",
            json::error_in_words(&problem)
        ))
    })?;
    let today = Day::of(clock.horizon())?;
    // The present day may have been published on purpose.
    if day > today {
        return Err(JobError::Refused(format!(
            "checkpoint {name} says that {day} was published, which lies in the future: it is {today} here; correct the \
             clock, or write the last day published into it, as {{\"day\":\"{today}\"}}"
        ))
        .into());
    }
    Ok(Some(day))
}

/// Moves the checkpoint to `day` if that is its next day, or if there is no checkpoint yet. A day further
/// on would make an incremental run forget the days between; an earlier one was published before.
pub(crate) fn advance(ctx: &Context, day: Day) -> anyhow::Result<()> {
    if let Some(last) = read(ctx)? {
        if day > last.next()? {
            tracing::warn!(%day, checkpoint = %last, "the checkpoint stays: the days between were not published");
        }
        if day != last.next()? {
            return Ok(());
        }
    }
    let mut bytes = json::to_vec(&Checkpoint { day });
    bytes.push(b'\n');
    ctx.checkpoints.put(&layout::checkpoint(&ctx.scope), &bytes, Condition::Always)?;
    Ok(())
}
