//! The list of artifact kinds. A new kind is a module with a `Payload`, and a line here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::compare::{Outline, RowsOf};
use super::document::{self, Artifact, Draft};
use super::sink::Encoder;
use super::{ArtifactKey, BuildError, Built, Defect, DocumentError, Inputs, KindPayload, Source};
use crate::domain::limit::Limits;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $module:ident;)*) => {
        /// What an artifact holds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        /// The content of an artifact.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Payload<'a> {
            $($(#[$doc])* $variant(super::$module::Payload<'a>),)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in paths, documents and settings.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What the kind is built from.
            pub fn source(self) -> Source {
                match self { $(Self::$variant => <super::$module::Payload as KindPayload>::SOURCE),* }
            }

            /// Whom its rows are of.
            pub fn rows_of(self) -> RowsOf {
                match self { $(Self::$variant => <super::$module::Payload as KindPayload>::ROWS),* }
            }

            /// Whether it counts weighted events, outcomes among them, rather than exposures alone.
            pub fn weighs(self) -> bool {
                match self { $(Self::$variant => <super::$module::Payload as KindPayload>::WEIGHS),* }
            }

            /// Builds the content.
            pub fn build<'a>(
                self,
                inputs: &Inputs<'a>,
                limits: &Limits,
            ) -> Result<Built<Payload<'a>>, BuildError> {
                match self {
                    $(Self::$variant => {
                        let mut rows = Vec::new();
                        let skipped_sessions = super::$module::Payload::build(inputs, limits, &mut rows)?;
                        Ok(Built { content: Payload::$variant(KindPayload::of(rows)), skipped_sessions })
                    })*
                }
            }

            /// Builds the document of `key`, which is of this kind.
            pub(super) fn draft(
                self,
                key: &ArtifactKey,
                inputs: &Inputs<'_>,
                limits: &Limits,
            ) -> Result<Built<Draft>, BuildError> {
                match self {
                    $(Self::$variant => document::draft::<super::$module::Payload>(key, inputs, limits),)*
                }
            }

            /// Reads an artifact that should be of this kind.
            pub fn parse(self, bytes: &[u8]) -> Result<Artifact<'_>, DocumentError> {
                match self {
                    $(Self::$variant => document::parse(self, bytes, Payload::$variant)),*
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

            /// The field that holds the content.
            pub(super) fn field(&self) -> &'static str {
                match self { $(Self::$variant(_) => <super::$module::Payload as KindPayload>::FIELD),* }
            }

            /// Hands the rows to `encoder`.
            pub(super) fn encode(&self, encoder: &mut Encoder<'_>) {
                match self { $(Self::$variant(payload) => document::encode(payload.rows(), encoder)),* }
            }
        }
    };
}

kinds! {
    /// How often each item was shown.
    Popularity = "popularity" in popularity;
    /// Which items occur together in a session.
    Cooc = "cooc" in cooc;
    /// How often each user was shown each item.
    Implicit = "implicit" in implicit;
    /// The tags of each item of the catalogue.
    ContentSim = "content_sim" in content_sim;
    /// What each user was shown after something else.
    SessionSeq = "session_seq" in session_seq;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not one of a kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not an artifact kind; the kinds are popularity, cooc, implicit, content_sim and session_seq"
)]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let kind = Self::ALL.iter().find(|kind| kind.as_str() == name);
        kind.copied().ok_or_else(|| UnknownKind(name.to_owned()))
    }
}
