//! A publisher, a rollback and two collections of garbage in every interleaving, each paused before any of its operations
//! for as long as the others like: what the manifest names is there after each operation of any of them.
//!
//! No process waits for another one: a collection takes the place of another at once, as if clocks had run wild.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[allow(dead_code, reason = "other tests use the rest")]
mod published;

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use published::{candidates, publish, publish_within, roll_back_within};
use recsys_core::artifact::Kind;
use recsys_core::publish::{
    BlobError, Change, Checked, ClaimsError, Collection, GarbageError, HistoryEntry, Hold, Keep,
    LeaseTimeouts, Manifest, Options, PublishError, Reason, Registry, RegistryError, Remover, RollbackError,
    RollbackPlan, Target,
};
use recsys_core::storage::Store;
use recsys_core::storage::layout::{self, version_in};
use recsys_testkit::interleave::{Contents, Process, Stores, explore};
use recsys_testkit::scope::scope;

/// Nobody waits, and any other collection looks dead.
const NO_TIME: LeaseTimeouts = LeaseTimeouts { wait: Duration::ZERO, silence: Duration::ZERO };

/// `popularity` of a few days: one kind keeps the number of interleavings small.
static DAYS: LazyLock<Vec<Checked>> =
    LazyLock::new(|| (0..4).map(|day| candidates(day + 1).swap_remove(0)).collect());

fn day(number: usize) -> &'static [Checked] {
    std::slice::from_ref(&DAYS[number - 1])
}

/// Long after all that was published.
fn later() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1000)
}

/// Two days are published, long ago; the first one is garbage.
fn shelf() -> Contents {
    let stores = Stores::new(Contents::default());
    for number in 1..=2 {
        publish(&stores.open("objects"), &stores.open("registry"), day(number)).unwrap();
    }
    let mut contents = stores.contents();
    contents.now = later();
    contents
}

/// What the manifest names is there, blob and record.
fn check(contents: &Contents) -> Result<(), String> {
    let manifest = contents.get(&format!("registry/{}", layout::manifest(&scope()))).ok_or("no manifest")?;
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    for (kind, uri) in &manifest.current {
        let record = layout::record(&scope(), *kind, version_in(uri));
        for key in [uri["memory://".len()..].to_owned(), format!("registry/{record}")] {
            contents.get(&key).ok_or(format!("{key} is gone"))?;
        }
    }
    Ok(())
}

fn find(stores: &Stores) -> Result<Collection, GarbageError> {
    let since = later() - SignedDuration::from_hours(1);
    let keep = Keep { manifests: 1, since, include_unrecorded: false };
    Collection::find(&stores.open("registry"), &stores.open("objects"), &scope(), keep)
}

fn collect(stores: &Stores) -> bool {
    match find(stores) {
        Ok(found) => remove(&found, stores),
        Err(error) => is_over(&error),
    }
}

/// What was found before anything else happened, which is the longest pause that there can be in between.
fn remove_what_was_found(stores: &Stores) -> bool {
    static FOUND: LazyLock<Collection> = LazyLock::new(|| find(&Stores::new(shelf())).unwrap());
    remove(&FOUND, stores)
}

fn remove(found: &Collection, stores: &Stores) -> bool {
    let uptime = || Duration::ZERO;
    let caller = Remover { by: "gc@host".to_owned(), now: later(), timeouts: NO_TIME, uptime };
    match found.remove(&stores.open("registry"), &stores.open("objects"), &scope(), &caller) {
        Ok(removed) => !removed.garbage.is_empty(),
        // Another collection has taken its place.
        Err(GarbageError::Claims(
            ClaimsError::Leased { .. } | ClaimsError::Replaced(_) | ClaimsError::Contended(_),
        )) => false,
        Err(error) => is_over(&error),
    }
}

fn first_hash() -> String {
    let registry = Stores::new(shelf()).open("registry");
    let first = registry.list("history/demo/home").unwrap().swap_remove(0).key;
    first.rsplit_once('-').unwrap().1.trim_end_matches(".json").to_owned()
}

fn roll_back_to_first(stores: &Stores) -> bool {
    static FIRST: LazyLock<String> = LazyLock::new(first_hash);
    match roll_back_within(&stores.open("objects"), &stores.open("registry"), &FIRST, NO_TIME) {
        Ok(manifest) => manifest.is_some(),
        Err(
            RollbackError::Blob(BlobError::Missing(..))
            | RollbackError::Registry(RegistryError::Claims(ClaimsError::Claimed { .. }))
            | RollbackError::Overtaken(_)
            | RollbackError::Vanished(_),
        ) => false,
        Err(error) => is_over(&error),
    }
}

fn publish_first_again(stores: &Stores) -> bool {
    let options = Options { allow_older_window: true, ..Options::default() };
    match publish_within(&stores.open("objects"), &stores.open("registry"), day(1), options, NO_TIME) {
        Ok(done) => done.swapped,
        Err(
            PublishError::Vanished(_)
            | PublishError::Registry(RegistryError::Claims(ClaimsError::Claimed { .. })),
        ) => false,
        Err(error) => is_over(&error),
    }
}

fn publish_third(stores: &Stores) -> bool {
    let options = Options::default();
    match publish_within(&stores.open("objects"), &stores.open("registry"), day(3), options, NO_TIME) {
        Ok(done) => done.swapped,
        Err(error) => is_over(&error),
    }
}

/// As `rollback --hold`: first the hold, then the swap, whatever the manifest names.
fn roll_back_to_first_and_hold(stores: &Stores) -> bool {
    static FIRST: LazyLock<String> = LazyLock::new(first_hash);
    let (objects, store) = (stores.open("objects"), stores.open("registry"));
    let registry = Registry::new(&store);
    let rolled_back = RollbackPlan::new(&registry, &objects, &scope(), &Target::Hash(FIRST.clone()), None)
        .and_then(|plan| {
            let hold = Hold { by: "test@host".to_owned(), since: later(), note: None };
            registry.hold(&scope(), Kind::ALL, &hold)?;
            plan.touching().execute(&registry, &objects, &scope(), &rollback())
        });
    match rolled_back {
        Ok(manifest) => manifest.is_some(),
        Err(RollbackError::Overtaken(_)) => false,
        Err(error) => is_over(&error),
    }
}

fn rollback() -> Change {
    Change {
        by: "test@host".to_owned(),
        run_id: None,
        note: None,
        now: later(),
        horizon: Timestamp::MAX,
        timeouts: NO_TIME,
    }
}

/// No publish follows the rollback that holds.
fn check_hold(contents: &Contents) -> Result<(), String> {
    check(contents)?;
    let manifest = &contents.get(&format!("registry/{}", layout::manifest(&scope()))).ok_or("no manifest")?;
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let entries = contents.below("registry/history/");
    let entries = entries.into_iter().map(|bytes| serde_json::from_slice::<HistoryEntry>(bytes).unwrap());
    let entries: Vec<HistoryEntry> = entries.collect();
    let of = |hash: &str| entries.iter().find(|entry| entry.hash == hash);
    let current = of(&manifest.hash()).ok_or("no entry")?;
    let before = current.previous.as_deref().and_then(of);
    match (current.reason, before.map(|entry| entry.reason)) {
        (Reason::Publish, Some(Reason::Rollback)) => Err("a publish went past the hold".to_owned()),
        _ => Ok(()),
    }
}

#[test]
fn a_publisher_and_a_hold() {
    let is_entry = |key: &str| key.starts_with("registry/history/");
    let processes: [&Process; 2] = [&publish_third, &roll_back_to_first_and_hold];
    let explored = explore(shelf(), &processes, None, &is_entry, &check_hold).unwrap();
    assert!(explored.states >= 300, "{explored:?}");
    assert!(explored.succeeded.iter().all(|states| *states > 0), "{explored:?}");
}

/// The one failure that the explorer makes up.
fn is_over(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause.filter(|error| !error.to_string().contains("cannot use a shared store")) {
        cause = error.source();
    }
    assert!(cause.is_some(), "{error}");
    false
}

/// Every process succeeds in some interleaving, and what the manifest names is always there.
fn assert_safe(processes: &[&Process], most_pauses: Option<usize>, least_states: usize) {
    let is_entry = |key: &str| key.starts_with("registry/history/");
    let explored = explore(shelf(), processes, most_pauses, &is_entry, &check).unwrap();
    assert!(explored.states >= least_states, "{explored:?}");
    assert!(explored.succeeded.iter().all(|states| *states > 0), "{explored:?}");
}

#[test]
fn a_rollback_and_a_collection() {
    assert_safe(&[&roll_back_to_first, &collect], None, 300);
}

#[test]
fn a_publisher_of_what_is_garbage_and_a_collection() {
    assert_safe(&[&publish_first_again, &collect], None, 500);
}

#[test]
fn a_publisher_of_something_new_and_a_rollback_and_a_collection() {
    assert_safe(&[&publish_third, &roll_back_to_first, &remove_what_was_found], None, 20_000);
}

#[test]
fn a_rollback_and_two_collections() {
    assert_safe(&[&roll_back_to_first, &remove_what_was_found, &remove_what_was_found], None, 100_000);
}

/// All four at once, in which three of them may be paused, each anywhere and for as long as the others like.
#[test]
fn a_publisher_and_a_rollback_and_two_collections() {
    let (publish, collect): (&Process, &Process) = (&publish_first_again, &remove_what_was_found);
    assert_safe(&[publish, &roll_back_to_first, collect, collect], Some(3), 100_000);
}
