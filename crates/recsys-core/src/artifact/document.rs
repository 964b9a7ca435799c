//! The artifact as a document: key, field order, version, writing and reading.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::document_reader;
use super::encode::Encoder;
use super::kind::Kind;
use super::row::Row;
use crate::domain::id::{NO_SEGMENT, Scope, Segment, Surface, Tenant};
use crate::domain::window::Window;
use crate::encoding::hash::{HashWriter, is_sha256};
use crate::encoding::json::{self, error_in_words};
use crate::storage::layout;

/// What an artifact was built for: kind, tenant and surface, segment and window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactKey {
    /// The kind of content.
    pub kind: Kind,
    /// The tenant and surface.
    pub scope: Scope,
    /// The segment of the surface; `None` for all events.
    pub segment: Option<Segment>,
    /// The days that it was built from.
    pub window: Window,
}

impl ArtifactKey {
    /// The folder name of the segment, which is [`NO_SEGMENT`] without one.
    pub fn segment_folder(&self) -> &str {
        self.segment.as_ref().map_or(NO_SEGMENT, Segment::as_str)
    }
}

/// How and when an artifact was built. The version does not depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct BuildInfo {
    /// When it was built, RFC 3339.
    pub built_at: String,
    /// SHA-256 of the document with this block blanked.
    pub version: String,
    /// SHA-256 of the input it was built from.
    pub source_hash: String,
}

json::object!(BuildInfo and Serialize);

/// What is known of a document without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Kind, scope, segment and window.
    pub key: ArtifactKey,
    /// Version, build time and source hash.
    pub build: BuildInfo,
    /// Number of rows in the outermost list.
    pub rows: u64,
    /// Size of the document in bytes.
    pub bytes: u64,
}

impl Descriptor {
    /// The key of its blob in an object store.
    pub fn blob_key(&self) -> String {
        layout::blob(&self.key.scope, self.key.kind, &self.build.version)
    }

    /// The key of its record in a registry.
    pub fn record_key(&self) -> String {
        layout::record(&self.key.scope, self.key.kind, &self.build.version)
    }
}

/// Why a document is not the expected artifact.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The document is not JSON, or does not follow the schema of the kind.
    #[error("not a {0} artifact: {problem}", problem = error_in_words(.1))]
    Schema(Kind, serde_json::Error),
    /// The document states another kind.
    #[error("it says artifact_type {0:?}")]
    OtherKind(String),
    /// The content was changed after the version was computed.
    #[error("its content has version {actual}, not {stated}")]
    Version {
        /// The version stated in the document.
        stated: String,
        /// The actual version of the content.
        actual: String,
    },
}

/// The `build` block as hashed for the version, and the end of the document.
const BLANK: &[u8] = br#"{"built_at":"","version":""}}"#;

/// The fields in front of the content.
#[derive(Serialize)]
struct Head<'a> {
    v: u8,
    artifact_type: Kind,
    tenant: &'a Tenant,
    surface: &'a Surface,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<&'a Segment>,
    window: Window,
}

/// Encodes a document up to the value of `build`, hands it to `out` piece by piece, and computes its version; `fill` adds
/// the rows.
pub(super) fn encode_open<T>(
    key: &ArtifactKey,
    field: &str,
    mut out: impl FnMut(&[u8]) + Send,
    fill: impl FnOnce(&mut Encoder<'_>) -> T,
) -> (String, T) {
    let ArtifactKey { kind, scope: Scope { tenant, surface }, segment, window } = key;
    let (artifact_type, segment) = (*kind, segment.as_ref());
    let head = json::to_vec(&Head { v: 1, artifact_type, tenant, surface, segment, window: *window });
    let mut hash = HashWriter::default();
    let mut push = |part: &[u8]| {
        hash.update(part);
        out(part);
    };
    push(&head[..head.len() - 1]);
    push(format!(",\"{field}\":[").as_bytes());
    let filled = fill(&mut Encoder { out: &mut push, rows: 0 });
    push(b"],\"build\":");
    hash.update(BLANK);
    (hash.finish(), filled)
}

/// An artifact whose rows are encoded and whose version is known. Only the `build` block is missing, because the hash of
/// the source may not be known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    key: ArtifactKey,
    /// The document up to the value of `build`.
    bytes: Vec<u8>,
    /// The version of the content.
    pub version: String,
    /// Number of rows in the outermost list.
    pub rows: u64,
}

/// A complete document in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What it is.
    pub descriptor: Descriptor,
    /// The document.
    pub bytes: Bytes,
}

impl Draft {
    pub(super) fn fill<T>(
        key: &ArtifactKey,
        field: &str,
        fill: impl FnOnce(&mut Encoder<'_>) -> T,
    ) -> (Self, T) {
        let mut bytes = Vec::new();
        let out = |part: &[u8]| bytes.extend_from_slice(part);
        let (version, (filled, rows)) = encode_open(key, field, out, |encoder| (fill(encoder), encoder.rows));
        (Self { key: key.clone(), bytes, version, rows }, filled)
    }

    /// Appends the `build` block.
    pub fn finish(self, built_at: &str, source_hash: &str) -> Encoded {
        let Self { key, mut bytes, version, rows } = self;
        let build = BuildInfo { built_at: built_at.to_owned(), version, source_hash: source_hash.to_owned() };
        bytes.extend_from_slice(&json::to_vec(&build));
        bytes.push(b'}');
        Encoded {
            descriptor: Descriptor { key, build, rows, bytes: bytes.len() as u64 },
            bytes: bytes.into(),
        }
    }
}

/// Parses a document with the content field `content`.
fn parse<'de, R: Deserialize<'de>>(
    content: &'static str,
    mut document: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
) -> serde_json::Result<Wire<R>> {
    let wire = document.deserialize_map(DocumentVisitor { content, row: PhantomData })?;
    document.end()?;
    Ok(wire)
}

/// Parses a document whose content are rows `R`.
pub(super) fn read<'a, R: Row<'a>>(bytes: &'a [u8]) -> serde_json::Result<Wire<R>> {
    // Validating UTF-8 once for the whole document is faster than for each string.
    let Ok(text) = std::str::from_utf8(bytes) else {
        return parse(R::FIELD, serde_json::Deserializer::from_slice(bytes));
    };
    // `split` cuts out the first list of that name. It is the content if the rest has an empty list in the content field.
    // Otherwise the list was nested deeper, and the library parses the document or explains the error.
    if let Some((rows, rest)) = document_reader::split(text, R::FIELD)
        && let Ok(rest) = parse::<IgnoredAny>(R::FIELD, serde_json::Deserializer::from_str(&rest))
        && rest.rows.is_empty()
    {
        let Wire { artifact_type, scope, segment, window, rows: _, build } = rest;
        return Ok(Wire { artifact_type, scope, segment, window, rows, build });
    }
    parse(R::FIELD, serde_json::Deserializer::from_str(text))
}

/// The fields of a parsed document.
pub(super) struct Wire<R> {
    pub(super) artifact_type: String,
    pub(super) scope: Scope,
    pub(super) segment: Option<Segment>,
    pub(super) window: Window,
    pub(super) rows: Vec<R>,
    pub(super) build: BuildInfo,
}

/// Deserialises the fields of a document. Hand-written because the name of the content field depends on the kind and
/// unknown fields are refused.
struct DocumentVisitor<R> {
    content: &'static str,
    row: PhantomData<R>,
}

impl<'de, R: Deserialize<'de>> Visitor<'de> for DocumentVisitor<R> {
    type Value = Wire<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an artifact")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        fn once<'de, T: Deserialize<'de>, M: MapAccess<'de>>(
            field: &'static str,
            slot: &mut Option<T>,
            map: &mut M,
        ) -> Result<(), M::Error> {
            if slot.is_some() {
                return Err(M::Error::duplicate_field(field));
            }
            *slot = Some(map.next_value()?);
            Ok(())
        }
        fn required<T, E: serde::de::Error>(field: &'static str, slot: Option<T>) -> Result<T, E> {
            slot.ok_or_else(|| E::missing_field(field))
        }
        let mut v: Option<u64> = None;
        let (mut artifact_type, mut tenant, mut surface) = (None, None, None);
        let (mut segment, mut window, mut rows, mut build) = (None, None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "v" => once("v", &mut v, &mut map)?,
                "artifact_type" => once("artifact_type", &mut artifact_type, &mut map)?,
                "tenant" => once("tenant", &mut tenant, &mut map)?,
                "surface" => once("surface", &mut surface, &mut map)?,
                "segment" => once("segment", &mut segment, &mut map)?,
                "window" => once("window", &mut window, &mut map)?,
                "build" => once("build", &mut build, &mut map)?,
                name if name == self.content => once(self.content, &mut rows, &mut map)?,
                name => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(M::Error::custom(format_args!("unknown field `{name}`")));
                }
            }
        }
        if required("v", v)? != 1 {
            return Err(M::Error::custom("field `v` is not 1"));
        }
        let build: BuildInfo = required("build", build)?;
        if !is_sha256(&build.source_hash) {
            return Err(M::Error::custom("field `source_hash` is not a SHA-256"));
        }
        Ok(Wire {
            artifact_type: required("artifact_type", artifact_type)?,
            scope: Scope { tenant: required("tenant", tenant)?, surface: required("surface", surface)? },
            segment,
            window: required("window", window)?,
            rows: required(self.content, rows)?,
            build,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Inputs, Kind, version};
    use crate::columnar::spill::Budget;
    use crate::domain::limit::Limits;
    use crate::encoding::hash::sha256;
    use crate::input::catalog::Catalog;
    use crate::table::events::EventTable;

    fn key(kind: Kind) -> ArtifactKey {
        ArtifactKey {
            kind,
            scope: Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() },
            segment: None,
            window: Window::ending_with("2026-01-01".parse().unwrap(), 1).unwrap(),
        }
    }

    fn empty(kind: Kind) -> Encoded {
        let (events, catalog) = (EventTable::default(), Catalog::default());
        let budget = Budget::default();
        let inputs = Inputs { events: &events, catalog: &catalog, budget: &budget, model: None };
        let (payload, _) = kind.build(&inputs, &Limits::default()).unwrap();
        Draft::new(&key(kind), &payload).finish("2026-01-02T00:00:00Z", &sha256(b""))
    }

    #[test]
    fn what_is_encoded_is_read_back_with_the_same_version() {
        for kind in Kind::ALL {
            let encoded = empty(*kind);
            let artifact = kind.parse(&encoded.bytes).unwrap();
            assert_eq!(artifact.key, key(*kind));
            assert_eq!(artifact.build.version, encoded.descriptor.build.version);
            assert_eq!(version(&artifact.key, &artifact.payload), encoded.descriptor.build.version);
        }
    }

    #[test]
    fn rows_that_stand_deeper_are_not_the_content() {
        let rows = "[{\"item_id\":\"a\",\"count\":1}]";
        let encoded = empty(Kind::Popularity);
        let text = String::from_utf8(encoded.bytes.into())
            .unwrap()
            .replace("\"items\":[]", &format!("\"items\":{rows}"));
        let DocumentError::Version { stated, actual } = Kind::Popularity.parse(text.as_bytes()).unwrap_err()
        else {
            panic!("its version is that of another content");
        };
        // The only fault here is the unknown field `more`, which the fast parser must not look into.
        let good = text.replace(&stated, &actual);
        assert!(Kind::Popularity.parse(good.as_bytes()).is_ok());
        let nested = format!("[{{\"more\":1,\"items\":{rows}}}]");
        for field in [" \"items\":", "\"items\" :", "\"\\u0069tems\":"] {
            let changed = good.replace(&format!("\"items\":{rows}"), &format!("{field}{nested}"));
            assert_ne!(changed, good);
            let error = Kind::Popularity.parse(changed.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("unknown field `more`"), "{error}");
        }
        let first = good.replace(&format!(",\"items\":{rows}"), "").replacen(
            '{',
            &format!("{{\"items\":{nested},"),
            1,
        );
        assert!(Kind::Popularity.parse(first.as_bytes()).is_err(), "{first}");
    }

    #[test]
    fn the_layout_of_the_file_does_not_matter_but_every_value_does() {
        let encoded = empty(Kind::Popularity);
        let text = String::from_utf8(encoded.bytes.into()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        assert!(Kind::Popularity.parse(pretty.as_bytes()).is_ok());
        let changed = |from: &str, to: &str| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            Kind::Popularity.parse(changed.as_bytes()).unwrap_err().to_string()
        };
        assert!(changed("\"demo\"", "\"demi\"").contains("its content has version"));
        assert!(
            changed("2026-01-02T00:00:00Z\"}", "2026-01-03T00:00:00Z\"}").contains("its content has version")
        );
        assert!(
            changed("\"items\":[]", "\"items\":[{\"item_id\":\"A\",\"count\":1}]").contains("its content")
        );
        assert!(changed("\"v\":1", "\"v\":2").contains("`v` is not 1"));
        assert!(changed("\"items\":[]", "\"users\":[]").contains("unknown field `users`"));
        assert!(changed(",\"items\":[]", "").contains("missing field `items`"));
        assert!(changed("\"popularity\"", "\"content_sim\"").contains("it says artifact_type"));
        assert!(changed("\"v\":1", "\"v\":1,\"v\":1").contains("duplicate field"));
        assert!(changed("\"build\"", "\"more\":1,\"build\"").contains("unknown field `more`"));
    }
}
