//! What publishing does when nothing fails: fates, races, history, and taking over a registry that
//! another implementation has written.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod published;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use published::{Shelf, candidates, change, publish, roll_back};
use recsys_core::artifact::{Descriptor, Kind};
use recsys_core::domain::limit::Limits;
use recsys_core::encoding::hash::sha256;
use recsys_core::publish::{
    Change, Checked, LeaseTimeouts, PublishError, PublishOutcome, Reason, Record, Registry, RegistryError,
    RollbackError, RollbackPlan, Target,
};
use recsys_core::storage::{Condition, Store, layout};
use recsys_testkit::backend::Backend;
use recsys_testkit::faulty::{FaultyStore, Plan};
use recsys_testkit::scope::scope;

#[test]
fn a_record_describes_the_blob_that_is_there() {
    let shelf = Shelf(Backend::disk());
    let earlier = candidates(1);
    shelf.publish(&earlier);
    clear(&*shelf.store("registry"));
    // The same content, built anew at another time and from other bytes.
    let later = earlier.iter().map(|candidate| {
        let text = String::from_utf8(candidate.bytes.to_vec()).unwrap();
        let text = text.replace("2026-01-09T00:00:00Z", "2026-01-10T00:00:00.5Z");
        let text = text.replace(&sha256(b""), &sha256(b"other"));
        let Descriptor { key, build, .. } = &candidate.descriptor;
        Checked::new(key, &build.version, text.into_bytes().into(), &Limits::default()).unwrap()
    });
    shelf.publish(&later.collect::<Vec<_>>());
    for candidate in earlier {
        let key = candidate.descriptor.record_key();
        let record = shelf.store("registry").read(&key).unwrap().unwrap();
        let record: Record = serde_json::from_slice(&record).unwrap();
        assert_eq!(record.bytes, candidate.bytes.len() as u64);
        assert_eq!(
            (record.built_at, record.source_hash),
            (candidate.descriptor.build.built_at, candidate.descriptor.build.source_hash)
        );
    }
}

#[test]
fn publishing_twice_and_publishing_an_older_day_swap_nothing() {
    let shelf = Shelf(Backend::disk());
    assert_eq!(shelf.seen(), None);
    assert_eq!(shelf.publish(&candidates(2)).outcomes, [PublishOutcome::Published; 2]);
    let newest = shelf.seen();
    assert_eq!(shelf.publish(&candidates(2)).outcomes, [PublishOutcome::AlreadyCurrent; 2]);
    assert_eq!(shelf.publish(&candidates(1)).outcomes, [PublishOutcome::OlderWindow; 2]);
    assert_eq!(shelf.seen(), newest);
    assert_eq!(shelf.chain().len(), 1);
}

#[test]
fn of_several_days_the_newest_becomes_current_in_whatever_order_they_come() {
    let shelf = Shelf(Backend::disk());
    let all = [candidates(2), candidates(3), candidates(1)].concat();
    let outcomes = shelf.publish(&all).outcomes;
    let (published, superseded) = (PublishOutcome::Published, PublishOutcome::Superseded);
    assert_eq!(outcomes, [superseded, superseded, published, published, superseded, superseded]);
    assert_eq!(shelf.chain().len(), 1);
}

#[test]
fn publishers_that_race_for_different_kinds_both_get_their_way() {
    for _ in 0..10 {
        let shelf = Shelf(Backend::disk());
        shelf.publish(&candidates(1));
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for candidate in candidates(2) {
                let (shelf, start) = (&shelf, &start);
                scope.spawn(move || {
                    start.wait();
                    shelf.publish(&[candidate]);
                });
            }
        });
        let current = shelf.seen().unwrap();
        for candidate in candidates(2) {
            assert!(current[&candidate.descriptor.key.kind].contains(&candidate.descriptor.build.version));
        }
        assert_eq!(shelf.chain().len(), 3);
    }
}

#[test]
fn the_clock_going_back_does_not_turn_history_around() {
    let shelf = Shelf(Backend::disk());
    for day in 1..4 {
        shelf.publish(&candidates(day));
    }
    // Every publish above has the same time, and yet each entry follows the one before.
    assert_eq!(shelf.chain().len(), 3);
    let listed = shelf.store("registry").list("history/demo/home").unwrap();
    let times: Vec<&str> =
        listed.iter().map(|entry| &entry.key["history/demo/home/".len()..][..23]).collect();
    assert_eq!(times, ["19700101T000000.000000Z", "19700101T000000.000001Z", "19700101T000000.000002Z"]);
}

fn clear(store: &dyn Store) {
    for listed in store.list("").unwrap() {
        store.remove(&listed.key).unwrap();
    }
}

/// Another publisher comes in between with the same kinds. The attempt that lost its race has announced the
/// very manifest that becomes current in the end, but after another one.
#[test]
fn the_entry_of_an_attempt_that_lost_is_not_taken_for_the_one_that_won() {
    let shelf = Shelf(Backend::memory());
    shelf.publish(&candidates(1));
    let registry = shelf.store("registry");
    let registry = Registry::new(&*registry);
    let pointers = |day| -> BTreeMap<Kind, String> {
        let uri = |candidate: &Checked| format!("memory://somewhere/{}", candidate.descriptor.build.version);
        candidates(day).iter().map(|candidate| (candidate.descriptor.key.kind, uri(candidate))).collect()
    };
    let change =
        |second| Change { now: Timestamp::from_second(second).unwrap(), ..change(LeaseTimeouts::default()) };
    let mut races = 0;
    let winner = registry.swap(
        &scope(),
        Reason::Publish,
        &change(100),
        |_| {
            races += 1;
            if races == 1 {
                registry.swap::<RegistryError>(
                    &scope(),
                    Reason::Publish,
                    &change(50),
                    |_| Ok(Some(pointers(2))),
                    |_| Ok(None),
                )?;
            }
            Ok::<_, RegistryError>(Some(pointers(3)))
        },
        |_| Ok(None),
    );
    assert_eq!(races, 2);
    assert_eq!(shelf.manifest(), winner.unwrap().unwrap());
    let chain = shelf.chain();
    assert_eq!(chain[..2], [pointers(3), pointers(2)]);
    assert_eq!(chain.len(), 3);
    assert_eq!(shelf.entries().len(), 4, "three that were current, and the one of the attempt that lost");
}

/// A registry as another implementation of the formats leaves it: a manifest, blobs, no history, and records
/// with fields of its own.
fn foreign(records: Option<&str>) -> Shelf {
    let shelf = Shelf(Backend::disk());
    shelf.publish(&candidates(2));
    let registry = shelf.store("registry");
    for folder in ["history", "records"] {
        for listed in registry.list(folder).unwrap() {
            registry.remove(&listed.key).unwrap();
            if let (Some(text), "records") = (records, folder) {
                registry.put(&listed.key, text.as_bytes(), Condition::Absent).unwrap();
            }
        }
    }
    let manifest = shelf.manifest();
    let text = serde_json::json!({
        "updated_at": "2025-06-01T12:30:00.123456789+02:00", "current": manifest.current,
        "v": 1, "surface": "home", "tenant": "demo",
    });
    registry.put(&layout::manifest(&scope()), text.to_string().as_bytes(), Condition::Always).unwrap();
    shelf
}

#[test]
fn a_registry_without_history_is_adopted_and_what_it_serves_stays() {
    let go =
        r#"{"version":"x","artifact_type":"popularity","path":"/a","created_at":"2025-06-01T00:00:00Z"}"#;
    for records in [None, Some(go), Some("{}"), Some("[1]")] {
        let shelf = foreign(records);
        let before = shelf.seen().unwrap();
        let text = shelf.store("registry").read(&layout::manifest(&scope())).unwrap();
        // Looking changes nothing, and neither does publishing what is current or older.
        let registry = shelf.store("registry");
        let history = Registry::new(&*registry).history(&scope(), 10).unwrap();
        assert_eq!(history.iter().map(|entry| entry.reason).collect::<Vec<_>>(), [Reason::Adopt]);
        assert_eq!(shelf.publish(&candidates(2)).outcomes, [PublishOutcome::AlreadyCurrent; 2]);
        assert_eq!(shelf.publish(&candidates(1)).outcomes, [PublishOutcome::OlderWindow; 2]);
        assert_eq!(shelf.store("registry").read(&layout::manifest(&scope())).unwrap(), text);

        // One kind moves; the other one stays what it was.
        let [popularity, cooc] = [candidates(3).swap_remove(0), candidates(3).swap_remove(1)];
        assert_eq!(shelf.publish(&[popularity]).outcomes, [PublishOutcome::Published]);
        let after = shelf.seen().unwrap();
        assert_eq!(after[&Kind::Cooc], before[&Kind::Cooc]);
        assert_ne!(after[&Kind::Popularity], before[&Kind::Popularity]);
        assert_eq!(shelf.chain(), [after.clone(), before.clone()]);
        assert_eq!(shelf.entries()[0].reason, Reason::Adopt);
        assert_eq!(shelf.entries()[0].hash, history[0].hash);

        // And back to what the other implementation had published.
        let first = shelf.entries()[0].hash.clone();
        roll_back(&*shelf.store("objects"), &*shelf.store("registry"), &first).unwrap().unwrap();
        assert_eq!(shelf.seen().unwrap(), before);
        assert_eq!(shelf.chain(), [before.clone(), after, before]);
        assert_eq!(shelf.publish(&[cooc]).outcomes, [PublishOutcome::Published]);
    }
}

#[test]
fn a_manifest_that_was_written_over_a_history_follows_its_newest_entry() {
    let shelf = Shelf(Backend::disk());
    shelf.publish(&candidates(1));
    shelf.publish(&candidates(2));
    let chain = shelf.chain();
    let mut edited = shelf.manifest();
    edited.current.remove(&Kind::Cooc);
    let registry = shelf.store("registry");
    let text = serde_json::to_vec(&edited).unwrap();
    registry.put(&layout::manifest(&scope()), &text, Condition::Always).unwrap();
    shelf.publish(&candidates(3));
    let new = shelf.seen().unwrap();
    assert_eq!(shelf.chain(), [vec![new, edited.current], chain].concat());
}

/// What is there already is read, and never written again.
#[test]
fn blobs_and_records_are_written_once() {
    let shelf = Shelf(Backend::disk());
    let written = |folder: &str| shelf.store(folder).list("").unwrap();
    publish(&*shelf.store("objects"), &*shelf.store("elsewhere"), &candidates(1)).unwrap();
    let blobs = written("objects");
    shelf.publish(&candidates(1));
    assert_eq!(written("objects"), blobs);
    let registry = written("registry");
    shelf.publish(&candidates(1));
    assert_eq!(written("registry"), registry);
}

#[test]
fn a_manifest_that_was_lost_is_not_begun_anew() {
    let shelf = Shelf(Backend::memory());
    shelf.publish(&candidates(1));
    shelf.publish(&candidates(2));
    let registry = shelf.store("registry");
    let manifest = registry.read(&layout::manifest(&scope())).unwrap().unwrap();
    registry.remove(&layout::manifest(&scope())).unwrap();
    let refused = publish(&*shelf.store("objects"), &*registry, &candidates(3));
    assert!(matches!(refused, Err(PublishError::Registry(RegistryError::Lost { .. }))), "{refused:?}");
    registry.put(&layout::manifest(&scope()), &manifest, Condition::Absent).unwrap();
    shelf.publish(&candidates(3));
    assert_eq!(shelf.chain().len(), 3);
}

#[test]
fn an_entry_that_was_changed_is_not_believed() {
    let shelf = Shelf(Backend::memory());
    for day in 1..4 {
        shelf.publish(&candidates(day));
    }
    let registry = shelf.store("registry");
    let key = registry.list("history").unwrap()[1].key.clone();
    let text = String::from_utf8(registry.read(&key).unwrap().unwrap()).unwrap();
    let history = || Registry::new(&*shelf.store("registry")).history(&scope(), 10);
    for (from, to) in
        [("\"home\"", "\"cart\""), ("popularity/", "popularity/0"), ("\"hash\": \"", "\"hash\": \"0")]
    {
        registry.put(&key, text.replace(from, to).as_bytes(), Condition::Always).unwrap();
        assert!(matches!(history(), Err(RegistryError::ChangedEntry(_))), "{from}");
    }
    // One that leads back to where it came from ends the walk.
    let first = registry.list("history").unwrap()[0].key.clone();
    let newest = shelf.manifest().hash();
    registry.put(&key, text.as_bytes(), Condition::Always).unwrap();
    let text = String::from_utf8(registry.read(&first).unwrap().unwrap()).unwrap();
    let around = text.replace("\"previous\": null", &format!("\"previous\": \"{newest}\""));
    assert_ne!(around, text);
    registry.put(&first, around.as_bytes(), Condition::Always).unwrap();
    assert_eq!(history().unwrap().len(), 3);
}

/// A rollback of one kind is no rollback of the others.
#[test]
fn a_rollback_of_one_kind_lets_the_others_move() {
    let shelf = Shelf(Backend::memory());
    shelf.publish(&candidates(1));
    shelf.publish(&candidates(2));
    let (objects, store) = (shelf.store("objects"), shelf.store("registry"));
    let registry = Registry::new(&*store);
    let plan =
        RollbackPlan::new(&registry, &*objects, &scope(), &Target::Steps(1), Some(Kind::Cooc)).unwrap();
    let [popularity, cooc] = [candidates(3).swap_remove(0), candidates(3).swap_remove(1)];
    shelf.publish(std::slice::from_ref(&popularity));
    let change = change(LeaseTimeouts::default());
    plan.execute(&registry, &*objects, &scope(), &change).unwrap().unwrap();
    let current = shelf.seen().unwrap();
    assert!(current[&Kind::Popularity].contains(&popularity.descriptor.build.version));
    assert!(current[&Kind::Cooc].contains(&candidates(1)[1].descriptor.build.version));
    shelf.publish(&[cooc]);
    let overtaken = plan.execute(&registry, &*objects, &scope(), &change);
    assert!(matches!(overtaken, Err(RollbackError::Overtaken(_))), "{overtaken:?}");
}

/// Whatever becomes current has a record, also where the one of the publish is gone.
#[test]
fn a_rollback_writes_the_records_that_are_missing() {
    let shelf = Shelf(Backend::memory());
    shelf.publish(&candidates(1));
    shelf.publish(&candidates(2));
    let registry = shelf.store("registry");
    let key = |candidate: &Checked| candidate.descriptor.record_key();
    let records = || candidates(1).iter().map(|it| registry.read(&key(it)).unwrap()).collect::<Vec<_>>();
    let before = records();
    for candidate in candidates(1) {
        assert!(registry.remove(&key(&candidate)).unwrap());
    }
    let first = shelf.entries()[0].hash.clone();
    roll_back(&*shelf.store("objects"), &*registry, &first).unwrap().unwrap();
    assert_eq!(records(), before);
}

/// Two other publishers come in before the n-th operation of one that has found no manifest.
#[test]
fn a_first_publish_that_others_overtake_is_no_lost_manifest() {
    let mut overtaken = 0;
    for number in 0.. {
        let shelf = Arc::new(Shelf(Backend::disk()));
        let plan = Plan::interrupt(number, {
            let shelf = Arc::clone(&shelf);
            move || [1, 2].into_iter().for_each(|day| drop(shelf.publish(&candidates(day))))
        });
        let faulty = |name| FaultyStore { inner: shelf.store(name), plan: Arc::clone(&plan) };
        let published = publish(&faulty("objects"), &faulty("registry"), &candidates(3));
        if plan.count() <= number {
            break;
        }
        assert_eq!(published.unwrap().outcomes, [PublishOutcome::Published; 2], "before operation {number}");
        overtaken += usize::from(shelf.chain().len() == 3);
    }
    assert!(overtaken > 5, "{overtaken}");
}
