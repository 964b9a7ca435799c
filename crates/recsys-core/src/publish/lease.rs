//! The lease of a collection of garbage. While one is held, nothing becomes current.
//!
//! A publisher that has announced its manifest in the history looks for a lease, and a collector that has
//! taken its lease looks at the history. So at least one of them sees the other: either the collector keeps
//! what is announced, or the publisher waits, and then looks whether its blobs are still there.
//!
//! No clock takes part. A collector that lives renews its lease every few seconds, and one that has not for
//! a while is dead to whoever has watched it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::format::V1;
use super::registry::RegistryError;
use crate::id::Scope;
use crate::json::readable;
use crate::storage::{Commit, Condition, Store, StoreError, Tag};

/// How often a lease is renewed.
const BEAT: Duration = Duration::from_secs(2);

/// A lease that was not renewed for so long belongs to nobody.
const SILENCE: Duration = Duration::from_secs(20);

/// How often somebody who waits looks again.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct Document<'a> {
    v: V1,
    by: &'a str,
    /// How often it was renewed, so that each renewal is another document.
    beats: u64,
}

fn key(scope: &Scope) -> String {
    format!("gc/{}.json", scope.prefix())
}

/// Waits until there is no lease, or only one that is dead. Returns the tag of a dead one.
pub(super) fn wait(store: &dyn Store, scope: &Scope) -> Result<Option<Tag>, StoreError> {
    let mut watched: Option<(Tag, Instant)> = None;
    loop {
        let Some((_, tag)) = store.read_tagged(&key(scope))? else { return Ok(None) };
        match &watched {
            Some((before, since)) if *before == tag => {
                if since.elapsed() > SILENCE {
                    return Ok(Some(tag));
                }
            }
            _ => watched = Some((tag, Instant::now())),
        }
        thread::sleep(LOOK);
    }
}

/// Does `work` while the lease of `scope` is held. What it is given says whether it is held still.
pub(super) fn hold<T, E: From<RegistryError> + From<StoreError> + Send>(
    store: &dyn Store,
    scope: &Scope,
    by: &str,
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<T, E>,
) -> Result<T, E> {
    let key = key(scope);
    let document = |beats| readable(&Document { v: V1, by, beats });
    let taken = || RegistryError::Leased(store.name(&key));
    let write = |beats, condition| -> Result<(), E> {
        match store.put(&key, &document(beats), condition)? {
            Commit::Refused => Err(taken().into()),
            Commit::Written | Commit::Unchanged => Ok(()),
        }
    };
    let renew = |beats| -> Result<(), E> {
        match store.read_tagged(&key)? {
            Some((bytes, tag)) if bytes == document(beats - 1) => write(beats, Condition::Still(Some(tag))),
            // Somebody took this process for dead.
            _ => Err(taken().into()),
        }
    };
    let dead = wait(store, scope)?;
    write(0, Condition::Still(dead))?;
    let held = AtomicBool::new(true);
    let done = thread::scope(|threads| {
        let (sender, ended) = channel::<()>();
        let renewing = threads.spawn(|| {
            // Owned by this thread, so that it ends with the work.
            let ended = ended;
            let mut beats = 0;
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                beats += 1;
                renew(beats).inspect_err(|_| held.store(false, Ordering::Relaxed))?;
            }
            Ok::<_, E>(())
        });
        let done = work(&|| held.load(Ordering::Relaxed));
        drop(sender);
        let renewed = renewing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.and_then(|done| renewed.map(|()| done))
    });
    if !held.load(Ordering::Relaxed) {
        return done;
    }
    let given_back = store.remove(&key);
    let done = done?;
    given_back?;
    Ok(done)
}
