//! An independent reader of published artifacts, like a serving system: it knows only the formats.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use recsys_core::artifact::Kind;

/// Reads the manifest at `path` and returns its URIs by kind; none if there is no manifest.
///
/// Every blob is read and its version recomputed.
pub fn read_published(manifest: &Path) -> Option<BTreeMap<Kind, String>> {
    let manifest = format!("file://{}", std::path::absolute(manifest).unwrap().display());
    read_published_at(&manifest, |uri| {
        let path = uri.strip_prefix("file://").expect("a file URI");
        match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read.unwrap_or_else(|error| panic!("{uri}: {error}"))),
        }
    })
}

/// Like [`read_published`], for a manifest at any URI; `read` fetches the document at a URI.
pub fn read_published_at(
    manifest: &str,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Option<BTreeMap<Kind, String>> {
    let manifest: serde_json::Value =
        serde_json::from_slice(&read(manifest)?).expect("the manifest is whole");
    let current: BTreeMap<Kind, String> = serde_json::from_value(manifest["current"].clone()).unwrap();
    for (kind, uri) in &current {
        let blob = read(uri).unwrap_or_else(|| panic!("{uri} does not exist"));
        let artifact = kind.parse(&blob).unwrap_or_else(|error| panic!("{uri}: {error}"));
        assert!(uri.ends_with(&format!("/{kind}/{}.json", artifact.build.version)), "{uri}");
        assert_eq!(artifact.key.scope.tenant.as_str(), manifest["tenant"], "{uri}");
        assert_eq!(artifact.key.scope.surface.as_str(), manifest["surface"], "{uri}");
    }
    Some(current)
}
