//! Garbage is collected right before the n-th store operation of a publish and of a rollback, for every n:
//! whatever a reader finds in the manifest is there.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]
#![allow(clippy::disallowed_methods, reason = "ages are counted from now")]

mod published;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use published::{Shelf, candidates, publish, publish_with, roll_back, scope};
use recsys_core::publish::{Collection, Keep, Options, PublishError};
use recsys_core::storage::Store;
use recsys_testkit::faulty::{FaultyStore, Plan};
use recsys_testkit::place::Place;

/// Makes everything two hours old.
fn age(shelf: &Shelf) {
    let two_hours_ago = SystemTime::now() - Duration::from_hours(2);
    for folder in ["objects", "registry"] {
        for listed in shelf.store(folder).list("").unwrap() {
            let path = format!("{}/{}", shelf.0.root(folder), listed.key);
            File::options().write(true).open(path).unwrap().set_modified(two_hours_ago).unwrap();
        }
    }
}

/// Deletes what the newest manifest does not name and what is older than an hour. Returns how much that was.
fn collect(registry: &dyn Store, objects: &dyn Store) -> usize {
    let keep = Keep { manifests: 1, since: Timestamp::now() - SignedDuration::from_hours(1) };
    let found = Collection::find(registry, objects, &scope(), keep).unwrap();
    found.remove(registry, objects, &scope(), keep).unwrap().len()
}

/// Three days are published, and then all is old: the first two are garbage.
fn shelf() -> Arc<Shelf> {
    let shelf = Shelf(Place::disk());
    for day in 1..4 {
        shelf.publish(&candidates(day));
    }
    age(&shelf);
    Arc::new(shelf)
}

/// Does `act` with a collection right before its n-th operation, for every n. Returns how often it was done.
fn collect_everywhere(act: impl Fn(&Shelf, &dyn Store, &dyn Store) -> bool) -> (usize, usize) {
    let (mut done, mut collected) = (0, 0);
    for number in 0.. {
        let shelf = shelf();
        let count = Arc::new(AtomicUsize::new(0));
        let plan = Plan::interrupt(number, {
            let (shelf, count) = (Arc::clone(&shelf), Arc::clone(&count));
            move || {
                let garbage = collect(&*shelf.store("registry"), &*shelf.store("objects"));
                count.store(garbage, Ordering::SeqCst);
            }
        });
        let faulty = |name| FaultyStore { inner: shelf.store(name), plan: Arc::clone(&plan) };
        done += usize::from(act(&shelf, &faulty("objects"), &faulty("registry")));
        collected += count.load(Ordering::SeqCst);
        shelf.seen().unwrap();
        for (kind, uri) in shelf.manifest().current {
            let version = uri.rsplit('/').next().unwrap();
            let record = format!("records/demo/home/{kind}/{version}");
            assert!(shelf.store("registry").read(&record).unwrap().is_some(), "{number}: {record}");
        }
        if plan.count() <= number {
            break;
        }
    }
    (done, collected)
}

#[test]
fn beside_a_publish_of_what_is_garbage() {
    let day = |shelf: &Shelf, objects: &dyn Store, registry: &dyn Store| {
        let options = Options { allow_older_window: true, ..Options::default() };
        match publish_with(objects, registry, &candidates(2), options) {
            Ok(done) => done.swapped,
            // It was collected between being found and being made young: nothing has moved.
            Err(PublishError::Vanished(_)) => {
                assert_eq!(shelf.chain().len(), 3);
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    let (done, collected) = collect_everywhere(day);
    assert!(done > 20, "{done} were published");
    assert!(collected > 20, "{collected} were collected");
}

#[test]
fn beside_a_publish_of_something_new() {
    let new = candidates(4);
    let (done, collected) =
        collect_everywhere(|_, objects, registry| publish(objects, registry, &new).unwrap().swapped);
    assert!(done > 25 && collected > 100, "{done} {collected}");
}

/// Going back beyond what is kept is refused once it is gone. Until the history says that it is coming back,
/// it can still go.
#[test]
fn beside_a_rollback_within_what_is_kept() {
    let (done, _) = collect_everywhere(|shelf, objects, registry| {
        let current = shelf.manifest().hash();
        roll_back(objects, registry, &current).unwrap();
        true
    });
    assert!(done > 5, "{done}");
}
