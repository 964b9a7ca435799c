//! A parallel map whose results are taken in order, while those after them are made.
//!
//! What each thing becomes is turned into a part on the thread that has made it, some things at a time, so that the results need
//! never be in memory together.

use std::convert::Infallible;

use parking_lot::Mutex;
use rayon::prelude::*;

/// Takes results in order.
pub(crate) trait Sink<R>: Send {
    /// What some results become, on whichever thread has made them.
    type Part: Send;

    /// Turns results that follow each other into a part.
    fn part(results: Vec<R>) -> Self::Part;

    /// Takes the next part.
    fn take(&mut self, part: Self::Part);
}

/// Keeps the results.
impl<R: Send> Sink<R> for Vec<R> {
    type Part = Self;

    fn part(results: Self) -> Self {
        results
    }

    fn take(&mut self, part: Self) {
        self.extend(part);
    }
}

/// Results of a part.
const PART: usize = 64;

/// Parts that each thread makes while those before them are taken.
const PARTS_OF_THREAD: usize = 8;

/// Calls `make` with each of `things`, on all threads, and hands the results to `sink` in order.
pub(crate) fn map<'t, T: Sync, R>(
    things: &'t [T],
    make: impl Fn(&'t T) -> R + Sync,
    sink: &mut impl Sink<R>,
) {
    let Ok(()) = try_map_with(things, || (), |(), thing| Ok::<_, Infallible>(make(thing)), sink);
}

/// Does the same until one fails. A thread makes its results with a state of its own.
pub(crate) fn try_map_with<'t, T: Sync, C: Send, R, E: Send, S: Sink<R>>(
    things: &'t [T],
    state: impl Fn() -> C + Sync,
    make: impl Fn(&mut C, &'t T) -> Result<R, E> + Sync,
    sink: &mut S,
) -> Result<(), E> {
    let states = Mutex::new(Vec::new());
    let states = || states.lock();
    let part = |things: &'t [T]| {
        let spare = states().pop();
        let mut own = spare.unwrap_or_else(&state);
        let results: Result<Vec<R>, E> = things.iter().map(|thing| make(&mut own, thing)).collect();
        states().push(own);
        results.map(S::part)
    };
    let mut parts: Vec<S::Part> = Vec::new();
    for things in things.chunks(PART * PARTS_OF_THREAD * rayon::current_num_threads()) {
        let before = std::mem::take(&mut parts);
        let ((), next) = rayon::join(
            || before.into_iter().for_each(|part| sink.take(part)),
            || things.par_chunks(PART).map(part).collect::<Result<_, E>>(),
        );
        parts = next?;
    }
    for part in parts {
        sink.take(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_what_they_are_made_of() {
        for count in [0, 1, 63, 64, 65, 10_000] {
            let numbers: Vec<u32> = (0..count).collect();
            let mut results = Vec::new();
            map(&numbers, |number| number * 2, &mut results);
            assert_eq!(results, numbers.iter().map(|number| number * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_thread_has_its_own_state_and_a_failure_ends_all() {
        let numbers: Vec<u32> = (0..10_000).collect();
        let mut results = Vec::new();
        // A state that two threads had at once would be seen by one of them while the other counts.
        let make = |state: &mut u32, number: &u32| {
            *state += 1;
            let result = *number + *state;
            *state -= 1;
            if *number == 9_000 { Err("nine thousand") } else { Ok(result) }
        };
        assert_eq!(try_map_with(&numbers[..9_000], || 0, make, &mut results), Ok(()));
        assert_eq!(results, (1..=9_000).collect::<Vec<_>>());
        assert_eq!(try_map_with(&numbers, || 0, make, &mut results), Err("nine thousand"));
    }
}
