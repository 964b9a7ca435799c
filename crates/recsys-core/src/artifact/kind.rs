//! The kinds of artifacts. To add one, add a file in `kinds/` and a line to the list here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::models::ModelKind;

/// Passes the list of kinds to a macro: documentation, name, building module and shape of the rows.
macro_rules! each_kind {
    ($with:ident) => {
        $with! {
            /// How often each item was shown.
            Popularity = "popularity" in popularity as item_list::ItemCount;
            /// Which items occur together in a session.
            Cooc = "cooc" in cooc as neighbors::Neighbors;
            /// How often each user was shown each item.
            Implicit = "implicit" in implicit as user_lists::UserItems;
            /// The tags of each catalogue item.
            ContentSim = "content_sim" in content_sim as tagged_items::TaggedItem;
            /// Which items each user was shown after another one, and how often.
            SessionSeq = "session_seq" in session_seq as user_lists::UserItems;
        }
    };
}
pub(super) use each_kind;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $module:ident as $shape:ident::$row:ident;)*) => {
        /// The kind of an artifact.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name used in paths, documents and settings.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

each_kind!(kinds);

impl Kind {
    /// The kind as a view of an item-to-item model; none for kinds that are not.
    pub fn of_model(self) -> Option<ModelKind> {
        match self {
            Self::Cooc => Some(ModelKind::Cooc),
            Self::Implicit => Some(ModelKind::Implicit),
            Self::SessionSeq => Some(ModelKind::SessionSeq),
            Self::Popularity | Self::ContentSim => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name is not that of a kind.
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
