//! Names that become path segments: tenant, surface and segment.
//!
//! A name is checked once, when it is created. After that it can safely be joined into a path or key: no value of
//! these types can escape its folder.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

use crate::encoding::json;

/// Maximum length of a name in bytes; every file system accepts a path segment of this length.
pub const MAX_ID_BYTES: usize = 200;

/// The folder below each local root in which documents are prepared. Reserved: no name may equal it.
pub const SCRATCH: &str = ".scratch";

/// The folder of artifacts built without a segment. Reserved: no segment may equal it.
pub const NO_SEGMENT: &str = "_all";

/// Why a name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} {value:?} {reason}")]
pub struct IdError {
    /// The type of name: `tenant`, `surface` or `segment`.
    pub what: &'static str,
    /// The refused value.
    pub value: String,
    /// What is wrong with the value.
    pub reason: &'static str,
}

fn check(what: &'static str, reserved: Option<&str>, value: &str) -> Result<(), IdError> {
    let reason = if value.is_empty() {
        "is empty"
    } else if value.len() > MAX_ID_BYTES {
        "is longer than 200 bytes"
    } else if value != value.trim() {
        "begins or ends with white space"
    } else if value == "." || value == ".." {
        "is a relative path"
    } else if value.contains(['/', '\\']) {
        "contains a path separator"
    } else if value.chars().any(char::is_control) {
        "contains a control character"
    } else if value == SCRATCH || reserved == Some(value) {
        "is a reserved name"
    } else {
        return Ok(());
    };
    Err(IdError { what, value: value.to_owned(), reason })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal, reserved: $reserved:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a name.
            pub fn new(value: impl Into<String>) -> Result<Self, IdError> {
                let value = value.into();
                check($what, $reserved, &value)?;
                Ok(Self(value))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        json::text!($name);
    )*};
}

ids! {
    /// The owner of data. Data of one tenant never reaches another.
    Tenant = "tenant", reserved: None;
    /// A place where recommendations are shown, such as `home`.
    Surface = "surface", reserved: None;
    /// An optional slice of a surface.
    Segment = "segment", reserved: Some(NO_SEGMENT);
}

/// The tenant and surface a job works for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Scope {
    /// The owner of the data.
    pub tenant: Tenant,
    /// The place where recommendations are shown.
    pub surface: Surface,
}

/// `<tenant>/<surface>`, as in messages and keys.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.surface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\0", " a", "a\t", "\u{85}a"] {
            assert!(Tenant::new(bad).is_err(), "{bad:?}");
            assert!(Surface::new(bad).is_err(), "{bad:?}");
            assert!(Segment::new(bad).is_err(), "{bad:?}");
        }
        assert!(Tenant::new("x".repeat(MAX_ID_BYTES)).is_ok());
        assert!(Tenant::new("x".repeat(MAX_ID_BYTES + 1)).is_err());
    }

    #[test]
    fn ordinary_names_pass_as_they_are() {
        for good in ["demo", "shop-1", "a.b", "...", "Größe", "with space", "%2e%2e"] {
            assert_eq!(Tenant::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn only_a_segment_cannot_be_called_all() {
        assert!(Segment::new("_all").is_err());
        assert!(Tenant::new("_all").is_ok());
        assert!(Tenant::new(".scratch").is_err());
        assert!(Segment::new("all").is_ok());
    }
}
