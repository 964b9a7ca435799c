//! The readers of manifests, records, history entries and artifacts.

use std::fmt::Debug;

use recsys_core::artifact::compare::compare;
use recsys_core::artifact::{Artifact, DocumentError, Draft, Kind, version};
use recsys_core::encoding::hash::is_sha256;
use recsys_core::encoding::json;

use recsys_core::domain::limit::Limits;
use recsys_core::publish::{HistoryEntry, Manifest, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Takes bytes as each of the documents: what can be read is written and read again as it was, and an artifact
/// keeps its version.
pub fn documents(data: &[u8]) {
    if let Some(manifest) = document::<Manifest>(data) {
        let written = serde_json::to_vec_pretty(&manifest).unwrap();
        let read: Manifest = serde_json::from_slice(&written).unwrap();
        assert_eq!(read.hash(), manifest.hash(), "the layout of a file does not matter");
    }
    if let Some(record) = document::<Record>(data) {
        assert_eq!(record.artifact_key().kind, record.kind);
    }
    document::<HistoryEntry>(data);
    for kind in Kind::ALL {
        match kind.parse(data) {
            Ok(found) => {
                artifact(&found);
                // With blanks in it, all of a document is the JSON library's.
                let document: Value = serde_json::from_slice(data).unwrap();
                let readable = serde_json::to_vec_pretty(&document).unwrap();
                assert_eq!(kind.parse(&readable).unwrap(), found, "the layout of a file does not matter");
            }
            Err(DocumentError::Version { stated, actual }) => {
                assert_ne!(stated, actual);
                let restated = restate(data, &actual);
                artifact(&kind.parse(&restated).unwrap());
            }
            Err(DocumentError::Schema(..) | DocumentError::OtherKind(_)) => {}
        }
    }
}

/// A document that can be read, after it was written and read again.
fn document<T: Debug + PartialEq + Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let document: T = serde_json::from_slice(data).ok()?;
    let written = json::to_vec(&document);
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), document);
    Some(document)
}

/// The document with another version in it. No fuzzer finds the right one by itself.
fn restate(data: &[u8], version: &str) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(data).unwrap();
    document["build"]["version"] = version.into();
    serde_json::to_vec(&document).unwrap()
}

fn artifact(found: &Artifact<'_>) {
    let Artifact { key, payload, build } = found;
    assert_eq!(payload.kind(), key.kind);
    assert!(key.window.days().next().is_some(), "a window of no days was taken");
    assert!(is_sha256(&build.source_hash) && is_sha256(&build.version));

    assert_eq!(version(key, payload), build.version);
    let written = Draft::new(key, payload).finish(&build.built_at, &build.source_hash);
    assert_eq!(written.descriptor.build.version, build.version);
    assert_eq!(key.kind.parse(&written.bytes).unwrap(), *found);
    let outline = payload.outline();
    let changes = compare(Some(&outline), Some(&outline), 3);
    // A list that is out of order, say, can be read and may compare in any way.
    if payload.check(&Limits::default()).is_ok() {
        assert!(changes.items.is_empty(), "{changes:?}");
    }
}
