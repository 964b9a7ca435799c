//! Small artifacts, and a place to publish them to.

use std::collections::BTreeMap;
use std::io::Cursor;

use jiff::Timestamp;
use recsys_core::artifact::{ArtifactKey, Draft, Inputs, Kind};
use recsys_core::canonical::DayRows;
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::sha256;
use recsys_core::input::catalog::Catalog;
use recsys_core::input::lines::LineFile;
use recsys_core::publish::{
    Change, Checked, HistoryEntry, LeaseTimeouts, Manifest, Options, PublishError, Published, Publisher,
    Registry, RollbackError, RollbackPlan, Target,
};
use recsys_core::storage::{Store, layout};
use recsys_core::table::events::EventTable;
use recsys_testkit::backend::Backend;
use recsys_testkit::days::read_days;
use recsys_testkit::reader::read_published_at;
use recsys_testkit::scope::scope;

/// What a manifest names.
pub(crate) type Pointers = BTreeMap<Kind, String>;

/// The artifacts of a day on which as many sessions show A and B together as the day's number.
pub(crate) fn candidates(day: u32) -> Vec<Checked> {
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
    let file = LineFile::new(date, Cursor::new(lines));
    let (days, _) = read_days(vec![file], &scope(), day, day, &Budget::default()).unwrap();
    let days: Vec<&DayRows> = days.iter().collect();
    let limits = Limits::default();
    let events = EventTable::new(&days, None, &limits).unwrap();
    let window = Window::ending_with(day, 1).unwrap();
    let catalog = Catalog::default();
    let budget = Budget::default();
    let build = |kind: &Kind| {
        let (payload, _) = kind
            .build(&Inputs { events: &events, catalog: &catalog, budget: &budget, model: None }, &limits)
            .unwrap();
        let key = ArtifactKey { kind: *kind, scope: scope(), segment: None, window };
        let encoded = Draft::new(&key, &payload).finish("2026-01-09T00:00:00Z", &sha256(b""));
        Checked::new(&key, &encoded.descriptor.build.version, encoded.bytes, &limits).unwrap()
    };
    [Kind::Popularity, Kind::Cooc].iter().map(build).collect()
}

/// Publishes at the beginning of 1970.
pub(crate) fn publish(
    objects: &dyn Store,
    registry: &dyn Store,
    candidates: &[Checked],
) -> Result<Published, PublishError> {
    publish_with(objects, registry, candidates, Options::default())
}

/// The same with what may be done beyond the safe default.
pub(crate) fn publish_with(
    objects: &dyn Store,
    registry: &dyn Store,
    candidates: &[Checked],
    options: Options,
) -> Result<Published, PublishError> {
    publish_within(objects, registry, candidates, options, LeaseTimeouts::default())
}

/// The same with the time for which it waits for a collection of garbage.
pub(crate) fn publish_within(
    objects: &dyn Store,
    registry: &dyn Store,
    candidates: &[Checked],
    options: Options,
    timeouts: LeaseTimeouts,
) -> Result<Published, PublishError> {
    let publisher =
        Publisher { objects, registry, limits: &Limits::default(), change: change(timeouts), options };
    publisher.plan(&scope(), candidates.iter().map(|it| &it.descriptor))?;
    let store = |it: &Checked| publisher.store(publisher.prepare(&it.descriptor, &it.bytes)?, it);
    let stored = candidates.iter().map(store).collect::<Result<Vec<_>, _>>()?;
    publisher.finish(&scope(), &stored)
}

/// A change at the beginning of 1970.
pub(crate) fn change(timeouts: LeaseTimeouts) -> Change {
    let (now, horizon) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    Change { by: "test@host".to_owned(), run_id: None, note: None, now, horizon, timeouts }
}

/// Goes back to the manifest with a hash.
pub(crate) fn roll_back(
    objects: &dyn Store,
    registry: &dyn Store,
    hash: &str,
) -> Result<Option<Manifest>, RollbackError> {
    roll_back_within(objects, registry, hash, LeaseTimeouts::default())
}

/// The same with the time for which it waits for a collection of garbage.
pub(crate) fn roll_back_within(
    objects: &dyn Store,
    registry: &dyn Store,
    hash: &str,
    timeouts: LeaseTimeouts,
) -> Result<Option<Manifest>, RollbackError> {
    let registry = Registry::new(registry);
    let target = Target::Hash(hash.to_owned());
    let plan = RollbackPlan::new(&registry, objects, &scope(), &target, None)?;
    plan.execute(&registry, objects, &scope(), &change(timeouts))
}

/// A place with an object store and a registry.
pub(crate) struct Shelf(pub(crate) Backend);

impl Shelf {
    pub(crate) fn store(&self, name: &str) -> Box<dyn Store> {
        self.0.store(name)
    }

    pub(crate) fn publish(&self, candidates: &[Checked]) -> Published {
        publish(&*self.store("objects"), &*self.store("registry"), candidates).unwrap()
    }

    /// What a reader sees who follows the manifest. Everything it names is there and intact.
    pub(crate) fn seen(&self) -> Option<Pointers> {
        let manifest = self.store("registry").uri(&layout::manifest(&scope()));
        read_published_at(&manifest, |uri| self.0.read(uri))
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let bytes = self.store("registry").read(&layout::manifest(&scope())).unwrap().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// All entries of the history, the ones that never became current included.
    pub(crate) fn entries(&self) -> Vec<HistoryEntry> {
        let registry = self.store("registry");
        let listed = registry.list("history/demo/home").unwrap();
        let read = |key: &str| registry.read(key).unwrap().unwrap();
        listed.iter().map(|listed| serde_json::from_slice(&read(&listed.key)).unwrap()).collect()
    }

    /// The manifests that were current, newest first, by walking the chain. One that nothing has adopted yet
    /// is alone.
    pub(crate) fn chain(&self) -> Vec<Pointers> {
        let entries = self.entries();
        let current = self.manifest();
        if entries.iter().all(|entry| entry.hash != current.hash()) {
            return vec![current.current];
        }
        let mut next = Some(current.hash());
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
