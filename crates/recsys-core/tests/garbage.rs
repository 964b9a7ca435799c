//! Garbage is collected right before the n-th store operation of a publish and of a rollback, for every n, and
//! the other way around: whatever a reader finds in the manifest is there.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]
#![allow(clippy::disallowed_methods, reason = "ages are counted from now")]

mod published;

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use published::{Shelf, candidates, publish, publish_with, roll_back, scope};
use recsys_core::publish::{
    BlobError, Collection, GarbageError, Keep, Options, PublishError, RegistryError, RollbackError,
};
use recsys_core::storage::{Condition, Store};
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
    found.remove(registry, objects, &scope(), keep, "test@host").unwrap().len()
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

/// Whatever the manifest names is there, blob and record.
fn intact(shelf: &Shelf, number: usize) {
    shelf.seen().unwrap();
    for (kind, uri) in shelf.manifest().current {
        let version = uri.rsplit('/').next().unwrap();
        let record = format!("records/demo/home/{kind}/{version}");
        assert!(shelf.store("registry").read(&record).unwrap().is_some(), "{number}: {record}");
    }
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
        intact(&shelf, number);
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
            // It was collected between being found and being announced: nothing has moved.
            Err(PublishError::Vanished(_)) => {
                assert_eq!(shelf.chain().len(), 3);
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    let (done, collected) = collect_everywhere(day);
    assert!(done > 8, "{done} were published");
    assert!(collected > 20, "{collected} were collected");
}

#[test]
fn beside_a_publish_of_something_new() {
    let new = candidates(4);
    let (done, collected) =
        collect_everywhere(|_, objects, registry| publish(objects, registry, &new).unwrap().swapped);
    assert!(done > 25 && collected > 100, "{done} {collected}");
}

/// Going back to what is garbage works as long as it is there.
#[test]
fn beside_a_rollback_to_what_is_garbage() {
    let (done, collected) = collect_everywhere(|shelf, objects, registry| {
        let first = shelf.store("registry").list("history").unwrap()[0].key.clone();
        let hash = first.rsplit_once('-').unwrap().1.trim_end_matches(".json");
        match roll_back(objects, registry, hash) {
            Ok(manifest) => manifest.is_some(),
            Err(RollbackError::Blob(BlobError::Missing(_))) => {
                assert_eq!(shelf.chain().len(), 3);
                false
            }
            Err(error) => panic!("{error}"),
        }
    });
    assert!(done > 5 && collected > 20, "{done} {collected}");
}

/// A publish of what is garbage begins right before the n-th operation of a collection.
#[test]
fn a_publish_that_begins_in_the_middle_of_it() {
    let (mut done, mut waited) = (0, 0);
    for number in 0.. {
        let shelf = shelf();
        let publishing = Arc::new(Mutex::new(None));
        let plan = Plan::interrupt(number, {
            let (shelf, publishing) = (Arc::clone(&shelf), Arc::clone(&publishing));
            move || {
                let shelf = Arc::clone(&shelf);
                let publish = thread::spawn(move || {
                    let options = Options { allow_older_window: true, ..Options::default() };
                    publish_with(&*shelf.store("objects"), &*shelf.store("registry"), &candidates(2), options)
                });
                // Until it is done, or waits.
                thread::sleep(Duration::from_millis(40));
                *publishing.lock().unwrap() = Some(publish);
            }
        });
        let faulty = |name| FaultyStore { inner: shelf.store(name), plan: Arc::clone(&plan) };
        collect(&faulty("registry"), &faulty("objects"));
        let Some(publish) = publishing.lock().unwrap().take() else { break };
        waited += usize::from(!publish.is_finished());
        match publish.join().unwrap() {
            Ok(_) => done += 1,
            Err(PublishError::Vanished(_)) => assert_eq!(shelf.chain().len(), 3),
            Err(error) => panic!("{error}"),
        }
        intact(&shelf, number);
    }
    assert!(done > 5 && waited > 3, "{done} {waited}");
}

/// A collector that died has left its lease; nobody waits for it for ever.
#[test]
fn a_lease_of_the_dead() {
    let shelf = shelf();
    let registry = shelf.store("registry");
    registry.put("gc/demo/home.json", b"{}", Condition::Absent).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| shelf.publish(&candidates(4)));
        assert!(collect(&*registry, &*shelf.store("objects")) > 0);
    });
    assert_eq!(registry.list("gc").unwrap(), [], "and the next collection tidies up");
}

/// Somebody else has taken the lease, because this collector was silent for too long.
#[test]
fn a_lease_that_was_lost() {
    let shelf = shelf();
    let count = shelf.store("objects").list("").unwrap().len();
    let plan = Plan::interrupt(0, {
        let shelf = Arc::clone(&shelf);
        move || {
            let registry = shelf.store("registry");
            registry.put("gc/demo/home.json", b"another", Condition::Always).unwrap();
            // Until the next renewal.
            thread::sleep(Duration::from_secs(3));
        }
    });
    // The first operation on the objects under the lease is their listing.
    let objects = FaultyStore { inner: shelf.store("objects"), plan };
    let keep = Keep { manifests: 1, since: Timestamp::now() - SignedDuration::from_hours(1) };
    let registry = shelf.store("registry");
    let found = Collection::find(&*registry, &*shelf.store("objects"), &scope(), keep).unwrap();
    let lost = found.remove(&*registry, &objects, &scope(), keep, "test@host");
    assert!(matches!(lost, Err(GarbageError::Registry(RegistryError::Leased(_)))), "{lost:?}");
    assert_eq!(shelf.store("objects").list("").unwrap().len(), count, "nothing was removed");
    assert_eq!(registry.read("gc/demo/home.json").unwrap().unwrap(), b"another");
}
