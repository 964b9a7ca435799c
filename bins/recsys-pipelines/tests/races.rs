//! Eight processes publish different kinds and days to one surface, 25 times each: nothing is lost, each kind ends on
//! its newest window, the history has one entry per swap, and everything verifies. The same when they are killed at
//! random and restarted until all succeed.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use recsys_core::artifact::Kind;
use recsys_core::domain::window::Day;
use recsys_core::publish::{HistoryEntry, Manifest};
use recsys_testkit::backend::Backend;
use recsys_testkit::generate::busy_day;
use recsys_testkit::reader::read_published_at;
use recsys_testkit::sandbox::{Finished, Sandbox, copy};
use recsys_testkit::seed::random;
use serde_json::{Value, json};

const PUBLISHES: u32 = 25;

/// Kind and order of days for each of the eight processes. Two processes of a kind take alternate days; in two of
/// the three pairs one of them goes backwards.
const PUBLISHERS: [(Kind, Turn); 8] = [
    (Kind::Popularity, Turn::Odd),
    (Kind::Popularity, Turn::Even),
    (Kind::Cooc, Turn::Odd),
    (Kind::Cooc, Turn::EvenBackwards),
    (Kind::Implicit, Turn::Odd),
    (Kind::Implicit, Turn::EvenBackwards),
    (Kind::SessionSeq, Turn::Even),
    (Kind::ContentSim, Turn::Odd),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    Odd,
    Even,
    EvenBackwards,
}

impl Turn {
    fn days(self) -> Vec<u32> {
        let days = (0..PUBLISHES).map(|number| 2 * number + u32::from(self == Self::Odd));
        if self == Self::EvenBackwards { days.rev().collect() } else { days.collect() }
    }
}

fn day(number: u32) -> Day {
    "2026-01-01".parse::<Day>().unwrap().plus(number.into()).unwrap()
}

/// Artifacts of fifty days, staged separately for each publisher, and a place to publish them to.
struct Race {
    sandbox: Sandbox,
    backend: Backend,
}

impl Race {
    fn new(backend: Backend) -> Self {
        let sandbox = Sandbox::new();
        let mut raw = String::new();
        for number in 0..2 * PUBLISHES {
            for exposure in busy_day(number.into(), &day(number).to_string(), 40, 10) {
                raw += &exposure.line();
                raw.push('\n');
            }
        }
        sandbox.write("raw/exposure.jsonl", raw);
        sandbox.write("shop.csv", "item_id,tags\nA,x\nB,y\n");
        let config = json!({
            "out_dir": "out", "raw_events_dir": "raw", "artifact_kinds": Kind::ALL,
            "catalog": {"path": "shop.csv"}, "limits": {"min_cooc_support": 1},
        });
        sandbox.write("build.json", config.to_string());
        let (first, last) = (day(0), day(2 * PUBLISHES - 1));
        let line = format!("--config build.json --tenant demo --surface home --start {first} --end {last}");
        for job in
            ["job_ingest", "job_popularity", "job_cooc", "job_implicit", "job_session_seq", "job_content_sim"]
        {
            sandbox.run(job, &line).ok();
        }
        for (number, (kind, _)) in PUBLISHERS.iter().enumerate() {
            let folder = format!("artifacts/demo/home/_all/{kind}");
            copy(&sandbox.join("out").join(&folder), &sandbox.join(format!("{number}")).join(&folder));
            let config = json!({
                "artifacts_dir": format!("{number}/artifacts"), "artifact_kinds": [kind],
                "object_store_dir": backend.root("objects"), "registry_dir": backend.root("registry"),
            });
            sandbox.write(&format!("{number}.json"), config.to_string());
        }
        Self { sandbox, backend }
    }

    fn command(&self, binary: &str, line: &str) -> Command {
        self.backend.command(&self.sandbox, binary, line)
    }

    fn publish(&self, publisher: usize, number: u32) -> Command {
        let day = day(number);
        let line = format!("--config {publisher}.json --tenant demo --surface home --start {day} --json");
        self.command("job_publish", &line)
    }

    /// Checks the result of a race; returns the number of manifests that were current.
    fn check(&self) -> usize {
        let registry = self.backend.store("registry");
        let objects = self.backend.store("objects");
        let manifest = "current/demo/home/manifest.json";
        let current = read_published_at(&registry.uri(manifest), |uri| self.backend.read(uri)).unwrap();
        let mut newest: BTreeMap<Kind, u32> = BTreeMap::new();
        for (publisher, (kind, turn)) in PUBLISHERS.iter().enumerate() {
            let days = turn.days();
            for number in &days {
                // Blob and record of every publish exist, whether or not it became current.
                let (day, next) = (day(*number), day(number + 1));
                let folder =
                    format!("{publisher}/artifacts/demo/home/_all/{kind}/{day}_{next}/current.version");
                let version = std::fs::read_to_string(self.sandbox.join(folder)).unwrap();
                let key = format!("demo/home/{kind}/{}.json", version.trim());
                assert!(objects.read(&key).unwrap().is_some(), "{key}");
                assert!(registry.read(&format!("records/{key}")).unwrap().is_some(), "{key}");
                let entry = newest.entry(*kind).or_default();
                if number >= entry {
                    *entry = *number;
                }
            }
        }
        assert_eq!(current.len(), newest.len());
        for (kind, uri) in &current {
            let artifact = self.backend.read(uri).unwrap();
            let window = kind.parse(&artifact).unwrap().key.window;
            assert_eq!(window.end(), day(newest[kind] + 1), "{kind}");
        }
        let line = "--tenant demo --surface home --config 0.json --json";
        Finished::from(self.command("recsys-pipelines", &format!("verify {line}")).output().unwrap()).ok();
        let history =
            self.command("recsys-pipelines", &format!("history {line} --limit 1000")).output().unwrap();
        let history: Value = serde_json::from_str(&Finished::from(history).ok().stdout).unwrap();
        let entries = history["entries"].as_array().unwrap();
        // Each entry of the history changes something, so none is repeated.
        assert!(entries.iter().all(|entry| !entry["changed"].as_array().unwrap().is_empty()));
        self.check_chain(entries);
        entries.len()
    }

    /// Checks that the history ends with the first manifest, and that no kind goes back to an older window.
    fn check_chain(&self, entries: &[Value]) {
        let registry = self.backend.store("registry");
        let listed = registry.list("history/demo/home").unwrap();
        let by_hash: BTreeMap<String, HistoryEntry> = listed
            .iter()
            .map(|listed| {
                let bytes = registry.read(&listed.key).unwrap().unwrap();
                let entry: HistoryEntry = serde_json::from_slice(&bytes).unwrap();
                (entry.hash.clone(), entry)
            })
            .collect();
        let chain: Vec<&HistoryEntry> =
            entries.iter().map(|entry| &by_hash[entry["hash"].as_str().unwrap()]).collect();
        assert_eq!(chain.last().unwrap().previous, None);
        let window_end = |manifest: &Manifest, kind: &Kind| {
            let blob = self.backend.read(manifest.current.get(kind)?).unwrap();
            Some(kind.parse(&blob).unwrap().key.window.end())
        };
        for pair in chain.windows(2) {
            let [newer, older] = [&pair[0].manifest, &pair[1].manifest];
            assert_eq!(pair[0].previous.as_ref(), Some(&pair[1].hash));
            assert!(newer.updated_at > older.updated_at);
            let moved: Vec<&Kind> =
                Kind::ALL.iter().filter(|kind| newer.current.get(kind) != older.current.get(kind)).collect();
            assert_eq!(moved.len(), 1, "each publish is of one kind: {moved:?}");
            assert!(window_end(newer, moved[0]) > window_end(older, moved[0]), "{moved:?}");
        }
    }
}

/// Runs all publishers at once, calling `publish` for each publish; returns the sum of its results.
fn run_all(publish: impl Fn(usize, u32) -> usize + Sync) -> usize {
    thread::scope(|scope| {
        let publishers: Vec<_> = PUBLISHERS
            .iter()
            .enumerate()
            .map(|(publisher, (_, turn))| {
                let publish = &publish;
                scope.spawn(move || turn.days().into_iter().map(|day| publish(publisher, day)).sum::<usize>())
            })
            .collect();
        publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum()
    })
}

fn race(backend: Backend) {
    let race = Race::new(backend);
    let swapped = run_all(|publisher, number| {
        let finished = Finished::from(race.publish(publisher, number).output().unwrap());
        let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
        usize::from(document["days"][0]["swapped"].as_bool().unwrap())
    });
    assert_eq!(race.check(), swapped, "one entry for each swap");
    assert!(swapped > 30, "only {swapped} swaps");
}

#[test]
fn on_disk() {
    race(Backend::disk());
}

#[test]
fn in_a_bucket() {
    race(Backend::bucket());
}

/// A publish is killed up to this often before it may finish.
const KILLS: u32 = 3;

fn race_with_kills(backend: Backend) {
    let race = Race::new(backend);
    let random = Mutex::new(random());
    // Duration of an undisturbed publish, in microseconds, so that kills hit any moment of it.
    let duration = AtomicUsize::new(10_000);
    let killed = run_all(|publisher, number| {
        let mut killed = 0;
        for attempt in 0.. {
            let start = Instant::now();
            let mut command = race.publish(publisher, number);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            if attempt < KILLS {
                let delay = random.lock().unwrap().below(duration.load(Ordering::Relaxed));
                thread::sleep(Duration::from_micros(delay as u64));
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            match output.status.code() {
                Some(0) => {
                    duration.store(start.elapsed().as_micros().try_into().unwrap(), Ordering::Relaxed);
                    break;
                }
                None => killed += 1,
                code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
            }
        }
        killed
    });
    race.check();
    assert!(killed > 50, "only {killed} were killed");
}

#[test]
fn on_disk_with_kills() {
    race_with_kills(Backend::disk());
}

#[test]
fn in_a_bucket_with_kills() {
    race_with_kills(Backend::bucket());
}
