//! A publish whose n-th store operation fails, before it is done or after, for every n: a reader sees wholly
//! the old manifest or wholly the new one, every blob it names verifies, and publishing again completes.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;
use std::io::Cursor;

use jiff::Timestamp;
use recsys_core::artifact::{ArtifactKey, Draft, Inputs, Kind};
use recsys_core::canonical::{DayRows, read_days};
use recsys_core::catalog::Catalog;
use recsys_core::events::EventTable;
use recsys_core::hash::sha256;
use recsys_core::id::{Scope, Surface, Tenant};
use recsys_core::limit::Limits;
use recsys_core::lines::LineFile;
use recsys_core::publish::{
    Candidate, Fate, HistoryEntry, Manifest, Options, PublishError, Published, Publisher, Record,
};
use recsys_core::storage::{LocalStore, Store};
use recsys_core::window::Window;
use recsys_testkit::faulty::{FaultyStore, Plan, When};
use recsys_testkit::reader::read_published;
use tempfile::TempDir;

const KINDS: [Kind; 2] = [Kind::Popularity, Kind::Cooc];

fn scope() -> Scope {
    Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() }
}

/// The artifacts of a day on which as many sessions show A and B together as the day's number.
fn candidates(day: u32) -> Vec<Candidate> {
    let date = format!("2026-01-{day:02}");
    let mut lines = String::new();
    for session in 0..=day {
        for item in ["A", "B"] {
            lines += &format!(
                r#"{{"v":1,"ts":"{date}T00:00:00Z","tenant":"demo","surface":"home","session_id":"{session}","item_id":"{item}"}}"#
            );
            lines.push('\n');
        }
    }
    let day = date.parse().unwrap();
    let file = LineFile { name: date, reader: Box::new(Cursor::new(lines)) };
    let (days, _) = read_days(vec![file], &scope(), day, day).unwrap();
    let days: Vec<&DayRows> = days.iter().collect();
    let limits = Limits::default();
    let events = EventTable::new(&days, None, &limits).unwrap();
    let window = Window::ending_with(day, 1).unwrap();
    let catalog = Catalog::default();
    let build = |kind: &Kind| {
        let built = kind.build(&Inputs { events: &events, catalog: &catalog }, &limits).unwrap();
        let key = ArtifactKey { kind: *kind, scope: scope(), segment: None, window };
        let encoded = Draft::new(&key, &built.payload).finish("2026-01-09T00:00:00Z", &sha256(b""));
        Candidate::check(&key, &encoded.version, encoded.bytes, &limits).unwrap()
    };
    KINDS.iter().map(build).collect()
}

struct Registry {
    dir: TempDir,
}

impl Registry {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self, name: &str) -> LocalStore {
        LocalStore::new(self.dir.path().join(name)).unwrap()
    }

    fn publish(
        objects: &dyn Store,
        registry: &dyn Store,
        candidates: &[Candidate],
    ) -> Result<Published, PublishError> {
        let publisher = Publisher {
            objects,
            registry,
            limits: &Limits::default(),
            by: "test@host".to_owned(),
            now: Timestamp::UNIX_EPOCH,
            options: Options::default(),
        };
        let stored = publisher.store(&scope(), candidates)?;
        publisher.finish(&scope(), &stored)
    }

    fn publish_soundly(&self, candidates: &[Candidate]) -> Published {
        Self::publish(&self.store("objects"), &self.store("registry"), candidates).unwrap()
    }

    fn published(&self) -> Option<BTreeMap<Kind, String>> {
        read_published(&self.dir.path().join("registry").join(Manifest::key(&scope())))
    }

    /// The manifests that were current, newest first, as the chain has them.
    fn chain(&self) -> Vec<BTreeMap<Kind, String>> {
        let folder = self.dir.path().join("registry/history/demo/home");
        let entries: Vec<HistoryEntry> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap())
            .collect();
        let manifest = self.store("registry").read(&Manifest::key(&scope())).unwrap().unwrap();
        let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
        let mut next = Some(manifest.hash());
        let mut chain = Vec::new();
        while let Some(hash) = next.take() {
            let entry = entries.iter().find(|entry| entry.hash == hash).expect("the chain is whole");
            assert_eq!(entry.manifest.hash(), hash);
            chain.push(entry.manifest.current.clone());
            next.clone_from(&entry.previous);
        }
        chain
    }
}

#[test]
fn a_fault_at_any_operation_leaves_the_old_state_or_the_new_one() {
    let (old, new) = (candidates(1), candidates(2));
    for when in [When::Before, When::After] {
        for number in 0.. {
            let registry = Registry::new();
            registry.publish_soundly(&old);
            let before = registry.published().unwrap();
            let plan = Plan::new(when, number);
            let faulty = |name| FaultyStore { inner: registry.store(name), plan: plan.clone() };
            let result = Registry::publish(&faulty("objects"), &faulty("registry"), &new);
            let seen = registry.published().unwrap();

            let again = registry.publish_soundly(&new);
            let after = registry.published().unwrap();
            assert!(seen == before || seen == after, "{when:?} {number}: {seen:?}");
            assert_ne!(before, after);
            // An operation whose answer was lost was done, so the second attempt finds nothing left to do.
            assert_eq!(again.swapped, seen == before, "{when:?} {number}");
            assert_eq!(registry.chain(), [after, before], "{when:?} {number}");
            if plan.count() <= number {
                assert!(result.is_ok());
                assert!(number > 15, "only {number} operations were tried");
                break;
            }
            assert!(result.is_err(), "{when:?} {number}");
        }
    }
}

#[test]
fn a_record_describes_the_blob_that_is_there() {
    let registry = Registry::new();
    let earlier = candidates(1);
    registry.publish_soundly(&earlier);
    std::fs::remove_dir_all(registry.dir.path().join("registry")).unwrap();
    // The same content, built anew at another time and from other bytes.
    let later = earlier.iter().map(|candidate| {
        let text = String::from_utf8(candidate.bytes.clone()).unwrap();
        let text = text.replace("2026-01-09T00:00:00Z", "2026-01-10T00:00:00.5Z");
        let text = text.replace(&sha256(b""), &sha256(b"other"));
        let Candidate { key, build, .. } = candidate;
        Candidate::check(key, &build.version, text.into_bytes(), &Limits::default()).unwrap()
    });
    registry.publish_soundly(&later.collect::<Vec<_>>());
    for candidate in earlier {
        let key = Record::key(&scope(), candidate.key.kind, &candidate.build.version);
        let record = registry.store("registry").read(&key).unwrap().unwrap();
        let record: Record = serde_json::from_slice(&record).unwrap();
        assert_eq!(record.bytes, candidate.bytes.len() as u64);
        assert_eq!(
            (record.built_at, record.source_hash),
            (candidate.build.built_at, candidate.build.source_hash)
        );
    }
}

#[test]
fn publishing_twice_and_publishing_an_older_day_swap_nothing() {
    let registry = Registry::new();
    assert_eq!(registry.published(), None);
    assert_eq!(registry.publish_soundly(&candidates(2)).fates, [Fate::Published; 2]);
    let newest = registry.published();
    assert_eq!(registry.publish_soundly(&candidates(2)).fates, [Fate::AlreadyCurrent; 2]);
    assert_eq!(registry.publish_soundly(&candidates(1)).fates, [Fate::OlderWindow; 2]);
    assert_eq!(registry.published(), newest);
    assert_eq!(registry.chain().len(), 1);
}

#[test]
fn of_several_days_the_newest_becomes_current_in_whatever_order_they_come() {
    let registry = Registry::new();
    let all = [candidates(2), candidates(3), candidates(1)].concat();
    let fates = registry.publish_soundly(&all).fates;
    let (published, superseded) = (Fate::Published, Fate::Superseded);
    assert_eq!(fates, [superseded, superseded, published, published, superseded, superseded]);
    assert_eq!(registry.chain().len(), 1);
}

#[test]
fn publishers_that_race_for_different_kinds_both_get_their_way() {
    for _ in 0..10 {
        let registry = Registry::new();
        registry.publish_soundly(&candidates(1));
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for candidate in candidates(2) {
                let (registry, start) = (&registry, &start);
                scope.spawn(move || {
                    start.wait();
                    registry.publish_soundly(&[candidate]);
                });
            }
        });
        let current = registry.published().unwrap();
        for candidate in candidates(2) {
            assert!(current[&candidate.key.kind].contains(&candidate.build.version));
        }
        assert_eq!(registry.chain().len(), 3);
    }
}

#[test]
fn the_clock_going_back_does_not_turn_history_around() {
    let registry = Registry::new();
    for day in 1..4 {
        registry.publish_soundly(&candidates(day));
    }
    // Every publish above has the same time, and yet each entry follows the one before.
    assert_eq!(registry.chain().len(), 3);
    let mut names: Vec<_> = std::fs::read_dir(registry.dir.path().join("registry/history/demo/home"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    let times: Vec<String> = names.iter().map(|name| name.to_string_lossy()[..23].to_owned()).collect();
    assert_eq!(times, ["19700101T000000.000000Z", "19700101T000000.000001Z", "19700101T000000.000002Z"]);
}
