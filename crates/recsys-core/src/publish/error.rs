//! Why a publish fails, in words and in its class.

use super::blob::BlobError;
use super::checked::Unfit;
use super::registry::RegistryError;
use crate::artifact::Kind;
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::domain::share::{Fraction, Move, Share};
use crate::storage::StoreError;

/// Why a publish failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob, just written or already there, is not the artifact to publish.
    #[error("blob {uri} cannot be published: {problem}; move it away and publish again")]
    Blob {
        /// URI of the blob.
        uri: String,
        /// What is wrong with it.
        problem: Unfit,
    },
    /// A blob or record, just written or already there, is gone.
    #[error("{0} has vanished while it was published; publish again")]
    Vanished(String),
    /// The registry cannot be read, or its manifest cannot be swapped.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The artifact has no rows, but the current one has.
    #[error(
        "the new {0} is empty and the current one is not; if that is right, set validation.min_events to 0"
    )]
    Empty(Kind),
    /// The first popularity has no rows: there was no event.
    #[error(
        "the new {popularity} is empty, and nothing is current for {0} yet; are tenant and surface right? if they are, and \
         this is right, too, set validation.min_events to 0",
        popularity = Kind::Popularity
    )]
    EmptyFirst(Box<Scope>),
    /// Neither the record nor the blob of the current artifact, at this URI, can be read.
    #[error(
        "cannot tell the window of the current {0} ({1}): it has neither a record nor a blob; \
             pass --allow-older-window to replace it all the same"
    )]
    UnknownCurrent(Kind, String),
    /// The figures of the artifact differ by more than this share from those of the current one.
    #[error(
        "gate max_artifact_change refused {0}: {moves}, more than {2} of what is current; blob and record are \
         stored and what is current stays; if this is right, pass --allow-large-change",
        moves = .1.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Changed(Kind, Vec<Move>, Share),
    /// Too many of the artifact's first items differ from those of the current one.
    #[error(
        "gate max_top_change refused {kind}: {changed} of the first {of} items are others than those of the current one{}, more \
         than {most} of them; blob and record are stored and what is current stays; if this is right, pass \
         --allow-large-change",
        named(.entered)
    )]
    TopChanged {
        /// Kind of the artifact.
        kind: Kind,
        /// Items that are new among the first. May be empty if there are fewer items than before.
        entered: Vec<String>,
        /// How many of the first items are not in both artifacts.
        changed: usize,
        /// How many first items were compared.
        of: usize,
        /// The largest share of the first items that may differ.
        most: Fraction,
    },
    /// The current artifact is not in this publisher's object store, so nothing can be compared.
    #[error(
        "cannot compare the new {0} with the current one; pass --allow-large-change to publish all the same"
    )]
    Incomparable(Kind, #[source] BlobError),
    /// The current artifact is of another segment.
    #[error(
        "the current {kind} is of segment {current}, this one is of {new}; \
             pass --switch-segment to replace it"
    )]
    SegmentSwitch {
        /// Kind of the artifact.
        kind: Kind,
        /// Segment of the current artifact.
        current: String,
        /// Segment of the new artifact.
        new: String,
    },
}

impl PublishError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Vanished(_) => Some(Class::Transient),
            Self::Blob { problem, .. } => Some(problem.class()),
            Self::Registry(error) => error.class(),
            Self::Empty(..) | Self::EmptyFirst(..) | Self::Changed(..) | Self::TopChanged { .. } => {
                Some(Class::Refused)
            }
            Self::UnknownCurrent(..) | Self::Incomparable(..) | Self::SegmentSwitch { .. } => {
                Some(Class::Usage)
            }
        }
    }
}

/// Names the first few items, for a message.
fn named(items: &[String]) -> String {
    const NAMED: usize = 3;
    let named: Vec<String> = items.iter().take(NAMED).map(|item| format!("{item:?}")).collect();
    match items.len() {
        0 => String::new(),
        count if count > NAMED => format!(" (new: {} and {} more)", named.join(", "), count - NAMED),
        _ => format!(" (new: {})", named.join(", ")),
    }
}
