//! A reader of what is published, as a serving system would be: it knows the formats and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use recsys_core::artifact::Kind;

/// The URIs that the manifest at `path` names, by kind; none when there is no manifest.
///
/// Every blob is read and its version recomputed.
pub fn read_published(manifest: &Path) -> Option<BTreeMap<Kind, String>> {
    let text = match fs::read_to_string(manifest) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{}: {error}", manifest.display()),
    };
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("the manifest is whole");
    let current: BTreeMap<Kind, String> = serde_json::from_value(manifest["current"].clone()).unwrap();
    for (kind, uri) in &current {
        let path = uri.strip_prefix("file://").expect("a file URI");
        let blob = fs::read(path).unwrap_or_else(|error| panic!("{uri}: {error}"));
        let artifact = kind.parse(&blob).unwrap_or_else(|error| panic!("{uri}: {error}"));
        assert!(uri.ends_with(&format!("/{kind}/{}.json", artifact.build.version)), "{uri}");
        assert_eq!(artifact.key.scope.tenant.as_str(), manifest["tenant"], "{uri}");
        assert_eq!(artifact.key.scope.surface.as_str(), manifest["surface"], "{uri}");
    }
    Some(current)
}
