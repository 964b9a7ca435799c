//! Garbage is collected right before the n-th store operation of a publish and of a rollback, for every n, and
//! the other way around: whatever a reader finds in the manifest is there.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]
#![allow(clippy::disallowed_methods, reason = "ages are counted from now")]

mod published;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use published::{Shelf, candidates, publish, publish_with, publish_within, roll_back};
use recsys_core::publish::{
    BlobError, ClaimsError, Collection, GarbageError, Keep, LeaseTimeouts, Options, PublishError,
    RegistryError, Remover, RollbackError, release, uptime,
};
use recsys_core::storage::{Condition, Store};
use recsys_testkit::backend::Backend;
use recsys_testkit::faulty::{FaultyStore, Plan, When};
use recsys_testkit::process::LIMIT;
use recsys_testkit::proxy::{NetworkFault, Proxy};
use recsys_testkit::s3::S3;
use recsys_testkit::scope::scope;
use serde_json::{Value, json};

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
    let found = Collection::find(registry, objects, &scope(), keep()).unwrap();
    found.remove(registry, objects, &scope(), &remover()).unwrap().garbage.len()
}

fn keep() -> Keep {
    let since = Timestamp::now() - SignedDuration::from_hours(1);
    Keep { manifests: 1, since, include_unrecorded: false }
}

/// Does not take a silent collection for alive for long.
fn remover() -> Remover {
    let timeouts = LeaseTimeouts { wait: LIMIT, silence: Duration::from_millis(300) };
    Remover { by: "gc@host".to_owned(), now: Timestamp::now(), timeouts, uptime }
}

/// Three days are published, and then all is old: the first two are garbage.
fn shelf() -> Arc<Shelf> {
    let shelf = Shelf(Backend::disk());
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
            // It was collected between being found and being announced, or is claimed: nothing has moved.
            Err(
                PublishError::Vanished(_)
                | PublishError::Registry(RegistryError::Claims(ClaimsError::Claimed { .. })),
            ) => {
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
            Err(
                RollbackError::Blob(BlobError::Missing(..))
                | RollbackError::Registry(RegistryError::Claims(ClaimsError::Claimed { .. })),
            ) => {
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
                // Until it is done, or waits: that takes far longer than a publish.
                (0..100)
                    .take_while(|_| !publish.is_finished())
                    .for_each(|_| thread::sleep(Duration::from_millis(5)));
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

/// The claims document of the scope.
const CLAIMS: &str = "gc/demo/home.json";

fn claims(registry: &dyn Store) -> Value {
    serde_json::from_slice(&registry.read(CLAIMS).unwrap().unwrap()).unwrap()
}

/// A collection was killed before its first deletion.
fn shelf_with_a_dead_collection() -> Arc<Shelf> {
    let shelf = shelf();
    let registry = shelf.store("registry");
    // The first operation on the objects is a removal: it panics, as if the process were gone.
    let plan = Plan::interrupt(0, || panic!("killed"));
    let objects = FaultyStore { inner: shelf.store("objects"), plan };
    let found = Collection::find(&*registry, &*shelf.store("objects"), &scope(), keep()).unwrap();
    let killed = catch_unwind(AssertUnwindSafe(|| found.remove(&*registry, &objects, &scope(), &remover())));
    assert!(killed.is_err());
    shelf
}

/// A collection was killed: the next one takes its place and goes on, and what the dead one has
/// claimed cannot become current until its claims are given up.
#[test]
fn a_collection_that_was_killed() {
    let shelf = shelf_with_a_dead_collection();
    let registry = shelf.store("registry");
    let left = claims(&*registry);
    assert_eq!(left["claims"][0]["by"], "gc@host");
    assert!(left["running"].is_object());

    // Published by somebody else, everything goes on; what is claimed does not become current.
    shelf.publish(&candidates(4));
    let options = Options { allow_older_window: true, ..Options::default() };
    let again = || {
        let objects = shelf.store("objects");
        let timeouts = LeaseTimeouts { wait: Duration::from_millis(300), ..LeaseTimeouts::default() };
        publish_within(&*objects, &*registry, &candidates(2), options.clone(), timeouts)
    };
    let refused = again().unwrap_err().to_string();
    assert!(refused.contains("claimed") && refused.contains("gc@host"), "{refused}");

    age(&shelf);
    let found = Collection::find(&*registry, &*shelf.store("objects"), &scope(), keep()).unwrap();
    let removed = found.remove(&*registry, &*shelf.store("objects"), &scope(), &remover()).unwrap();
    assert!(!removed.garbage.is_empty());
    assert_eq!(removed.abandoned.len(), 1);
    assert_eq!(removed.abandoned[0].by, "gc@host");
    again().unwrap_err();
    let young = Timestamp::now() - SignedDuration::from_hours(1);
    assert_eq!(release(&*registry, &scope(), young, &remover()).unwrap(), []);
    assert_eq!(release(&*registry, &scope(), Timestamp::MAX, &remover()).unwrap(), removed.abandoned);
    assert!(again().unwrap().swapped);
    intact(&shelf, 0);
}

/// The claims of a collection that was killed are given up although nothing is garbage any more, and it still stands as
/// the one that runs.
#[test]
fn claims_are_given_up_where_nothing_is_left_to_delete() {
    let shelf = shelf_with_a_dead_collection();
    let registry = shelf.store("registry");
    let everything = Keep { manifests: 99, ..keep() };
    let found = Collection::find(&*registry, &*shelf.store("objects"), &scope(), everything).unwrap();
    assert_eq!(found.garbage, []);
    let removed = found.remove(&*registry, &*shelf.store("objects"), &scope(), &remover()).unwrap();
    assert_eq!(removed.abandoned.len(), 1, "they are reported");
    assert_eq!(release(&*registry, &scope(), Timestamp::MAX, &remover()).unwrap(), removed.abandoned);
    assert_eq!(claims(&*registry), json!({"v": 1, "claims": []}));
    let options = Options { allow_older_window: true, ..Options::default() };
    assert!(publish_with(&*shelf.store("objects"), &*registry, &candidates(2), options).unwrap().swapped);
}

/// Another collection has taken the place of this one, which was silent for too long: it finds out before it deletes on.
#[test]
fn a_collection_that_was_replaced() {
    let shelf = shelf();
    let plan = Plan::interrupt(0, {
        let shelf = Arc::clone(&shelf);
        move || {
            let registry = shelf.store("registry");
            let mut document = claims(&*registry);
            document["running"]["id"] = "another".into();
            let bytes = serde_json::to_vec(&document).unwrap();
            registry.put(CLAIMS, &bytes, Condition::Always).unwrap();
            // Longer than it may go on without a look.
            thread::sleep(Duration::from_millis(2100));
        }
    });
    // The first operation on the objects is the first removal.
    let objects = FaultyStore { inner: shelf.store("objects"), plan };
    let registry = shelf.store("registry");
    let found = Collection::find(&*registry, &*shelf.store("objects"), &scope(), keep()).unwrap();
    let lost = found.remove(&*registry, &objects, &scope(), &remover());
    assert!(matches!(lost, Err(GarbageError::Claims(ClaimsError::Leased { .. }))), "{lost:?}");
    let left = claims(&*registry);
    assert_eq!(left["running"]["id"], "another");
    assert_eq!(left["claims"], json!([]), "its own claims are given back");
    intact(&shelf, 0);
}

/// Two collections at once: the second one waits, and says who holds it up.
#[test]
fn a_collection_that_is_running() {
    let shelf = shelf();
    let registry = shelf.store("registry");
    let running = json!({"id": "1", "by": "gc@other", "since": "2026-01-01T00:00:00Z", "renewals": 0});
    let document = json!({"v": 1, "running": running, "claims": []}).to_string();
    registry.put(CLAIMS, document.as_bytes(), Condition::Absent).unwrap();
    let found = Collection::find(&*registry, &*shelf.store("objects"), &scope(), keep()).unwrap();
    let timeouts = LeaseTimeouts { wait: Duration::from_millis(300), silence: LIMIT };
    let refused =
        found.remove(&*registry, &*shelf.store("objects"), &scope(), &Remover { timeouts, ..remover() });
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("gc@other since 2026-01-01T00:00:00Z"), "{message}");
    // A publisher that wants nothing of what is claimed does not wait.
    shelf.publish(&candidates(4));
    // One that is silent is taken for dead.
    assert!(collect(&*registry, &*shelf.store("objects")) > 0);
    assert_eq!(claims(&*registry), json!({"v": 1, "claims": []}));
}

/// A deletion whose answer does not come may still happen: its version stays claimed.
#[test]
fn a_deletion_whose_answer_is_lost() {
    let mut s3 = S3::from_env();
    let proxy = Proxy::start(s3.address());
    s3.endpoint = proxy.endpoint();
    let slow = Backend::Bucket(s3, S3::unique_prefix());
    let (objects, registry) = (slow.store("objects"), slow.store("registry"));
    for day in 1..3 {
        publish(&*objects, &*registry, &candidates(day)[..1]).unwrap();
    }
    // Everything is old.
    let keep = Keep { since: Timestamp::now() + SignedDuration::from_hours(1), ..keep() };
    let found = Collection::find(&*registry, &*objects, &scope(), keep).unwrap();
    // The probe of the store has sent some, too.
    let deletions = || proxy.requests().iter().filter(|request| request.starts_with("DELETE ")).count();
    let before = deletions();
    proxy.rule("DELETE", "", None, NetworkFault::AnswerLost);
    let failed = found.remove(&*registry, &*objects, &scope(), &remover()).unwrap_err();
    assert!(matches!(failed, GarbageError::Store(_)), "{failed}");
    assert_eq!(deletions(), before + 1, "a deletion is sent once");
    let left = claims(&*registry);
    assert_eq!(left["running"], Value::Null);
    assert_eq!(left["claims"][0]["versions"]["popularity"].as_array().map(Vec::len), Some(1), "{left}");
    // A refusal is an answer: nothing of it can happen later.
    proxy.clear();
    release(&*registry, &scope(), Timestamp::MAX, &remover()).unwrap();
    for (status, code) in
        [(403, ""), (501, "NotImplemented"), (405, "MethodNotAllowed"), (403, "ObjectLocked")]
    {
        let found = Collection::find(&*registry, &*objects, &scope(), keep).unwrap();
        let body = format!("<Error><Code>{code}</Code></Error>");
        proxy.clear();
        proxy.rule("DELETE", "", None, NetworkFault::Answer { status, body });
        found.remove(&*registry, &*objects, &scope(), &remover()).unwrap_err();
        assert_eq!(claims(&*registry), json!({"v": 1, "claims": []}), "{status} {code}");
    }
}

/// So many operations does it take to remove so many versions: the count of the store, not the clock.
fn operations(versions: usize) -> usize {
    let backend = Backend::memory();
    let (objects, registry) = (backend.store("objects"), backend.store("registry"));
    for day in 1..3 {
        publish(&*objects, &*registry, &candidates(day)).unwrap();
    }
    for number in 0..versions {
        let key = format!("demo/home/cooc/{number:064x}.json");
        objects.put(&key, b"{}", Condition::Absent).unwrap();
        registry.put(&format!("records/{key}"), b"{}", Condition::Absent).unwrap();
    }
    let plan = Plan::new(When::Before, usize::MAX);
    let faulty = |name| FaultyStore { inner: backend.store(name), plan: Arc::clone(&plan) };
    let keep = Keep { since: Timestamp::now() + SignedDuration::from_hours(1), ..keep() };
    let found = Collection::find(&faulty("registry"), &faulty("objects"), &scope(), keep).unwrap();
    let removed = found.remove(&faulty("registry"), &faulty("objects"), &scope(), &remover()).unwrap();
    assert_eq!(removed.garbage.len(), 2 * (versions + 2));
    plan.count()
}

#[test]
fn the_work_grows_as_the_garbage_does() {
    let (few, more, many) = (operations(1500), operations(3000), operations(6000));
    assert!(more < few * 23 / 10 && many < more * 23 / 10, "{few} {more} {many}");
    assert!(many < 6000 * 2 + 200, "a deletion for each document, and little besides: {many}");
}
