//! What every store does, wherever it is: on disk, in memory, in a bucket of a real S3 server.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::io::{Read, Write};
use std::sync::Barrier;
use std::thread;

use recsys_core::storage::{Commit, Condition, Conditions, Store, Tag, Unconditional, probe};
use recsys_testkit::backend::Backend;
use recsys_testkit::faulty::IgnoresConditions;

/// Names that a tenant, a surface or a folder of the user may have, and that need care in a URL.
const NAMES: [&str; 14] = [
    "plain",
    "a b",
    "a+b",
    "a%20b",
    "100%",
    "é",
    "文",
    "😀",
    "#?&=;",
    "\"'`",
    "<[{(~)}]>",
    "$^|*\\",
    "..a",
    "a..",
];

fn keys(store: &dyn Store, folder: &str) -> Vec<String> {
    store.list(folder).unwrap().into_iter().map(|listed| listed.key).collect()
}

fn tag(store: &dyn Store, key: &str) -> Option<Tag> {
    store.read_tagged(key).unwrap().map(|(_, tag)| tag)
}

fn what_is_not_there_is_none_and_no_failure(backend: &Backend) {
    let store = backend.store("root");
    assert!(!store.root_exists().unwrap());
    assert!(store.open("a/b").unwrap().is_none());
    assert_eq!(store.read("a/b").unwrap(), None);
    assert_eq!(store.read_tagged("a/b").unwrap(), None);
    assert!(!store.holds("a/b", b"").unwrap());
    assert!(!store.remove("a/b").unwrap());
    assert_eq!(store.stat("a/b").unwrap(), None);
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.list("a").unwrap(), []);
    store.put("a/b", b"", Condition::Always).unwrap();
    assert!(store.root_exists().unwrap());
    assert!(!backend.store("roo").root_exists().unwrap(), "the beginning of a name is another name");
    assert!(!backend.store("root2").root_exists().unwrap());
}

fn documents_come_back_as_they_were_written(backend: &Backend) {
    let store = backend.store("root");
    let long = vec![7; 100_000];
    let contents: [&[u8]; 4] = [b"", b"text\n", b"\x00\xff\r\n", &long];
    for content in contents {
        store.put("a/b", content, Condition::Always).unwrap();
        assert_eq!(store.read("a/b").unwrap().unwrap(), content);
        assert_eq!(store.read_tagged("a/b").unwrap().unwrap().0, content);
        assert!(store.holds("a/b", content).unwrap());
        assert!(!store.holds("a/b", &[content, b"x"].concat()).unwrap());
        let listed = store.list("").unwrap();
        assert_eq!((listed.len(), listed[0].bytes), (1, content.len() as u64));
        assert_eq!(store.stat("a/b").unwrap().as_ref(), listed.first());
    }
    let mut flipped = long;
    flipped[99_999] = 8;
    assert!(!store.holds("a/b", &flipped).unwrap());
    assert!(store.remove("a/b").unwrap());
    assert!(!store.remove("a/b").unwrap());
    assert_eq!(store.read("a/b").unwrap(), None);
}

fn a_part_of_a_document_is_read_alone(backend: &Backend) {
    let content: Vec<u8> = (0..=250).cycle().take(100_000).collect();
    let check = |store: Box<dyn Store>| {
        assert_eq!(store.get_range("a/b", 0, 1).unwrap(), None);
        assert_eq!(store.get_range("a/b", 0, 0).unwrap(), None);
        store.put("a/b", &content, Condition::Always).unwrap();
        let size = store.stat("a/b").unwrap().unwrap().bytes;
        for (offset, length) in [(0, size), (0, 1), (99_000, 1_000), (size - 1, 1), (70_000, 10), (5, 0)] {
            let part = &content[usize::try_from(offset).unwrap()..][..usize::try_from(length).unwrap()];
            assert_eq!(store.get_range("a/b", offset, length).unwrap().unwrap(), part, "{offset} {length}");
        }
        for (offset, length) in [(0, size + 1), (size - 1, 2), (size, 1), (size + 1, 5), (1, u64::MAX)] {
            assert!(store.get_range("a/b", offset, length).is_err(), "{offset} {length}");
        }
    };
    check(backend.store("root"));
    // The same where the store knows nothing better than to read from the start.
    check(Box::new(IgnoresConditions(backend.store("root2"))));
}

fn names_are_taken_as_they_are(backend: &Backend) {
    for root in ["root", "a b/%41/é"] {
        let store = backend.store(root);
        for (number, name) in NAMES.iter().enumerate() {
            let key = format!("{name}/in {name}/{name}.json");
            store.put(&key, &[u8::try_from(number).unwrap()], Condition::Absent).unwrap();
            let uri = store.uri(&key);
            assert!(uri.ends_with(&format!("{root}/{key}")), "{uri}");
            assert_eq!(backend.read(&uri), Some(vec![u8::try_from(number).unwrap()]), "{uri}");
            assert_eq!(keys(&*store, name), [key]);
        }
        let mut sorted: Vec<String> =
            NAMES.iter().map(|name| format!("{name}/in {name}/{name}.json")).collect();
        sorted.sort();
        assert_eq!(keys(&*store, ""), sorted);
        for key in sorted {
            assert!(store.remove(&key).unwrap(), "{key}");
        }
        assert_eq!(keys(&*store, ""), Vec::<String>::new());
    }
}

fn a_listing_is_of_one_folder_and_all_below_it(backend: &Backend) {
    let store = backend.store("root");
    let all = ["a", "b/c", "b/d/e", "b.x", "bb/c", "b0"];
    for key in all {
        store.put(key, key.as_bytes(), Condition::Always).unwrap();
    }
    assert_eq!(keys(&*store, ""), ["a", "b.x", "b/c", "b/d/e", "b0", "bb/c"]);
    assert_eq!(keys(&*store, "b"), ["b/c", "b/d/e"]);
    assert_eq!(keys(&*store, "b/d"), ["b/d/e"]);
    backend.store("root2").put("x", b"", Condition::Always).unwrap();
    assert_eq!(keys(&*store, "").len(), all.len());
}

fn long_listings_are_whole(backend: &Backend) {
    let store = backend.store("root");
    let names: Vec<String> = (0..1_100).map(|number| format!("many/{number:04}")).collect();
    thread::scope(|scope| {
        for names in names.chunks(150) {
            let store = &store;
            scope.spawn(move || {
                for name in names {
                    store.put(name, b"", Condition::Absent).unwrap();
                }
            });
        }
    });
    assert_eq!(keys(&*store, "many"), names);
}

fn conditions_hold_or_nothing_is_written(backend: &Backend) {
    check_conditions(&*backend.store("root"));
}

fn check_conditions(store: &dyn Store) {
    let put = |bytes: &[u8], condition| store.put("a/b", bytes, condition).unwrap();
    let text = || String::from_utf8(store.read("a/b").unwrap().unwrap()).unwrap();
    assert_eq!(put(b"1", Condition::Absent), Commit::Written);
    assert_eq!(put(b"2", Condition::Absent), Commit::Refused);
    assert_eq!(put(b"1", Condition::Absent), Commit::Refused);
    assert_eq!(put(b"2", Condition::Still(None)), Commit::Refused);
    assert_eq!(text(), "1");
    let first = tag(store, "a/b");
    assert_eq!(tag(store, "a/b"), first, "a tag stays while the document stays");
    assert_eq!(put(b"3", Condition::Still(first.clone())), Commit::Written);
    let second = tag(store, "a/b");
    assert_ne!(first, second);
    assert_eq!(put(b"4", Condition::Still(first.clone())), Commit::Refused);
    assert_eq!(text(), "3");
    assert_eq!(put(b"3", Condition::Always), Commit::Unchanged);
    assert_eq!(tag(store, "a/b"), second);
    assert_eq!(put(b"5", Condition::Always), Commit::Written);
    assert_eq!(text(), "5");
    assert!(store.remove("a/b").unwrap());
    assert_eq!(put(b"6", Condition::Still(second)), Commit::Refused);
    assert_eq!(store.read("a/b").unwrap(), None);
    assert_eq!(put(b"6", Condition::Still(None)), Commit::Written);
    assert_eq!(text(), "6");
    // The same for what is written piece by piece.
    let write = |bytes: &[u8], condition| {
        let mut pending = store.begin("a/b").unwrap();
        pending.write_all(bytes).unwrap();
        pending.commit(condition).unwrap()
    };
    assert_eq!(write(b"6", Condition::Always), Commit::Unchanged);
    assert_eq!(write(b"7", Condition::Absent), Commit::Refused);
    assert_eq!(write(b"7", Condition::Still(first)), Commit::Refused);
    assert_eq!(write(b"7", Condition::Still(tag(store, "a/b"))), Commit::Written);
    assert_eq!(write(b"8", Condition::Always), Commit::Written);
    assert_eq!(text(), "8");
}

fn what_is_prepared_is_seen_when_it_is_committed(backend: &Backend) {
    check_prepared(&*backend.store("root"));
    check_prepared(&Unconditional(backend.store("root2")));
}

fn check_prepared(store: &dyn Store) {
    // The second one does not go over the network in one piece when it is written piece by piece.
    for bytes in [b"1".to_vec(), vec![7; 9 << 20]] {
        let prepare = || store.prepare("a/b", &bytes).unwrap();
        drop(prepare());
        let (mut one, other) = (prepare(), prepare());
        // It may not be known before.
        one.has_arrived(&bytes).unwrap();
        assert_eq!(keys(store, ""), Vec::<String>::new(), "nobody sees it, and nothing is left of it");
        assert_eq!(one.commit(Condition::Absent).unwrap(), Commit::Written);
        assert_eq!(other.commit(Condition::Absent).unwrap(), Commit::Refused);
        assert_eq!(prepare().commit(Condition::Always).unwrap(), Commit::Unchanged);
        assert!(store.holds("a/b", &bytes).unwrap());
        assert!(store.remove("a/b").unwrap());
    }
}

/// More than goes over the network in one request.
fn large_documents_arrive_whole_and_in_one_step(backend: &Backend) {
    let store = backend.store("root");
    let piece: Vec<u8> = (0..=250).cycle().take(1_000_003).collect();
    let write = |pieces: usize| {
        let mut pending = store.begin("large").unwrap();
        for _ in 0..pieces {
            pending.write_all(&piece).unwrap();
        }
        assert!(store.read("new").unwrap().is_none());
        pending.commit(Condition::Always).unwrap()
    };
    store.put("large", b"small", Condition::Always).unwrap();
    let mut pending = store.begin("large").unwrap();
    pending.write_all(&piece.repeat(20)).unwrap();
    drop(pending);
    assert!(store.holds("large", b"small").unwrap(), "what is dropped is never seen");
    assert_eq!(write(21), Commit::Written);
    assert!(store.holds("large", &piece.repeat(21)).unwrap());
    assert_eq!(write(21), Commit::Unchanged);
    assert_eq!(write(20), Commit::Written);
    // As a reader takes it, a little at a time.
    let mut reader = store.open("large").unwrap().unwrap();
    let mut beginning = vec![0; 10];
    reader.read_exact(&mut beginning).unwrap();
    assert_eq!(beginning, piece[..10]);
    assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 20 * 1_000_003 - 10);
    assert_eq!(keys(&*store, ""), ["large"]);
}

fn of_writers_that_race_for_a_name_one_wins(backend: &Backend) {
    for round in 0..5 {
        let key = format!("race/{round}");
        let start = Barrier::new(8);
        let winners: Vec<u8> = thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u8)
                .map(|writer| {
                    let (start, key) = (&start, &key);
                    scope.spawn(move || {
                        let store = backend.store("root");
                        start.wait();
                        let commit = store.put(key, &[writer], Condition::Absent).unwrap();
                        (commit == Commit::Written).then_some(writer)
                    })
                })
                .collect();
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(backend.store("root").read(&key).unwrap(), Some(winners), "exactly one, and it says so");
    }
}

fn no_update_is_lost(backend: &Backend) {
    let read = |store: &dyn Store| {
        let (bytes, tag) = store.read_tagged("counter").unwrap().unzip();
        let count: u32 = bytes.map_or(0, |bytes| String::from_utf8(bytes).unwrap().parse().unwrap());
        (count, tag)
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = backend.store("root");
                for _ in 0..10 {
                    loop {
                        let (count, tag) = read(&*store);
                        let next = (count + 1).to_string();
                        let commit = store.put("counter", next.as_bytes(), Condition::Still(tag)).unwrap();
                        if commit == Commit::Written {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(read(&*backend.store("root")).0, 80);
}

fn the_probe_tells_careful_stores_from_careless_ones(backend: &Backend) {
    let store = backend.store("root");
    assert_eq!(store.conditions().unwrap(), Conditions::Honoured);
    assert_eq!(store.conditions().unwrap(), Conditions::Honoured);
    assert_eq!(probe(&*store).unwrap(), Conditions::Honoured);
    let careless = IgnoresConditions(backend.store("root"));
    assert_eq!(careless.conditions().unwrap(), Conditions::Ignored);
    assert_eq!(store.list("").unwrap(), [], "nothing is left of it");
    // Whoever looks for himself gets by.
    check_conditions(&Unconditional(Box::new(careless)));
}

macro_rules! everywhere {
    ($($test:ident)*) => {
        mod disk {
            $(#[test] fn $test() { super::$test(&super::Backend::disk()); })*
        }
        mod memory {
            $(#[test] fn $test() { super::$test(&super::Backend::memory()); })*
        }
        mod bucket {
            $(#[test] fn $test() { super::$test(&super::Backend::bucket()); })*
        }
    };
}

everywhere! {
    what_is_not_there_is_none_and_no_failure
    documents_come_back_as_they_were_written
    a_part_of_a_document_is_read_alone
    names_are_taken_as_they_are
    a_listing_is_of_one_folder_and_all_below_it
    long_listings_are_whole
    conditions_hold_or_nothing_is_written
    what_is_prepared_is_seen_when_it_is_committed
    large_documents_arrive_whole_and_in_one_step
    of_writers_that_race_for_a_name_one_wins
    no_update_is_lost
    the_probe_tells_careful_stores_from_careless_ones
}
