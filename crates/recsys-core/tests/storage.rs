//! Documents on a local disk: all or nothing, under a condition, and nothing left lying about.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;

use recsys_core::storage::{Commit, Condition, LocalStore, MAX_DOCUMENT_BYTES, Store, Tag};
use recsys_testkit::folder::{Folder, age, is_old};
use recsys_testkit::tree::files_below;

fn text(folder: &Folder, key: &str) -> String {
    String::from_utf8(folder.store.read(key).unwrap().unwrap()).unwrap()
}

fn tag(folder: &Folder, key: &str) -> Option<Tag> {
    folder.store.read_tagged(key).unwrap().map(|(_, tag)| tag)
}

/// Every file below the root but locks, with its bytes.
fn documents(folder: &Folder) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = files_below(folder.root.path());
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn scratch(folder: &Folder) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.path(".scratch")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_is_put_can_be_read() {
    let folder = Folder::new();
    assert_eq!(folder.store.read("a").unwrap(), None);
    assert_eq!(folder.store.put("a", b"one", Condition::Always).unwrap(), Commit::Written);
    assert_eq!(text(&folder, "a"), "one");
    assert_eq!(folder.store.put("a", b"", Condition::Always).unwrap(), Commit::Written);
    assert_eq!(text(&folder, "a"), "");
    assert_eq!(documents(&folder), [(folder.path("a"), vec![])]);
}

#[test]
fn nothing_is_created_before_the_first_write_and_then_every_folder() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("not/yet/there");
    let store = LocalStore::new(&root).unwrap();
    assert!(!store.root_exists().unwrap());
    assert!(store.read("a/b/c.json").unwrap().is_none());
    assert!(!store.remove("a/b/c.json").unwrap());
    assert!(!outer.path().join("not").exists());
    store.put("a/b/c.json", b"x", Condition::Absent).unwrap();
    assert!(store.root_exists().unwrap());
    assert_eq!(fs::read(root.join("a/b/c.json")).unwrap(), b"x");
    assert_eq!(store.uri("a/b/c.json"), format!("file://{}", root.join("a/b/c.json").display()));
    assert_eq!(store.name("a/b/c.json"), root.join("a/b/c.json").display().to_string());
    // A file where a folder should be is an error for every operation, not an absent document.
    assert!(store.put("a/b/c.json/d", b"y", Condition::Always).is_err());
    assert!(store.read("a/b/c.json/d").is_err());
    assert!(store.remove("a/b/c.json/d").is_err());
    assert!(store.holds("a/b/c.json/d", b"").is_err());
}

/// An empty path is the working directory, where its documents are written.
#[test]
fn the_working_directory_is_a_root_that_exists() {
    let store = LocalStore::new("").unwrap();
    assert_eq!(store.uri("a"), LocalStore::new(".").unwrap().uri("a"));
    assert!(LocalStore::new(".").unwrap().root_exists().unwrap());
    assert!(store.root_exists().unwrap());
}

#[test]
fn always_with_the_same_bytes_touches_nothing() {
    let folder = Folder::new();
    // Around the size of the pieces in which files are compared.
    for size in [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 300_000] {
        folder.store.remove("a").unwrap();
        let bytes = vec![7u8; size];
        assert_eq!(folder.store.put("a", &bytes, Condition::Always).unwrap(), Commit::Written);
        age(&folder.path("a"));
        assert_eq!(folder.store.put("a", &bytes, Condition::Always).unwrap(), Commit::Unchanged);
        assert!(is_old(&folder.path("a")));
        // One byte more, one less, another last one.
        let mut other = bytes.clone();
        if let Some(last) = other.last_mut() {
            *last = 8;
            assert_eq!(folder.store.put("a", &other, Condition::Always).unwrap(), Commit::Written);
            assert_eq!(folder.store.put("a", &bytes[1..], Condition::Always).unwrap(), Commit::Written);
        }
        let longer = [&bytes[..], &[7]].concat();
        assert_eq!(folder.store.put("a", &longer, Condition::Always).unwrap(), Commit::Written);
        assert!(!is_old(&folder.path("a")));
        assert_eq!(folder.store.read("a").unwrap().unwrap(), longer);
    }
    assert!(scratch(&folder).is_empty());
}

#[test]
fn absent_never_replaces() {
    let folder = Folder::new();
    assert_eq!(folder.store.put("a", b"one", Condition::Absent).unwrap(), Commit::Written);
    age(&folder.path("a"));
    for bytes in [&b"two"[..], b"one", b""] {
        assert_eq!(folder.store.put("a", bytes, Condition::Absent).unwrap(), Commit::Refused);
        assert_eq!(text(&folder, "a"), "one");
        assert!(is_old(&folder.path("a")));
    }
    // Someone else is faster while the document is being written.
    let mut pending = folder.store.begin("b").unwrap();
    pending.write_all(b"slow").unwrap();
    folder.store.put("b", b"fast", Condition::Absent).unwrap();
    assert_eq!(pending.commit(Condition::Absent).unwrap(), Commit::Refused);
    assert_eq!(text(&folder, "b"), "fast");
    assert!(scratch(&folder).is_empty());
}

#[test]
fn of_many_writers_one_creates_a_document() {
    let folder = Folder::new();
    for round in 0..20 {
        let key = format!("document-{round}");
        let results: Vec<_> = thread::scope(|scope| {
            let writer = |number: usize| {
                let (folder, key) = (&folder, &key);
                scope.spawn(move || {
                    let bytes = format!("{number}").repeat(1000);
                    (folder.store.put(key, bytes.as_bytes(), Condition::Absent).unwrap(), bytes)
                })
            };
            let writers: Vec<_> = (0..8).map(writer).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<_> = results.iter().filter(|(commit, _)| *commit == Commit::Written).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(text(&folder, &key), winners[0].1);
    }
}

#[test]
fn still_refuses_when_the_document_has_changed() {
    let folder = Folder::new();
    let put = |bytes: &[u8], tag: &Option<Tag>| {
        folder.store.put("a/b", bytes, Condition::Still(tag.clone())).unwrap()
    };
    let none = tag(&folder, "a/b");
    assert_eq!(none, None);
    assert_eq!(put(b"one", &none), Commit::Written);
    let one = tag(&folder, "a/b");
    assert!(one.is_some());
    assert_eq!(put(b"two", &one), Commit::Written);
    age(&folder.path("a/b"));
    for stale in [&none, &one, &Some(Tag { etag: "no such".into(), version: None })] {
        assert_eq!(put(b"three", stale), Commit::Refused);
        assert_eq!(put(b"two", stale), Commit::Refused, "also with the bytes that are there");
        assert_eq!(text(&folder, "a/b"), "two");
        assert!(is_old(&folder.path("a/b")));
    }
    // A document that is gone is not in the state that was read.
    let two = tag(&folder, "a/b");
    assert!(folder.store.remove("a/b").unwrap());
    assert_eq!(put(b"three", &two), Commit::Refused);
    assert_eq!(folder.store.read("a/b").unwrap(), None);
    assert_eq!(put(b"three", &None), Commit::Written);
    let documents = documents(&folder);
    assert_eq!(documents, [(folder.path("a/b"), b"three".to_vec())]);
}

#[test]
fn a_tag_names_the_bytes_it_was_read_with() {
    let folder = Folder::new();
    folder.store.put("a", b"one", Condition::Always).unwrap();
    let (bytes, one) = folder.store.read_tagged("a").unwrap().unwrap();
    assert_eq!(bytes, b"one");
    folder.store.put("a", b"two", Condition::Always).unwrap();
    assert_ne!(tag(&folder, "a").unwrap(), one);
    fs::write(folder.path("a"), "one, edited").unwrap();
    assert_ne!(tag(&folder, "a").unwrap(), one);
}

/// Eight threads, each with a store of its own as separate processes have, count to fifty.
#[test]
fn no_update_is_lost() {
    const THREADS: usize = 8;
    const TIMES: usize = 50;
    let folder = Folder::new();
    let all_have_read = Barrier::new(THREADS);
    let refused: usize = thread::scope(|scope| {
        let count = || {
            let store = LocalStore::new(folder.root.path()).unwrap();
            let (mut refused, mut attempts) = (0, 0);
            for _ in 0..TIMES {
                loop {
                    let (bytes, tag) = match store.read_tagged("counter").unwrap() {
                        Some((bytes, tag)) => (bytes, Some(tag)),
                        None => (b"0".to_vec(), None),
                    };
                    if attempts == 0 {
                        all_have_read.wait();
                    }
                    attempts += 1;
                    let count: usize = String::from_utf8(bytes).unwrap().parse().unwrap();
                    let next = (count + 1).to_string();
                    match store.put("counter", next.as_bytes(), Condition::Still(tag)).unwrap() {
                        Commit::Written => break,
                        Commit::Refused => refused += 1,
                        Commit::Unchanged => panic!("every count is new"),
                    }
                }
            }
            refused
        };
        let writers: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(text(&folder, "counter"), (THREADS * TIMES).to_string());
    assert!(refused >= THREADS - 1, "all but one have lost the first round");
    assert_eq!(documents(&folder).len(), 1);
}

#[test]
fn a_reader_sees_the_old_document_or_the_new_one() {
    let folder = Folder::new();
    let documents = [vec![b'a'; 100_000], vec![b'b'; 200_000]];
    folder.store.put("a", &documents[0], Condition::Always).unwrap();
    let (before, mut opened) = (documents[0].clone(), folder.store.open("a").unwrap().unwrap());
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..100 {
                folder.store.put("a", &documents[round % 2], Condition::Always).unwrap();
            }
        });
        while !writer.is_finished() {
            let bytes = folder.store.read("a").unwrap().unwrap();
            assert!(documents.contains(&bytes));
        }
    });
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).unwrap();
    assert!(bytes == before, "what was opened stays what it was");
}

#[test]
fn a_write_that_is_dropped_leaves_nothing() {
    let folder = Folder::new();
    folder.store.put("a", b"old", Condition::Always).unwrap();
    let before = documents(&folder);
    for key in ["a", "b", "new/folder/c"] {
        let mut pending = folder.store.begin(key).unwrap();
        pending.write_all(&vec![1; 200_000]).unwrap();
        pending.flush().unwrap();
        assert_eq!(text(&folder, "a"), "old");
        assert!(key == "a" || folder.store.read(key).unwrap().is_none());
        drop(pending);
        assert_eq!(documents(&folder), before);
    }
    assert!(!folder.path("new").exists());
}

/// More than is flushed to the disk in one go.
#[test]
fn a_large_document_arrives_whole() {
    let folder = Folder::new();
    let mut pending = folder.store.begin("large").unwrap();
    let piece: Vec<u8> = (0..=250).cycle().take(1_000_003).collect();
    for _ in 0..40 {
        pending.write_all(&piece).unwrap();
    }
    assert_eq!(pending.commit(Condition::Absent).unwrap(), Commit::Written);
    assert!(folder.store.holds("large", &piece.repeat(40)).unwrap());
    let mut dropped = folder.store.begin("dropped").unwrap();
    for _ in 0..20 {
        dropped.write_all(&piece).unwrap();
    }
    drop(dropped);
    assert_eq!(documents(&folder).len(), 1);
}

#[test]
fn what_is_prepared_is_read_back_before_it_has_a_name() {
    let folder = Folder::new();
    for bytes in [b"x".to_vec(), (0..=250).cycle().take(5_000_003).collect()] {
        let mut pending = folder.store.prepare("a", &bytes).unwrap();
        assert!(pending.has_arrived(&bytes).unwrap());
        assert_eq!(pending.commit(Condition::Absent).unwrap(), Commit::Written);
        assert_eq!(fs::read(folder.path("a")).unwrap(), bytes);
        let mut late = folder.store.prepare("a", &bytes).unwrap();
        assert!(!late.has_arrived(&bytes).unwrap(), "another one is there");
        assert_eq!(late.commit(Condition::Absent).unwrap(), Commit::Refused);

        let mut damaged = folder.store.prepare("b", &bytes).unwrap();
        assert!(damaged.has_arrived(&bytes).unwrap());
        let [path] = &scratch(&folder)[..] else { panic!("one file is being written") };
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(b"-", bytes.len() as u64 - 1).unwrap();
        let error = damaged.has_arrived(&bytes).unwrap_err();
        assert_eq!((error.action, error.source.kind()), ("read back", ErrorKind::InvalidData), "{error}");
        drop(damaged);
        assert_eq!(scratch(&folder), [] as [PathBuf; 0]);
        folder.store.remove("a").unwrap();
    }
}

#[test]
fn a_document_has_the_mode_of_any_new_file() {
    let folder = Folder::new();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    File::create(folder.path("any")).unwrap();
    for (key, condition) in
        [("a", Condition::Always), ("b", Condition::Absent), ("c/d", Condition::Still(None))]
    {
        folder.store.put(key, b"x", condition).unwrap();
        assert_eq!(mode(folder.path(key)), mode(folder.path("any")), "{key}");
        // Also when it replaces a file of another mode.
        fs::set_permissions(folder.path(key), fs::Permissions::from_mode(0o600)).unwrap();
        folder.store.put(key, b"y", Condition::Always).unwrap();
        assert_eq!(mode(folder.path(key)), mode(folder.path("any")), "{key}");
    }
}

#[test]
fn remove_says_whether_there_was_a_document() {
    let folder = Folder::new();
    folder.store.put("a/b", b"x", Condition::Always).unwrap();
    folder.store.put("a/c", b"y", Condition::Always).unwrap();
    assert!(folder.store.remove("a/b").unwrap());
    assert!(!folder.store.remove("a/b").unwrap());
    assert!(!folder.store.remove("no/such").unwrap());
    assert_eq!(documents(&folder), [(folder.path("a/c"), b"y".to_vec())]);
    assert!(folder.store.remove("a").is_err(), "a folder is not a document");
    assert_eq!(text(&folder, "a/c"), "y");
}

#[test]
fn holds_compares_every_byte_and_the_length() {
    let folder = Folder::new();
    for size in [0usize, 1, 65_535, 65_536, 65_537, 200_000] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        folder.store.put("a", &bytes, Condition::Always).unwrap();
        assert!(folder.store.holds("a", &bytes).unwrap());
        let longer = [&bytes[..], &[1]].concat();
        assert!(!folder.store.holds("a", &longer).unwrap(), "{size}");
        if let Some((last, shorter)) = bytes.split_last() {
            assert!(!folder.store.holds("a", shorter).unwrap(), "{size}");
            assert!(!folder.store.holds("a", &[shorter, &[last ^ 1]].concat()).unwrap(), "{size}");
        }
    }
    assert!(!folder.store.holds("b", b"").unwrap(), "a missing document is not an empty one");
}

// ---- Other processes ---------------------------------------------------------------------------------

const OTHER_PROCESS: &str = "RECSYS_TEST_OTHER_PROCESS";

/// Not a test of its own: what another process does, when the tests below start this program again.
#[test]
fn other_process() {
    let Some(root) = std::env::var_os(OTHER_PROCESS) else { return };
    let store = LocalStore::new(root).unwrap();
    let mut pending = store.begin("from/another").unwrap();
    pending.write_all(b"process").unwrap();
    pending.flush().unwrap();
    println!("\nbegun");
    let mut order = String::new();
    std::io::stdin().read_line(&mut order).unwrap();
    match order.trim() {
        "commit" => assert_eq!(pending.commit(Condition::Absent).unwrap(), Commit::Written),
        // Nothing is tidied up on the way out.
        _ => std::process::exit(0),
    }
}

struct Other(Child);

impl Other {
    /// Another process that has begun to write.
    fn begin(root: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture"])
            .env(OTHER_PROCESS, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begun"));
        // Kept open: the test harness has more to say.
        thread::spawn(move || lines.count());
        Self(child)
    }

    fn tell(mut self, order: &str) {
        self.0.stdin.take().unwrap().write_all(format!("{order}\n").as_bytes()).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn what_a_dead_process_left_is_removed_and_what_a_live_one_writes_is_not() {
    let folder = Folder::new();
    let (dead, killed, live) = (
        Other::begin(folder.root.path()),
        Other::begin(folder.root.path()),
        Other::begin(folder.root.path()),
    );
    assert_eq!(scratch(&folder).len(), 3);
    dead.tell("die");
    let Other(mut killed) = killed;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(scratch(&folder).len(), 3, "both have left something");

    // Looking is not writing.
    folder.store.read("from/another").unwrap();
    assert_eq!(scratch(&folder).len(), 3);
    folder.store.put("a", b"x", Condition::Always).unwrap();
    assert_eq!(scratch(&folder).len(), 1);
    live.tell("commit");
    assert_eq!(text(&folder, "from/another"), "process");
    assert!(scratch(&folder).is_empty());
}

#[test]
fn a_writer_of_the_same_process_is_alive_too() {
    let folder = Folder::new();
    let mut pending = folder.store.begin("slow").unwrap();
    pending.write_all(b"slow").unwrap();
    let other = LocalStore::new(folder.root.path()).unwrap();
    other.put("fast", b"fast", Condition::Always).unwrap();
    assert_eq!(scratch(&folder).len(), 1);
    assert_eq!(pending.commit(Condition::Still(None)).unwrap(), Commit::Written);
    assert_eq!(text(&folder, "slow"), "slow");
}

/// Many processes begin at once, and each sweeps first; none loses its file to another.
#[test]
fn a_file_that_was_just_begun_is_not_swept_away() {
    let folder = Folder::new();
    thread::scope(|scope| {
        for writer in 0..8 {
            let root = folder.root.path();
            scope.spawn(move || {
                for round in 0..100 {
                    let store = LocalStore::new(root).unwrap();
                    let key = format!("{writer}/{round}");
                    let commit = store.put(&key, key.as_bytes(), Condition::Absent);
                    assert_eq!(commit.unwrap(), Commit::Written);
                }
            });
        }
    });
    assert_eq!(documents(&folder).len(), 8 * 100);
}

#[test]
fn links_that_lead_back_do_not_make_a_listing_endless() {
    let folder = Folder::new();
    folder.store.put("a/b/c", b"c", Condition::Always).unwrap();
    let path = folder.path("a");
    // Followed everywhere, these are two to the power of forty folders.
    std::os::unix::fs::symlink(".", path.join("x")).unwrap();
    std::os::unix::fs::symlink("../a", path.join("y")).unwrap();
    let listed = folder.store.list("a").unwrap();
    assert_eq!(listed.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(), ["a/b/c"]);
}

#[test]
fn a_document_is_read_up_to_its_bound_and_no_further() {
    let folder = Folder::new();
    let most = usize::try_from(MAX_DOCUMENT_BYTES).unwrap();
    folder.store.put("a", &vec![b'x'; most], Condition::Always).unwrap();
    assert_eq!(folder.store.read("a").unwrap().unwrap().len(), most);
    let (_, tag) = folder.store.read_tagged("a").unwrap().unwrap();
    folder.store.put("a", &vec![b'x'; most + 1], Condition::Always).unwrap();
    for error in [
        folder.store.read("a").unwrap_err(),
        folder.store.read_tagged("a").unwrap_err(),
        folder.store.put("a", b"", Condition::Still(Some(tag))).unwrap_err(),
    ] {
        assert!(error.is_defect() && error.source.to_string().contains("1048577 bytes"), "{}", error.source);
    }
    assert_eq!(folder.store.read_at_most("a", MAX_DOCUMENT_BYTES + 1).unwrap().unwrap().len(), most + 1);
}

/// What it should lead to may be on a disk that is not mounted.
#[test]
fn a_link_to_nothing_is_no_absence_in_any_place_and_for_any_reader() {
    for link in ["a", "a/b", "a/b/c.json"] {
        let folder = Folder::new();
        let path = folder.path(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        let (store, key) = (&folder.store, "a/b/c.json");
        let failures = [
            ("open", store.open(key).map(drop)),
            ("open_input", store.open_input(key).map(drop)),
            ("read", store.read(key).map(drop)),
            ("read_tagged", store.read_tagged(key).map(drop)),
            ("look", store.stat(key).map(drop)),
            ("holds", store.holds(key, b"x").map(drop)),
            ("list", store.list("").map(drop)),
            ("list below", store.list("a/b").map(drop)),
        ];
        for (what, result) in failures {
            let Err(error) = result else { panic!("{what} of {link} finds nothing") };
            assert!(error.source.to_string().contains("that does not exist"), "{what} of {link}: {error:?}");
        }
        // A link itself can be removed.
        assert_eq!(store.remove(key).is_err(), link != key, "{link}");
        assert!(link == key || store.put(key, b"x", Condition::Always).is_err(), "{link}");
    }
    let outer = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", outer.path().join("root")).unwrap();
    for root in ["root", "root/below"] {
        let store = LocalStore::new(outer.path().join(root)).unwrap();
        assert!(
            store.root_exists().is_err() && store.list("").is_err() && store.read("a").is_err(),
            "{root}"
        );
    }
}
