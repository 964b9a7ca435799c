//! The days that windows are built from, in memory: which are read, which are dropped, and what their hash says.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_core::canonical::{Canonical, DayRows};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::class::Class;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window};
use recsys_core::encoding::hash::sha256;
use recsys_core::input::lines::LineFile;
use recsys_core::table::events::TableError;
use recsys_core::table::{SourceHashes, WindowCache};
use recsys_testkit::days::read_days;
use recsys_testkit::folder::Folder;
use recsys_testkit::scope::scope;

const EXPOSURES: &[Stream] = &[Stream::Exposures];

fn day(number: u32) -> Day {
    format!("2026-01-{number:02}").parse().unwrap()
}

fn window(first: u32, last: u32) -> Window {
    Window::ending_with(day(last), last - first + 1).unwrap()
}

/// A day with so many exposures.
fn rows(number: u32, events: usize) -> DayRows {
    let line = |event| {
        format!(
            "{{\"v\":1,\"ts\":\"{}T00:00:00Z\",\"tenant\":\"demo\",\"surface\":\"home\",\"session_id\":\"s{event}\",\"item_id\":\"a\"}}\n",
            day(number)
        )
    };
    let text: String = (0..events).map(line).collect();
    let file = LineFile::new("raw", std::io::Cursor::new(text));
    read_days(vec![file], &scope(), day(number), day(number), &Budget::default()).unwrap().0.remove(0)
}

/// Reads a window, and returns the days that were not in memory.
fn load(cache: &mut WindowCache, canonical: Canonical<'_>, window: Window, budget: &Budget) -> Vec<Day> {
    let mut read = Vec::new();
    let load = |day| -> Result<_, TableError> {
        read.push(day);
        Ok(canonical.load(day, budget).unwrap())
    };
    cache.load(Stream::Exposures, window, budget, load).unwrap();
    read
}

#[test]
fn a_day_is_read_once_until_no_window_needs_it() {
    let (Folder { store, root: _root }, scope) = (Folder::new(), scope());
    let canonical = Canonical::new(&store, &scope);
    canonical.write(&rows(1, 2)).unwrap().commit().unwrap();
    let (mut cache, budget) = (WindowCache::default(), Budget::default());
    cache.insert_new(&rows(3, 1));
    // A day without a file is remembered, too.
    assert_eq!(load(&mut cache, canonical, window(1, 3), &budget), [day(1), day(2)]);
    assert_eq!(load(&mut cache, canonical, window(1, 3), &budget), []);
    let events: Vec<_> =
        cache.rows(Stream::Exposures, window(1, 3)).map(|(_, rows)| rows.map(DayRows::len)).collect();
    assert_eq!(events, [Some(2), None, Some(1)]);
    assert_eq!([1, 2, 3].map(|number| cache.is_new(day(number))), [false, false, true]);

    let dropped = cache.take_before(day(3));
    assert_eq!(dropped.rows(Stream::Exposures, window(1, 2)).count(), 2);
    assert_eq!(load(&mut cache, canonical, window(2, 3), &budget), [day(2)]);
}

#[test]
fn the_earliest_days_leave_memory_first() {
    let one = rows(1, 1000).bytes_in_memory();
    let budget = Budget::new(u64::try_from(2 * 2 * one).unwrap(), std::env::temp_dir());
    let mut cache = WindowCache::default();
    for number in 1..=4 {
        cache.insert_new(&rows(number, 1000));
    }
    cache.keep_to(&budget).unwrap();
    let days: Vec<_> = cache.rows(Stream::Exposures, window(1, 4)).map(|(_, rows)| rows.unwrap()).collect();
    let in_memory: Vec<bool> = days.iter().map(|rows| rows.bytes_in_memory() > 0).collect();
    assert_eq!(in_memory, [false, false, true, true]);
    assert!(days.iter().all(|rows| rows.len() == 1000));
}

#[test]
fn a_window_is_hashed_as_its_files_follow_each_other() {
    let (Folder { store, root }, scope) = (Folder::new(), scope());
    let canonical = Canonical::new(&store, &scope);
    let mut all = Vec::new();
    for number in [1, 3] {
        canonical.write(&rows(number, 3)).unwrap().commit().unwrap();
        all.extend(
            std::fs::read(root.path().join(format!("demo/home/exposures/{}.jsonl", day(number)))).unwrap(),
        );
    }
    let (mut cache, budget) = (WindowCache::default(), Budget::default());
    load(&mut cache, canonical, window(1, 3), &budget);
    let hash =
        |cache: &WindowCache, window| cache.source_hash(&mut SourceHashes::new(canonical), EXPOSURES, window);
    assert_eq!(hash(&cache, window(1, 3)).unwrap(), sha256(&all));
    assert_eq!(hash(&cache, window(2, 2)).unwrap(), sha256(b""));

    // That of one day is known before its file is in place.
    cache.insert_new(&rows(4, 1));
    cache.set_hash(Stream::Exposures, day(4), "known");
    assert_eq!(hash(&cache, window(4, 4)).unwrap(), "known");

    // Of several days, each must be what is in memory: neither another file, nor one where there was none.
    for number in [1, 2] {
        canonical.write(&rows(number, 4)).unwrap().commit().unwrap();
        let changed = hash(&cache, window(number, 3)).unwrap_err();
        assert!(matches!(changed, TableError::Changed(found) if found == day(number)), "{changed}");
        assert_eq!(changed.class(), Some(Class::Transient));
        let _ = cache.take_before(day(number + 1));
    }
}
