//! Threads of our own, for work that the pool of `rayon` is not for: it waits for disks, or must not be held up.
//!
//! A limit on processes may keep threads from being started. Work that can do with fewer goes on with those there are;
//! for all other work it is an error that names the limit.

use std::io;
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};
#[cfg(feature = "http")]
use std::time::Duration;

use parking_lot::Mutex;

const THREADS: usize = 8;

/// Calls `work` with every item, on more threads than there are cores; returns the results in the order of the items,
/// or the first failure in that order.
pub fn try_map<T: Send, R: Send, E: Send>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let items = items.into_iter();
    let count = items.len();
    let items = Mutex::new(items.enumerate());
    let take = || items.lock().next();
    let done = on_threads(THREADS.min(count), || {
        let mut done = Vec::new();
        while let Some((number, item)) = take() {
            done.push((number, work(item)));
        }
        done
    });
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Calls `work` on the calling thread and on others beside it: on so many in all, or as many as can be started.
pub(crate) fn on_threads<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    scope(|scope| {
        let others = (1..threads).map_while(|_| Builder::new().spawn_scoped(scope, &work).ok());
        let others: Vec<_> = others.collect();
        let own = work();
        others.into_iter().map(joined).chain([own]).collect()
    })
}

/// Starts a thread that the work cannot do without.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, NotStarted> {
    Builder::new().spawn_scoped(scope, work).map_err(NotStarted)
}

/// Whether so many threads can be started at the same time, for libraries that panic, or wait for ever, where they cannot.
#[cfg(feature = "http")]
pub(crate) fn can_start(threads: usize) -> Result<(), NotStarted> {
    let before = alive();
    let gate = Mutex::new(());
    let started = scope(|scope| {
        // None of them ends before all are started.
        let _closed = gate.lock();
        (0..threads).try_for_each(|_| start(scope, || drop(gate.lock())).map(drop))
    });
    // A thread that has ended counts for the limit until the system has cleared it away.
    for _ in 0..1000 {
        if alive() <= before {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    started
}

/// The threads of this process, as the system counts them; none where it does not tell.
#[cfg(feature = "http")]
fn alive() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// A thread that the work cannot do without was not started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}", Self::WHAT)]
pub struct NotStarted(#[from] pub io::Error);

impl NotStarted {
    pub(crate) const WHAT: &str =
        "a thread: is the limit on processes too low (ulimit -u, or the pids of a container)?";
}

/// What a thread has returned; if it has panicked, so does this one.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_failures_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = try_map(&items, |item| Ok::<_, u32>(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let odd = try_map(&items, |item| if item % 7 == 6 { Err(*item) } else { Ok(()) });
        assert_eq!(odd, Err(6));
        assert_eq!(try_map([], |(): ()| Ok::<_, ()>(())), Ok(vec![]));
    }

    #[test]
    fn the_calling_thread_works_too() {
        let caller = std::thread::current().id();
        for threads in [0, 1, 3] {
            let ids = on_threads(threads, || std::thread::current().id());
            assert_eq!(ids.len(), threads.max(1));
            assert!(ids.contains(&caller));
        }
    }
}
