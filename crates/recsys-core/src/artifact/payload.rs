//! The content of any kind, and parsed artifacts.

use super::content::{Build, Built, Content, Defect, Inputs, Source};
use super::document::{self, BuildInfo, DocumentError, Draft};
use super::encode::Encoder;
use super::key::ArtifactKey;
use super::kind::{Kind, each_kind};
use super::outline::{Outline, RowsOf};
use crate::counts::CountError;
use crate::domain::id::Scope;
use crate::domain::limit::Limits;

macro_rules! payloads {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $module:ident as $shape:ident::$content:ident;)*) => {
        /// The content of an artifact, by kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Payload<'a> {
            $($(#[$doc])* $variant(super::$shape::$content<'a>),)*
        }

        impl Kind {
            /// The input the kind is built from.
            pub fn source(self) -> Source {
                match self { $(Self::$variant => <super::kinds::$module::$variant as Build>::SOURCE),* }
            }

            /// Whether the rows belong to items or users.
            pub fn rows_of(self) -> RowsOf {
                match self { $(Self::$variant => <super::$shape::$content as Content>::ROWS),* }
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
            ) -> Result<Built<Payload<'a>>, CountError> {
                match self {
                    $(Self::$variant => {
                        let mut rows = Vec::new();
                        let skipped_sessions = super::kinds::$module::$variant::build(inputs, limits, &mut rows)?;
                        Ok(Built { content: Payload::$variant(Content::of(rows)), skipped_sessions })
                    })*
                }
            }

            /// Builds the document of `key`, which must be of this kind.
            fn draft(
                self,
                key: &ArtifactKey,
                inputs: &Inputs<'_>,
                limits: &Limits,
            ) -> Result<Built<Draft>, CountError> {
                match self {
                    $(Self::$variant => document::draft::<super::kinds::$module::$variant>(key, inputs, limits),)*
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
                match self { $(Self::$variant(payload) => payload.rows().len()),* }
            }

            /// Whether there are no rows.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Checks what the schema cannot express: order, positive scores, limits.
            pub fn check(&self, limits: &Limits) -> Result<(), Defect> {
                match self { $(Self::$variant(payload) => payload.check(limits)),* }
            }

            /// The items and rows that comparisons use.
            pub fn outline(&self) -> Outline<'_> {
                match self { $(Self::$variant(payload) => payload.outline()),* }
            }

            /// The ranked lists of items, each with the item or user it belongs to.
            pub(super) fn lists(&self) -> Vec<(&str, Vec<&str>)> {
                match self { $(Self::$variant(payload) => payload.lists()),* }
            }

            /// The name of the field that holds the content.
            fn field(&self) -> &'static str {
                match self { $(Self::$variant(_) => <super::$shape::$content as Content>::FIELD),* }
            }

            /// Passes the rows to `encoder`.
            fn encode(&self, encoder: &mut Encoder<'_>) {
                match self { $(Self::$variant(payload) => document::encode(payload.rows(), encoder)),* }
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

impl Draft {
    /// Builds an artifact directly as a document, so that its content is only in memory as text.
    pub fn build(key: &ArtifactKey, inputs: &Inputs<'_>, limits: &Limits) -> Result<Built<Self>, CountError> {
        key.kind.draft(key, inputs, limits)
    }

    /// Encodes content and computes its version in one pass.
    pub fn new(key: &ArtifactKey, payload: &Payload<'_>) -> Self {
        Self::fill(key, payload.kind(), payload.field(), |encoder| payload.encode(encoder)).0
    }
}

/// Computes the version of an artifact's content.
pub fn version(key: &ArtifactKey, payload: &Payload<'_>) -> String {
    document::version_of(key, payload.kind(), payload.field(), |encoder| payload.encode(encoder))
}

/// Parses an artifact whose content is `P`, and verifies its version.
fn parse<'a, P: Content<'a>>(
    kind: Kind,
    bytes: &'a [u8],
    payload: fn(P) -> Payload<'a>,
) -> Result<Artifact<'a>, DocumentError> {
    let wire = document::read::<P>(bytes).map_err(|problem| DocumentError::Schema { kind, problem })?;
    if wire.artifact_type != kind.as_str() {
        return Err(DocumentError::OtherKind(wire.artifact_type));
    }
    let scope = Scope { tenant: wire.tenant, surface: wire.surface };
    let key = ArtifactKey { kind, scope, segment: wire.segment, window: wire.window };
    let artifact = Artifact { key, payload: payload(wire.payload), build: wire.build };
    let actual = version(&artifact.key, &artifact.payload);
    if actual != artifact.build.version {
        return Err(DocumentError::Version { stated: artifact.build.version, actual });
    }
    Ok(artifact)
}
