//! Staged artifacts: the pointer, what a second build leaves alone, and what it repairs.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use recsys_core::artifact::{ArtifactKey, Draft, Encoded, ItemCount, Kind, Payload};
use recsys_core::domain::id::Segment;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::sha256;
use recsys_core::staging::{Staged, Staging, StagingError};
use recsys_testkit::folder::{Folder, age, is_old};
use recsys_testkit::scope::scope;

const NOON: &str = "2026-01-02T12:00:00Z";
const EVENING: &str = "2026-01-02T20:00:00Z";

fn key(segment: Option<&str>) -> ArtifactKey {
    ArtifactKey {
        kind: Kind::Popularity,
        scope: scope(),
        segment: segment.map(|segment| Segment::new(segment).unwrap()),
        window: Window::ending_with("2026-01-02".parse().unwrap(), 2).unwrap(),
    }
}

/// An artifact with one item, built from `source` at `built_at`.
fn artifact(item: &str, source: &str, built_at: &str) -> Encoded {
    let items = vec![ItemCount { item_id: Cow::Borrowed(item), count: 1, score: None }];
    let payload = Payload::Popularity(items);
    Draft::new(&key(None), &payload).finish(built_at, &sha256(source.as_bytes()))
}

/// Where the artifacts are staged.
#[derive(Default)]
struct Stage(Folder);

impl Stage {
    /// Stages an artifact; returns what is current afterwards.
    fn put(&self, encoded: &Encoded) -> Staged {
        let name = Staging::new(&self.0.store).put(encoded).unwrap();
        let current = self.current().unwrap().unwrap();
        assert_eq!(current.name, name);
        current
    }

    fn current(&self) -> Result<Option<Staged>, StagingError> {
        Staging::new(&self.0.store).current(&key(None), &Limits::default())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path("demo/home/_all/popularity/2026-01-01_2026-01-03").join(file)
    }

    fn blob(&self, encoded: &Encoded) -> PathBuf {
        self.path(&format!("{}.json", encoded.descriptor.build.version))
    }

    fn pointer(&self) -> PathBuf {
        self.path("current.version")
    }

    fn set_pointer(&self, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path("")).unwrap();
        fs::write(self.pointer(), text).unwrap();
    }

    /// The files of the window, sorted.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }
}

#[test]
fn the_layout_is_the_one_that_jobs_exchange() {
    let folder = Stage::default();
    let built = artifact("A", "x", NOON);
    let staged = folder.put(&built);
    assert_eq!(fs::read(folder.blob(&built)).unwrap(), built.bytes);
    assert_eq!(
        fs::read_to_string(folder.pointer()).unwrap(),
        format!("{}\n", built.descriptor.build.version)
    );
    assert_eq!(folder.files().len(), 2);
    assert_eq!(staged.name, folder.blob(&built).display().to_string());
    assert_eq!((&staged.version, &staged.bytes[..]), (&built.descriptor.build.version, &built.bytes[..]));
    assert_eq!(folder.current().unwrap().unwrap(), staged);

    let segment = key(Some("new"));
    let staging = Staging::new(&folder.0.store);
    assert!(staging.current(&segment, &Limits::default()).unwrap().is_none());
    let name = folder.0.path("demo/home/new/popularity/2026-01-01_2026-01-03");
    assert_eq!(staging.name(&segment), name.display().to_string());
    let mut other = artifact("B", "x", NOON);
    other.descriptor.key = segment;
    staging.put(&other).unwrap();
    assert!(name.join("current.version").exists());
    assert_eq!(folder.current().unwrap().unwrap(), staged, "segments do not touch each other");
}

#[test]
fn without_a_pointer_nothing_is_staged() {
    let folder = Stage::default();
    assert!(folder.current().unwrap().is_none());
    let built = artifact("A", "x", NOON);
    folder.put(&built);
    fs::remove_file(folder.pointer()).unwrap();
    assert!(folder.current().unwrap().is_none(), "an artifact alone is a build that was cut off");
    folder.put(&built);
    assert_eq!(folder.current().unwrap().unwrap().version, built.descriptor.build.version);
}

#[test]
fn a_pointer_that_holds_no_version_is_named() {
    let folder = Stage::default();
    let version = artifact("A", "x", NOON).descriptor.build.version;
    for garbage in [
        Vec::new(),
        b"\n".to_vec(),
        b"latest".to_vec(),
        b"../../../secret".to_vec(),
        version[..63].into(),
        format!("{version}0").into(),
        version.to_uppercase().into(),
        format!("{version}\n{version}\n").into(),
        format!("{version}.json").into(),
        vec![0xff; 64],
        vec![0; 64],
    ] {
        folder.set_pointer(&garbage);
        let error = folder.current().unwrap_err();
        assert!(
            matches!(&error, StagingError::Pointer(name) if Path::new(name) == folder.pointer()),
            "{error}"
        );
    }
    // A build makes it good again.
    let built = artifact("A", "x", NOON);
    folder.put(&built);
    assert_eq!(folder.current().unwrap().unwrap().bytes, built.bytes);
    // What an editor adds at the end does no harm.
    folder.set_pointer(format!("{}\r\n", built.descriptor.build.version));
    assert_eq!(folder.current().unwrap().unwrap().bytes, built.bytes);
}

#[test]
fn a_pointer_to_nothing_names_both_files() {
    let folder = Stage::default();
    let built = artifact("A", "x", NOON);
    folder.put(&built);
    fs::remove_file(folder.blob(&built)).unwrap();
    let error = folder.current().unwrap_err();
    let StagingError::Dangling { pointer, artifact } = &error else { panic!("{error}") };
    assert_eq!(Path::new(pointer), folder.pointer());
    assert_eq!(Path::new(artifact), folder.blob(&built));
    folder.put(&built);
    assert_eq!(folder.current().unwrap().unwrap().bytes, built.bytes);
}

#[test]
fn a_pointer_that_cannot_be_read_is_not_a_missing_one() {
    let folder = Stage::default();
    fs::create_dir_all(folder.pointer()).unwrap();
    assert!(matches!(folder.current(), Err(StagingError::Store(_))));
}

#[test]
fn staging_again_touches_nothing() {
    let folder = Stage::default();
    let built = artifact("A", "x", NOON);
    let first = folder.put(&built);
    age(&folder.blob(&built));
    age(&folder.pointer());
    for again in [built.clone(), artifact("A", "x", EVENING)] {
        assert_eq!(folder.put(&again), first, "what is there stays");
        assert_eq!(fs::read(folder.blob(&built)).unwrap(), built.bytes);
        assert!(is_old(&folder.blob(&built)) && is_old(&folder.pointer()));
        assert_eq!(folder.files().len(), 2);
    }
    // The layout of the document does not matter.
    let value: serde_json::Value = serde_json::from_slice(&built.bytes).unwrap();
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    fs::write(folder.blob(&built), &pretty).unwrap();
    age(&folder.blob(&built));
    assert_eq!(folder.put(&built).bytes, pretty);
    assert!(is_old(&folder.blob(&built)));
}

/// The source is part of what an audit asks for, so a build from other data is written.
#[test]
fn the_same_content_from_another_source_is_written() {
    let folder = Stage::default();
    let (before, after) = (artifact("A", "x", NOON), artifact("A", "y", EVENING));
    assert_eq!(before.descriptor.build.version, after.descriptor.build.version);
    folder.put(&before);
    assert_eq!(folder.put(&after).bytes, after.bytes);
    assert_eq!(fs::read(folder.blob(&after)).unwrap(), after.bytes);
}

#[test]
fn another_version_moves_the_pointer_and_keeps_the_old_artifact() {
    let folder = Stage::default();
    let (before, after) = (artifact("A", "x", NOON), artifact("B", "x", NOON));
    folder.put(&before);
    age(&folder.blob(&before));
    folder.put(&after);
    assert_eq!(folder.files().len(), 3);
    assert!(is_old(&folder.blob(&before)));
    assert_eq!(folder.current().unwrap().unwrap().bytes, after.bytes);
    folder.put(&before);
    assert_eq!(folder.current().unwrap().unwrap().bytes, before.bytes);
    assert!(is_old(&folder.blob(&before)));
}

#[test]
fn a_damaged_artifact_of_the_same_name_is_replaced() {
    let folder = Stage::default();
    let built = artifact("A", "x", NOON);
    folder.put(&built);
    let text = String::from_utf8(built.bytes.to_vec()).unwrap();
    let other = artifact("B", "x", NOON);
    let edits = [
        // Cut short at every place.
        (0..text.len()).map(|end| text.as_bytes()[..end].to_vec()).collect::<Vec<_>>(),
        vec![
            text.replace("\"count\":1", "\"count\":2").into(),
            text.replace("demo", "demi").into(),
            text.replace("2026-01-03", "2026-01-04").into(),
            text.replace("{\"v\":1", "{\"v\":1,\"note\":\"edited by hand\"").into(),
            text.replace(&sha256(b"x"), "unknown").into(),
            text.replace(&built.descriptor.build.version, &other.descriptor.build.version).into(),
            format!("{text}{text}").into(),
            other.bytes.into(),
            vec![0; text.len()],
        ],
        // In the time alone.
        [b'\n', b'\\', 0xff]
            .map(|byte| {
                let mut edit = built.bytes.to_vec();
                edit[text.find(NOON).unwrap()] = byte;
                edit
            })
            .to_vec(),
    ]
    .concat();
    for edit in edits {
        assert_ne!(edit, built.bytes);
        fs::write(folder.blob(&built), &edit).unwrap();
        let staged = folder.put(&built);
        assert_eq!(staged.bytes, built.bytes, "{}", String::from_utf8_lossy(&edit));
        assert_eq!(fs::read(folder.blob(&built)).unwrap(), built.bytes);
        assert_eq!(folder.current().unwrap().unwrap(), staged);
    }
    assert_eq!(folder.files().len(), 2);
}
