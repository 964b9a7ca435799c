//! Table names given by the user.
//!
//! A name is checked once and then always quoted, so it is safe in a statement.

use std::fmt;
use std::str::FromStr;

use crate::encoding::json;

/// The longest identifier in bytes. Postgres truncates longer ones, and would find another table.
const MAX_BYTES: usize = 63;

/// The name of a table: `table` or `schema.table`, as it was created.
///
/// Each part is a letter or an underscore followed by letters, digits and underscores, and has at most 63 bytes. It is
/// always quoted and so case-sensitive: `Events` is not `events`. Names that need quotes for another reason, such as
/// blanks, are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName(String);

/// The text is not a valid table name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not the name of a table; write table or schema.table, each of letters, digits and underscores, not \
     beginning with a digit, at most 63 bytes"
)]
pub struct IdentifierError(String);

impl TableName {
    /// The quoted name, for use in a statement.
    pub fn quoted(&self) -> String {
        // No part holds a dot.
        format!("\"{}\"", self.0.replace('.', "\".\""))
    }

    /// A fixed name from the code, which needs no check.
    pub fn known(table: &'static str) -> Self {
        Self(table.to_owned())
    }
}

/// Shows the name as it was given, without quotes.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TableName {
    type Err = IdentifierError;

    fn from_str(name: &str) -> Result<Self, IdentifierError> {
        let is_name = name.split('.').count() <= 2 && name.split('.').all(is_identifier);
        if is_name { Ok(Self(name.to_owned())) } else { Err(IdentifierError(name.to_owned())) }
    }
}

json::text!(TableName);

fn is_identifier(part: &str) -> bool {
    part.len() <= MAX_BYTES
        && part.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && part.chars().all(|char| char.is_alphanumeric() || char == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identifiers_pass_and_they_are_quoted() {
        let quoted = |name: &str| name.parse::<TableName>().map(|name| name.quoted()).unwrap();
        assert_eq!(quoted("exposure_events"), r#""exposure_events""#);
        assert_eq!(quoted("_Logs.Events2"), r#""_Logs"."Events2""#);
        assert_eq!(quoted("straße.größe"), r#""straße"."größe""#);
        assert_eq!(quoted(&"x".repeat(63)).len(), 65);
        let too_long = "x".repeat(64);
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "2a",
            "a.2b",
            "a b",
            "a-b",
            "a;drop table b",
            "\"a\"",
            "a\"",
            "a'",
            "a\0",
            " a",
            "a\n",
            &too_long,
        ] {
            assert_eq!(bad.parse::<TableName>(), Err(IdentifierError(bad.to_owned())), "{bad:?}");
        }
    }
}
