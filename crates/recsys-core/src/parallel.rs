//! Work that mostly waits for disks, on more threads than there are cores.

use std::sync::{Mutex, PoisonError};
use std::thread;

const THREADS: usize = 8;

/// Calls `work` with every item; returns the results in the order of the items, or the first failure in
/// that order.
pub fn try_map<T: Send, R: Send, E: Send>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let items = items.into_iter();
    let count = items.len();
    let items = Mutex::new(items.enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..THREADS.min(count) {
            scope.spawn(|| {
                loop {
                    let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, item)) = next else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
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
}
