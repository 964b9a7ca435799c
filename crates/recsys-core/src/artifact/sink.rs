//! Rows on their way from a builder into a document.
//!
//! A document has as many entries as a day has events, or nearly, and each takes less as text than as a row. So rows
//! become text on the thread that has made them, some at a time, and need never be in memory together.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::encode::Encode;

/// Takes the rows of an artifact.
pub(crate) trait Sink<R>: Send {
    /// What some rows become, on whichever thread has made them.
    type Part: Send;

    /// Turns rows that follow each other into a part.
    fn part(rows: Vec<R>) -> Self::Part;

    /// Takes the next part.
    fn take(&mut self, part: Self::Part);
}

/// Keeps the rows.
impl<R: Send> Sink<R> for Vec<R> {
    type Part = Self;

    fn part(rows: Self) -> Self {
        rows
    }

    fn take(&mut self, part: Self) {
        self.extend(part);
    }
}

/// Makes the rows a list of compact JSON, without the brackets.
pub(crate) struct Encoder<'a> {
    out: &'a mut (dyn FnMut(&[u8]) + Send),
    /// How many rows it has taken.
    pub(super) rows: u64,
}

impl<'a> Encoder<'a> {
    /// An encoder that hands the text to `out`, piece by piece.
    pub(super) fn new(out: &'a mut (dyn FnMut(&[u8]) + Send)) -> Self {
        Self { out, rows: 0 }
    }
}

impl<R: Encode> Sink<R> for Encoder<'_> {
    type Part = (Vec<u8>, u64);

    fn part(rows: Vec<R>) -> (Vec<u8>, u64) {
        let mut text = Vec::new();
        push_rows(&mut text, &rows);
        (text, rows.len() as u64)
    }

    fn take(&mut self, (text, rows): (Vec<u8>, u64)) {
        if self.rows > 0 {
            (self.out)(b",");
        }
        (self.out)(&text);
        self.rows += rows;
    }
}

/// Appends rows with commas between them.
pub(super) fn push_rows(out: &mut Vec<u8>, rows: &[impl Encode]) {
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        row.push(out);
    }
}

/// Rows of a part.
const PART_ROWS: usize = 64;

/// Parts that each thread makes while those before them are taken.
const PARTS_OF_THREAD: usize = 8;

/// Makes a row of each of `things`, on all threads, and hands them to `sink` in order.
pub(super) fn map<'t, T: Sync, R>(things: &'t [T], row: impl Fn(&'t T) -> R + Sync, sink: &mut impl Sink<R>) {
    let Ok(()) = try_map_with(things, || (), |(), thing| Ok::<_, Infallible>(row(thing)), sink);
}

/// Does the same until one fails. A thread makes its rows with a state of its own.
pub(super) fn try_map_with<'t, T: Sync, C: Send, R, E: Send, S: Sink<R>>(
    things: &'t [T],
    state: impl Fn() -> C + Sync,
    row: impl Fn(&mut C, &'t T) -> Result<R, E> + Sync,
    sink: &mut S,
) -> Result<(), E> {
    let states = Mutex::new(Vec::new());
    let states = || states.lock().unwrap_or_else(PoisonError::into_inner);
    let part = |things: &'t [T]| {
        let spare = states().pop();
        let mut own = spare.unwrap_or_else(&state);
        let rows: Result<Vec<R>, E> = things.iter().map(|thing| row(&mut own, thing)).collect();
        states().push(own);
        rows.map(S::part)
    };
    let mut made: Vec<S::Part> = Vec::new();
    for things in things.chunks(PART_ROWS * PARTS_OF_THREAD * rayon::current_num_threads()) {
        let before = std::mem::take(&mut made);
        let ((), parts) = rayon::join(
            || before.into_iter().for_each(|part| sink.take(part)),
            || things.par_chunks(PART_ROWS).map(part).collect::<Result<_, E>>(),
        );
        made = parts?;
    }
    for part in made {
        sink.take(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Digits(u32);

    impl Encode for Digits {
        fn push(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0.to_string().as_bytes());
        }
    }

    fn encoded(numbers: &[u32]) -> (String, u64) {
        let mut text = Vec::new();
        let mut out = |part: &[u8]| text.extend_from_slice(part);
        let mut encoder = Encoder::new(&mut out);
        map(numbers, |number| Digits(*number), &mut encoder);
        let rows = encoder.rows;
        (String::from_utf8(text).unwrap(), rows)
    }

    #[test]
    fn rows_come_in_the_order_of_what_they_are_made_of() {
        for count in [0, 1, 63, 64, 65, 10_000] {
            let numbers: Vec<u32> = (0..count).collect();
            let mut rows = Vec::new();
            map(&numbers, |number| number * 2, &mut rows);
            assert_eq!(rows, numbers.iter().map(|number| number * 2).collect::<Vec<_>>());
            let expected: Vec<String> = numbers.iter().map(u32::to_string).collect();
            assert_eq!(encoded(&numbers), (expected.join(","), u64::from(count)));
        }
    }

    #[test]
    fn each_thread_has_its_own_state_and_a_failure_ends_all() {
        let numbers: Vec<u32> = (0..10_000).collect();
        let mut rows = Vec::new();
        // A state that two threads had at once would be seen by one of them while the other counts.
        let row = |state: &mut u32, number: &u32| {
            *state += 1;
            let row = *number + *state;
            *state -= 1;
            if *number == 9_000 { Err("nine thousand") } else { Ok(row) }
        };
        assert_eq!(try_map_with(&numbers[..9_000], || 0, row, &mut rows), Ok(()));
        assert_eq!(rows, (1..=9_000).collect::<Vec<_>>());
        assert_eq!(try_map_with(&numbers, || 0, row, &mut rows), Err("nine thousand"));
    }
}
