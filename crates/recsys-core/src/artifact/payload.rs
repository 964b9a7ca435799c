//! The content of any kind, and parsed artifacts.

use super::content::{Build, BuildCounts, BuiltFrom, Inputs};
use super::document::{self, ArtifactKey, BuildInfo, Descriptor, DocumentError, Draft};
use super::encode::Encoder;
use super::kind::{Kind, each_kind};
use super::outline::{Outline, RowsOf};
use super::row::{Defect, Row};
use crate::counts::CountError;
use crate::domain::limit::Limits;
use crate::threads::ordered;

macro_rules! payloads {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $module:ident as $shape:ident::$row:ident;)*) => {
        /// The content of an artifact, by kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Payload<'a> {
            $($(#[$doc])* $variant(Vec<super::$shape::$row<'a>>),)*
        }

        impl Kind {
            /// The input the kind is built from.
            pub fn built_from(self) -> BuiltFrom {
                match self { $(Self::$variant => <super::kinds::$module::$variant as Build>::BUILT_FROM),* }
            }

            /// Whether the rows belong to items or users.
            pub fn rows_of(self) -> RowsOf {
                match self { $(Self::$variant => <super::$shape::$row as Row>::ROWS),* }
            }

            /// Whether the kind counts weighted events, including outcomes, instead of exposures only.
            pub fn weighs(self) -> bool {
                match self { $(Self::$variant => <super::kinds::$module::$variant as Build>::WEIGHS),* }
            }

            /// Builds the content in memory.
            pub fn build<'a>(
                self,
                inputs: &Inputs<'a>,
                limits: &Limits,
            ) -> Result<(Payload<'a>, BuildCounts), CountError> {
                match self {
                    $(Self::$variant => {
                        let mut rows = Vec::new();
                        let counts = super::kinds::$module::$variant::build(inputs, limits, &mut rows)?;
                        Ok((Payload::$variant(rows), counts))
                    })*
                }
            }

            /// Parses an artifact that should be of this kind, and verifies its version.
            pub fn parse(self, bytes: &[u8]) -> Result<Artifact<'_>, DocumentError> {
                match self {
                    $(Self::$variant => parse(self, bytes, Payload::$variant)),*
                }
            }
        }

        impl Payload<'_> {
            /// The kind of this content.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant),* }
            }

            /// Number of rows in the outermost list: items, users …
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(rows) => rows.len()),* }
            }

            /// Whether there are no rows.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Checks what the schema cannot express: order, positive scores, limits.
            pub fn check(&self, limits: &Limits) -> Result<(), Defect> {
                match self { $(Self::$variant(rows) => Row::check(rows, limits)),* }
            }

            /// The items and rows that comparisons use.
            pub fn outline(&self) -> Outline<'_> {
                match self { $(Self::$variant(rows) => Row::outline(rows)),* }
            }

            /// The ranked lists of items, each with the item or user it belongs to.
            pub(super) fn lists(&self) -> Vec<(&str, Vec<&str>)> {
                match self { $(Self::$variant(rows) => Row::lists(rows)),* }
            }

            /// The name of the field that holds the content.
            fn field(&self) -> &'static str {
                match self { $(Self::$variant(_) => <super::$shape::$row as Row>::FIELD),* }
            }

            /// Passes the rows to `encoder`.
            fn encode(&self, encoder: &mut Encoder<'_>) {
                match self { $(Self::$variant(rows) => ordered::map(rows, |row| row, encoder)),* }
            }
        }

        impl Draft {
            /// Builds an artifact directly as a document, so that its content is only in memory as text.
            pub fn build(
                key: &ArtifactKey,
                inputs: &Inputs<'_>,
                limits: &Limits,
            ) -> Result<(Self, BuildCounts), CountError> {
                match key.kind {
                    $(Kind::$variant => {
                        let (draft, counts) = Self::fill(key, <super::$shape::$row as Row>::FIELD, |encoder| {
                            super::kinds::$module::$variant::build(inputs, limits, encoder)
                        });
                        Ok((draft, counts?))
                    })*
                }
            }
        }
    };
}

each_kind!(payloads);

/// A parsed artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact<'a> {
    /// The key as stated in the document.
    pub key: ArtifactKey,
    /// The content.
    pub payload: Payload<'a>,
    /// How and when it was built.
    pub build: BuildInfo,
}

impl Artifact<'_> {
    /// What is known of it without its content; `bytes` is the size of the document.
    pub fn descriptor(self, bytes: usize) -> Descriptor {
        let rows = self.payload.len() as u64;
        Descriptor { key: self.key, build: self.build, rows, bytes: bytes as u64 }
    }
}

impl Draft {
    /// Encodes content and computes its version in one pass.
    pub fn new(key: &ArtifactKey, payload: &Payload<'_>) -> Self {
        Self::fill(key, payload.field(), |encoder| payload.encode(encoder)).0
    }
}

/// Computes the version of an artifact's content.
pub fn version(key: &ArtifactKey, payload: &Payload<'_>) -> String {
    document::encode_open(key, payload.field(), |_| {}, |encoder| payload.encode(encoder)).0
}

/// Parses an artifact whose rows are `R`, and verifies its version.
fn parse<'a, R: Row<'a>>(
    kind: Kind,
    bytes: &'a [u8],
    payload: fn(Vec<R>) -> Payload<'a>,
) -> Result<Artifact<'a>, DocumentError> {
    let wire = document::read::<R>(bytes).map_err(|problem| DocumentError::Schema(kind, problem))?;
    if wire.artifact_type != kind.as_str() {
        return Err(DocumentError::OtherKind(wire.artifact_type));
    }
    let key = ArtifactKey { kind, scope: wire.scope, segment: wire.segment, window: wire.window };
    let artifact = Artifact { key, payload: payload(wire.rows), build: wire.build };
    let actual = version(&artifact.key, &artifact.payload);
    if actual != artifact.build.version {
        return Err(DocumentError::Version { stated: artifact.build.version, actual });
    }
    Ok(artifact)
}
