//! What `gc` lists, deletes and keeps.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use recsys_testkit::backend::Backend;
use recsys_testkit::generate::busy_day;
use recsys_testkit::process::{signal, wait_for_handlers};
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

const DAYS: u32 = 8;

/// The publisher's clock.
const LONG_AGO: &str = "1767400000";

/// Eight days, published one after the other.
struct Shop {
    sandbox: Sandbox,
    backend: Backend,
}

fn day(number: u32) -> String {
    format!("2026-01-{number:02}")
}

impl Shop {
    fn new(backend: Backend) -> Self {
        let sandbox = Sandbox::new();
        let mut raw = String::new();
        for number in 1..=DAYS {
            for exposure in busy_day(number.into(), &day(number), 60, 10) {
                raw += &exposure.line();
                raw.push('\n');
            }
        }
        sandbox.write("raw/exposure.jsonl", raw);
        sandbox.configure(&json!({
            "object_store_dir": backend.root("objects"), "registry_dir": backend.root("registry"),
        }));
        let shop = Self { sandbox, backend };
        let line = format!("run {SCOPE} --start {} --end {}", day(1), day(DAYS));
        let mut command = shop.backend.command(&shop.sandbox, "recsys-pipelines", &line);
        Finished::from(command.env("SOURCE_DATE_EPOCH", LONG_AGO).output().unwrap()).ok();
        shop
    }

    fn run(&self, line: &str) -> Finished {
        self.backend.command(&self.sandbox, "recsys-pipelines", line).output().unwrap().into()
    }

    /// A command long after, when everything is old.
    fn later_command(&self, line: &str) -> Command {
        let mut command = self.backend.command(&self.sandbox, "recsys-pipelines", line);
        command.env("SOURCE_DATE_EPOCH", "1830000000");
        command
    }

    fn run_later(&self, line: &str) -> Finished {
        self.later_command(line).output().unwrap().into()
    }

    /// Runs `gc` long after; returns its document.
    fn later(&self, flags: &str) -> Value {
        self.run_later(&format!("gc {SCOPE} {flags} --json")).ok().json()
    }

    /// Types and versions of the garbage in a document.
    fn garbage(document: &Value) -> BTreeSet<(String, String)> {
        let garbage = document["scopes"][0]["garbage"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        garbage.map(|garbage| (text(&garbage["type"]), text(&garbage["version"]))).collect()
    }

    /// Types and versions of everything stored.
    fn stored(&self) -> BTreeSet<(String, String)> {
        let version = |key: &str| key.rsplit('/').next().unwrap().trim_end_matches(".json").to_owned();
        let blobs = self.backend.store("objects").list("").unwrap();
        let records = self.backend.store("registry").list("records").unwrap();
        let blobs = blobs.iter().map(|listed| ("blob".to_owned(), version(&listed.key)));
        blobs.chain(records.iter().map(|listed| ("record".to_owned(), version(&listed.key)))).collect()
    }

    /// Types and versions named by the newest `manifests` manifests.
    fn named(&self, manifests: usize) -> BTreeSet<(String, String)> {
        let mut named = BTreeSet::new();
        let mut entries = self.backend.store("registry").list("history").unwrap();
        entries.reverse();
        for entry in entries.iter().take(manifests) {
            let entry = self.backend.store("registry").read(&entry.key).unwrap().unwrap();
            let entry: Value = serde_json::from_slice(&entry).unwrap();
            for uri in entry["manifest"]["current"].as_object().unwrap().values() {
                let version = uri.as_str().unwrap().rsplit('/').next().unwrap().trim_end_matches(".json");
                for what in ["blob", "record"] {
                    named.insert((what.to_owned(), version.to_owned()));
                }
            }
        }
        named
    }
}

fn what_no_kept_manifest_names_goes(backend: Backend) {
    let shop = Shop::new(backend);
    let stored = shop.stored();
    assert_eq!(stored.len(), 2 * 2 * DAYS as usize, "two kinds, each a blob and a record a day");
    // Only the last manifest is kept, but all files are too young to be deleted.
    let now = shop.run(&format!("gc {SCOPE} --keep 1 --older-than 1h"));
    assert!(now.ok().stdout.contains("0 documents, 0 bytes: nothing to delete"), "{now:?}");

    let listed = shop.later("--keep 3");
    let expected: BTreeSet<_> = stored.difference(&shop.named(3)).cloned().collect();
    assert_eq!(expected.len(), 2 * 2 * 5);
    assert_eq!(Shop::garbage(&listed), expected);
    assert_eq!((&listed["deleted"], &listed["scopes"][0]["kept_manifests"]), (&json!(false), &json!(3)));
    assert_eq!(shop.stored(), stored, "nothing changes without --delete");
    let sizes: u64 = listed["scopes"][0]["garbage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(listed["bytes"], sizes);

    let deleted = shop.later("--keep 3 --delete");
    assert_eq!(Shop::garbage(&deleted), expected);
    assert_eq!(deleted["deleted"], true);
    assert_eq!(shop.stored(), shop.named(3));
    assert_eq!(Shop::garbage(&shop.later("--keep 3 --delete")), BTreeSet::new());

    shop.run(&format!("verify {SCOPE}")).ok();
    let history = shop.run(&format!("history {SCOPE} --json"));
    let history: Value = serde_json::from_str(&history.ok().stdout).unwrap();
    assert_eq!(history["entries"].as_array().unwrap().len(), DAYS as usize, "history stays");
    shop.run(&format!("rollback {SCOPE} --steps 3")).fails(3, &["cannot roll back", "does not exist"]);
    shop.run(&format!("rollback {SCOPE} --steps 2")).ok();
    shop.run(&format!("verify {SCOPE}")).ok();
    // Deleted artifacts can be published again from the staged ones.
    let line = format!("{SCOPE} --start {} --allow-older-window", day(1));
    Finished::from(shop.backend.command(&shop.sandbox, "job_publish", &line).output().unwrap()).ok();
    shop.run(&format!("verify {SCOPE}")).ok();
}

#[test]
fn what_no_kept_manifest_names_goes_on_disk() {
    what_no_kept_manifest_names_goes(Backend::disk());
}

#[test]
fn what_no_kept_manifest_names_goes_in_a_bucket() {
    what_no_kept_manifest_names_goes(Backend::bucket());
}

#[test]
fn what_is_not_of_the_registry_is_nobody_s_garbage() {
    let shop = Shop::new(Backend::disk());
    let (objects, registry) = (shop.backend.root("objects"), shop.backend.root("registry"));
    let sha = "0".repeat(64);
    let strangers = [
        format!("{objects}/demo/home/cooc/notes.txt"),
        format!("{objects}/demo/home/cooc/{sha}.json.bak"),
        format!("{objects}/demo/home/other/{sha}.json"),
        format!("{objects}/demo/other/cooc/{sha}.json"),
        format!("{registry}/records/demo/home/cooc/README.md"),
        format!("{registry}/elsewhere/{sha}.json"),
    ];
    for path in &strangers {
        let path = std::path::Path::new(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    let before = shop.sandbox.snapshot("out");
    let deleted = shop.later("--keep 1 --delete");
    assert_eq!(Shop::garbage(&deleted).len(), 2 * 2 * (DAYS as usize - 1));
    for path in &strangers {
        assert_eq!(fs::read_to_string(path).unwrap(), "mine", "{path}");
    }
    assert_eq!(shop.sandbox.snapshot("out"), before, "canonical data and staged artifacts stay");
    // An old blob under an unrecorded name in our format is garbage.
    fs::write(format!("{objects}/demo/home/cooc/{sha}.json"), "{}").unwrap();
    assert_eq!(Shop::garbage(&shop.later("--delete")), [("blob".to_owned(), sha)].into());
}

/// The registry of one environment with the object store of another, or with a shared one.
#[test]
fn blobs_of_another_environment_are_not_deleted() {
    let (shop, other) = (Shop::new(Backend::disk()), Shop::new(Backend::disk()));
    let config = json!({
        "out_dir": "out", "raw_events_dir": "raw",
        "object_store_dir": other.backend.root("objects"), "registry_dir": shop.backend.root("registry"),
    });
    shop.sandbox.write("mixed.json", config.to_string());
    let stored = other.stored();
    let gc = |config: &str, flags: &str| {
        let line = format!("gc --config {config} --tenant demo --surface home --keep 1 --delete {flags}");
        shop.run_later(&line)
    };
    let parts = ["which is not in the object store", "registry_dir and object_store_dir"];
    gc("mixed.json", "").fails(2, &parts);
    gc("mixed.json", "--include-unrecorded").fails(2, &parts);
    assert_eq!(other.stored(), stored);

    // Eleven blobs of another registry in the same object store.
    for number in 0..11 {
        let name = format!("objects/demo/home/cooc/{number:064x}.json");
        fs::write(format!("{}/{name}", shop.backend.root("").trim_end_matches('/')), "{}").unwrap();
    }
    let stored = shop.stored();
    gc("config.json", "").fails(3, &["11 old blobs of demo/home", "no record", "--include-unrecorded"]);
    assert_eq!(shop.stored(), stored);
    gc("config.json", "--include-unrecorded").ok();
    assert_eq!(shop.stored(), shop.named(1));
}

/// Writes the document of another collector that holds the scope.
fn held_by_another(shop: &Shop, renewals: u64) {
    let running = json!({"id": "1", "by": "etl@gc-7", "since": "2026-01-01T02:00:00Z", "renewals": renewals});
    let document = json!({"v": 1, "running": running, "claims": []}).to_string();
    let path = format!("{}/gc/demo/home.json", shop.backend.root("registry"));
    fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    // Replaced atomically, like all documents.
    fs::write(format!("{path}.new"), document).unwrap();
    fs::rename(format!("{path}.new"), path).unwrap();
}

fn gc_command(shop: &Shop) -> Command {
    let mut command = shop.later_command(&format!("gc {SCOPE} --keep 1 --delete"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_wait_for_another_collection_is_announced_and_ends() {
    let shop = Shop::new(Backend::disk());
    held_by_another(&shop, 0);
    let mut command = gc_command(&shop);
    let mut waiting = command.env("RECSYS_PIPELINES__REGISTRY__LEASE_TIMEOUT_S", "5").spawn().unwrap();
    // A claim that is renewed is not dead.
    for renewals in 1.. {
        if waiting.try_wait().unwrap().is_some() {
            break;
        }
        held_by_another(&shop, renewals);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let waited = Finished::from(waiting.wait_with_output().unwrap());
    let lines: Vec<&str> = waited.stderr.lines().collect();
    let [announced, last] = lines[..] else { panic!("{waited:?}") };
    assert!(announced.contains("waiting for a collection of garbage"), "{announced}");
    assert!(last.contains("another collection of garbage is running"), "{last}");
    assert!(last.contains("etl@gc-7 since 2026-01-01T02:00:00Z"), "{last}");
    assert_eq!(waited.code, Some(1));
    // Nobody renews the claim any more.
    let mut command = gc_command(&shop);
    let after = command.env("RECSYS_PIPELINES__REGISTRY__LEASE_TIMEOUT_S", "2").output().unwrap();
    Finished::from(after).ok();
    assert_eq!(shop.stored(), shop.named(1));
}

#[test]
fn a_wait_for_another_collection_ends_with_a_signal() {
    let shop = Shop::new(Backend::disk());
    held_by_another(&shop, 0);
    let waiting = gc_command(&shop).spawn().unwrap();
    wait_for_handlers(&waiting);
    std::thread::sleep(std::time::Duration::from_millis(700));
    signal(&waiting, "-TERM");
    Finished::from(waiting.wait_with_output().unwrap()).fails(1, &["stopped by SIGTERM"]);
}

/// Stopped between two deletions, a collector releases its claims, and the next one continues.
#[test]
fn a_collection_that_is_told_to_stop() {
    let shop = Shop::new(Backend::disk());
    let (objects, registry) = (shop.backend.root("objects"), shop.backend.root("registry"));
    for number in 0..4000 {
        for path in [format!("{objects}/demo/home/cooc"), format!("{registry}/records/demo/home/cooc")] {
            fs::write(format!("{path}/{number:064x}.json"), "{}").unwrap();
        }
    }
    let before = shop.stored().len();
    let running = gc_command(&shop).spawn().unwrap();
    // Wait until it has begun to delete.
    while shop.stored().len() == before {
        std::thread::yield_now();
    }
    signal(&running, "-TERM");
    Finished::from(running.wait_with_output().unwrap()).fails(1, &["stopped by SIGTERM"]);
    assert!(shop.stored().len() > shop.named(1).len(), "it was stopped before its end");
    let claims = fs::read(format!("{registry}/gc/demo/home.json")).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims, json!({"v": 1, "claims": []}));
    shop.later("--keep 1 --delete");
    assert_eq!(shop.stored(), shop.named(1));
    shop.run(&format!("verify {SCOPE}")).ok();
}

#[test]
fn people_get_the_first_documents_and_programs_all() {
    let shop = Shop::new(Backend::disk());
    let records = format!("{}/records/demo/home/cooc", shop.backend.root("registry"));
    for number in 0..300 {
        fs::write(format!("{records}/{number:064x}.json"), "{}").unwrap();
    }
    let listed = shop.run_later(&format!("gc {SCOPE} --keep {DAYS}"));
    assert!(listed.ok().stdout.contains("... and 100 more; --json lists all\n300 documents"), "{listed:?}");
    assert_eq!(Shop::garbage(&shop.later(&format!("--keep {DAYS}"))).len(), 300);
}

#[test]
fn what_it_refuses() {
    let shop = Shop::new(Backend::disk());
    shop.run(&format!("gc {SCOPE} --release-claims 59m")).fails(2, &["--release-claims", "1h"]);
}

/// Age is measured by the later of the two clocks, as for all future times; a test cannot wait for an hour.
#[test]
#[allow(clippy::disallowed_methods, reason = "claims have the real time")]
fn claims_of_the_dead_are_given_up_by_their_age() {
    let shop = Shop::new(Backend::disk());
    let path = format!("{}/gc/demo/home.json", shop.backend.root("registry"));
    fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    let since = jiff::Timestamp::now().to_string();
    let claim = json!({
        "id": "dead", "by": "somebody@vm", "since": since, "versions": {"popularity": ["f".repeat(64)]},
    });
    fs::write(&path, json!({"v": 1, "claims": [claim.clone()]}).to_string()).unwrap();
    let claims = || {
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        document["claims"].clone()
    };
    shop.run(&format!("gc {SCOPE} --keep {DAYS} --release-claims 1h")).ok();
    assert_eq!(claims(), json!([claim]));
    shop.later(&format!("--keep {DAYS} --release-claims 1h"));
    assert_eq!(claims(), json!([]));
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let shop = Shop::new(Backend::disk());
    shop.run(&format!("gc {SCOPE} --older-than 59m")).fails(2, &["--older-than", "1h"]);
    shop.run(&format!("gc {SCOPE} --older-than soon")).fails(2, &["soon", "duration"]);
    shop.run(&format!("gc {SCOPE} --keep 0")).fails(2, &["--keep"]);
    shop.run("gc --config config.json --tenant demo --surface search")
        .fails(2, &["search/manifest.json does not exist"]);
    shop.run("gc --config config.json --tenant nobody").fails(2, &["no manifest"]);
    // A gap in the part of the history to keep.
    let history = format!("{}/history/demo/home", shop.backend.root("registry"));
    let mut entries: Vec<_> = fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    fs::remove_file(&entries[DAYS as usize - 3]).unwrap();
    let stored = shop.stored();
    let finished = shop.run_later(&format!("gc {SCOPE} --keep 5 --delete"));
    finished.fails(3, &["the history of demo/home breaks off"]);
    assert_eq!(shop.stored(), stored);
    assert_eq!(shop.later("--keep 2 --delete")["scopes"][0]["kept_manifests"], 2);
}
