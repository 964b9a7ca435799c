//! The content of an artifact of any kind, and the artifact that is read back.

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
        /// The content of an artifact.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Payload<'a> {
            $($(#[$doc])* $variant(super::$shape::$content<'a>),)*
        }

        impl Kind {
            /// What the kind is built from.
            pub fn source(self) -> Source {
                match self { $(Self::$variant => <super::kinds::$module::$variant as Build>::SOURCE),* }
            }

            /// Whom its rows are of.
            pub fn rows_of(self) -> RowsOf {
                match self { $(Self::$variant => <super::$shape::$content as Content>::ROWS),* }
            }

            /// Whether it counts weighted events, outcomes among them, rather than exposures alone.
            pub fn weighs(self) -> bool {
                match self { $(Self::$variant => <super::kinds::$module::$variant as Build>::WEIGHS),* }
            }

            /// Builds the content.
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

            /// Builds the document of `key`, which is of this kind.
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

            /// Reads an artifact that should be of this kind.
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

            /// Rows of the outermost list: items, users …
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(payload) => payload.rows().len()),* }
            }

            /// Whether there is not one row.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Checks what the schema cannot: order, positive scores, limits.
            pub fn check(&self, limits: &Limits) -> Result<(), Defect> {
                match self { $(Self::$variant(payload) => payload.check(limits)),* }
            }

            /// What a comparison with another artifact of the kind sees of it.
            pub fn outline(&self) -> Outline<'_> {
                match self { $(Self::$variant(payload) => payload.outline()),* }
            }

            /// Its ranked lists of items, each by the item or user that it is for.
            pub(super) fn lists(&self) -> Vec<(&str, Vec<&str>)> {
                match self { $(Self::$variant(payload) => payload.lists()),* }
            }

            /// The field that holds the content.
            fn field(&self) -> &'static str {
                match self { $(Self::$variant(_) => <super::$shape::$content as Content>::FIELD),* }
            }

            /// Hands the rows to `encoder`.
            fn encode(&self, encoder: &mut Encoder<'_>) {
                match self { $(Self::$variant(payload) => document::encode(payload.rows(), encoder)),* }
            }
        }
    };
}

each_kind!(payloads);

/// An artifact that was read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact<'a> {
    /// What it is of.
    pub key: ArtifactKey,
    /// The content.
    pub payload: Payload<'a>,
    /// How it came to be.
    pub build: BuildInfo,
}

impl Draft {
    /// Builds an artifact as a document, whose content is never in memory as a whole but as text.
    pub fn build(key: &ArtifactKey, inputs: &Inputs<'_>, limits: &Limits) -> Result<Built<Self>, CountError> {
        key.kind.draft(key, inputs, limits)
    }

    /// Encodes an artifact and computes its version, in one pass over the content.
    pub fn new(key: &ArtifactKey, payload: &Payload<'_>) -> Self {
        Self::fill(key, payload.kind(), payload.field(), |encoder| payload.encode(encoder)).0
    }
}

/// The version of an artifact's content.
pub fn version(key: &ArtifactKey, payload: &Payload<'_>) -> String {
    document::version_of(key, payload.kind(), payload.field(), |encoder| payload.encode(encoder))
}

/// Reads an artifact of the kind whose content is `P`, and recomputes its version.
fn parse<'a, P: Content<'a>>(
    kind: Kind,
    bytes: &'a [u8],
    payload: fn(P) -> Payload<'a>,
) -> Result<Artifact<'a>, DocumentError> {
    let wire = document::read::<P>(bytes).map_err(|source| DocumentError::Schema { kind, source })?;
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
