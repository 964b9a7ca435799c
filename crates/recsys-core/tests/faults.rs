//! A publish and a rollback whose n-th store operation fails, before it is done, halfway or after, for every
//! n: a reader sees wholly the old manifest or wholly the new one, every blob it names verifies, and trying
//! again completes. The same in stores whose reads are late, and in stores that ignore conditions.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod published;

use std::sync::Arc;

use published::{Pointers, Shelf, candidates, publish, roll_back};
use recsys_core::publish::{Checked, PublishError, PublishOutcome, RegistryError, RollbackError};
use recsys_core::storage::Store;
use recsys_testkit::backend::Backend;
use recsys_testkit::faulty::{FaultyStore, IgnoresConditions, Plan, StaleStore, When};

/// Every operation of `act` fails in turn, on a shelf that `prepare` has filled; `act` is what is tried and
/// `again` what an operator does then. At the end the reader sees what `act` is to bring about.
fn fail_everywhere(
    backends: [fn() -> Backend; 2],
    prepare: impl Fn(&Shelf),
    act: impl Fn(&dyn Store, &dyn Store) -> Result<(), String>,
    fewest: usize,
) {
    for (backend, when) in backends.into_iter().flat_map(|backend| When::ALL.map(|when| (backend, when))) {
        for number in 0.. {
            let shelf = Shelf(backend());
            prepare(&shelf);
            let before = shelf.seen().unwrap();
            let chain = shelf.chain();
            let plan = Plan::new(when, number);
            let faulty = |name| FaultyStore { inner: shelf.0.store(name), plan: Arc::clone(&plan) };
            let result = act(&faulty("objects"), &faulty("registry"));
            let seen = shelf.seen().unwrap();

            act(&*shelf.store("objects"), &*shelf.store("registry")).unwrap();
            let after = shelf.seen().unwrap();
            let what = format!("{:?} {when:?} {number}: {result:?}", shelf.0);
            assert_ne!(before, after);
            // Whoever is told of a failure finds the old state, and of success the new one.
            assert_eq!(seen, if result.is_ok() { after.clone() } else { before }, "{what}");
            assert_eq!(shelf.chain(), [vec![after], chain].concat(), "{what}");
            if plan.count() <= number {
                assert!(result.is_ok(), "{what}");
                assert!(number >= fewest, "only {number} operations were tried");
                break;
            }
        }
    }
}

/// Publishes `candidates`.
fn publishing(candidates: &[Checked]) -> impl Fn(&dyn Store, &dyn Store) -> Result<(), String> {
    |objects, registry| publish(objects, registry, candidates).map(drop).map_err(|error| error.to_string())
}

const BACKENDS: [fn() -> Backend; 2] = [Backend::disk, Backend::memory];

#[test]
fn a_publish_that_fails_anywhere_leaves_the_old_state_or_the_new_one() {
    let (old, new) = (candidates(1), candidates(2));
    fail_everywhere(BACKENDS, |shelf| drop(shelf.publish(&old)), publishing(&new), 25);
}

#[test]
fn a_first_publish_and_one_that_finds_its_blobs_there_can_fail_anywhere_too() {
    let (old, new) = (candidates(1), candidates(2));
    // Blobs and records of the new day are there; the registry has forgotten about them.
    let prepare = |shelf: &Shelf| {
        publish(&*shelf.store("objects"), &*shelf.store("elsewhere"), &new).unwrap();
        shelf.publish(&old);
    };
    fail_everywhere(BACKENDS, prepare, publishing(&new), 25);
}

#[test]
fn a_rollback_that_fails_anywhere_leaves_the_old_state_or_the_new_one() {
    let days = [candidates(1), candidates(2)];
    let prepare = |shelf: &Shelf| days.iter().for_each(|day| drop(shelf.publish(day)));
    let roll_back_to_first = |objects: &dyn Store, registry: &dyn Store| {
        let entries = registry.list("history/demo/home").map_err(|error| error.to_string())?;
        let (_, first) = entries[0].key.rsplit_once('-').unwrap();
        let first = first.trim_end_matches(".json");
        roll_back(objects, registry, first).map(drop).map_err(|error| error.to_string())
    };
    fail_everywhere(BACKENDS, prepare, roll_back_to_first, 12);
}

#[test]
fn a_registry_that_is_adopted_can_fail_anywhere_too() {
    let (old, new) = (candidates(1), candidates(2));
    let prepare = |shelf: &Shelf| {
        shelf.publish(&old);
        let registry = shelf.store("registry");
        for listed in registry.list("history").unwrap() {
            registry.remove(&listed.key).unwrap();
        }
    };
    fail_everywhere(BACKENDS, prepare, publishing(&new), 25);
}

#[test]
fn late_reads_delay_a_publish_and_damage_nothing() {
    for late_reads in [1, 2, 3, 7] {
        let shelf = Shelf(Backend::disk());
        let objects = StaleStore::new(shelf.store("objects"), late_reads);
        let registry = StaleStore::new(shelf.store("registry"), late_reads);
        let mut seen: Vec<Pointers> = Vec::new();
        for day in 1..5 {
            // A read that is late makes an attempt fail or start over; trying again completes.
            let day = candidates(day);
            let tries = (0..100).position(|_| {
                let done = publish(&objects, &registry, &day).is_ok();
                let now = shelf.seen();
                if let Some(now) = now
                    && seen.last() != Some(&now)
                {
                    seen.push(now);
                }
                done
            });
            assert!(tries.is_some(), "never published with {late_reads} late reads");
        }
        // A blob that is there already is read, which may be late, too.
        assert!((0..100).any(|_| publish(&objects, &registry, &candidates(4)).is_ok()));
        seen.reverse();
        assert_eq!(shelf.chain(), seen, "{late_reads}");
        for pointers in &seen {
            assert_eq!(pointers.len(), 2);
        }
    }
}

#[test]
fn racing_publishers_with_late_reads_lose_nothing() {
    for _ in 0..5 {
        let shelf = Shelf(Backend::memory());
        shelf.publish(&candidates(1));
        let objects = shelf.store("objects");
        let registry = StaleStore::new(shelf.store("registry"), 2);
        std::thread::scope(|scope| {
            for candidate in candidates(2) {
                let (objects, registry) = (&*objects, &registry);
                scope.spawn(move || publish(objects, registry, &[candidate]).unwrap());
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
fn a_store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let shelf = Shelf(Backend::memory());
    let careless = |name| IgnoresConditions(shelf.0.store(name));
    let refused = publish(&careless("objects"), &careless("registry"), &candidates(1));
    let Err(PublishError::Registry(RegistryError::Unconditional(name))) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(name, shelf.store("registry").name(""));
    assert_eq!(shelf.store("").list("").unwrap(), [], "not even the probe is left");

    // An object store may be careless: what it holds is never replaced by anything else.
    publish(&careless("objects"), &*shelf.store("registry"), &candidates(1)).unwrap();
    publish(&*shelf.store("objects"), &*shelf.store("registry"), &candidates(2)).unwrap();
    let hash = shelf.entries()[0].hash.clone();
    let refused = roll_back(&careless("objects"), &careless("registry"), &hash);
    assert!(matches!(refused, Err(RollbackError::Registry(RegistryError::Unconditional(_)))), "{refused:?}");
    // What changes nothing needs no condition.
    let unchanged = publish(&careless("objects"), &careless("registry"), &candidates(2)).unwrap();
    assert_eq!(unchanged.outcomes, [PublishOutcome::AlreadyCurrent; 2]);
    assert_eq!(shelf.chain().len(), 2);
}
