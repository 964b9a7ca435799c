//! Rows: what the shapes of content have in common.
//!
//! The content of every kind is one list of rows, and every row is an object of an id and one value.

use serde::Deserialize;

use super::document_reader::FastRead;
use super::encode::Encode;
use super::outline::{Outline, RowsOf};
use crate::domain::limit::{LimitExceeded, Limits};

/// A defect in the content of an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// The content breaks a rule of its kind.
    #[error("{0}")]
    Content(String),
    /// The content exceeds a limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// A row, and the rules of a list of them.
pub(crate) trait Row<'a>: Encode + FastRead<'a> + Deserialize<'a> {
    /// The field that holds the rows.
    const FIELD: &'static str;
    /// Whether rows belong to items or users.
    const ROWS: RowsOf = RowsOf::Items;

    /// Checks order, scores and limits.
    fn check(rows: &[Self], limits: &Limits) -> Result<(), Defect>;

    /// The ranked lists of items, each with the item or user it belongs to; empty if nothing is ranked.
    fn lists(_rows: &[Self]) -> Vec<(&str, Vec<&str>)> {
        Vec::new()
    }

    /// The items and rows that comparisons use.
    fn outline(rows: &[Self]) -> Outline<'_>;
}

/// How an object of an id and one value is written and read, and one more value that may be absent.
macro_rules! object_of_two {
    ($row:ident, $id:ident, $value:ident $(, optional $extra:ident)?) => {
        $crate::encoding::json::object!($row<'a>);

        impl $crate::artifact::encode::Encode for $row<'_> {
            fn push(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(concat!("{\"", stringify!($id), "\":").as_bytes());
                $crate::artifact::encode::Encode::push(&self.$id, out);
                out.extend_from_slice(concat!(",\"", stringify!($value), "\":").as_bytes());
                $crate::artifact::encode::Encode::push(&self.$value, out);
                $(if let Some(extra) = &self.$extra {
                    out.extend_from_slice(concat!(",\"", stringify!($extra), "\":").as_bytes());
                    $crate::artifact::encode::Encode::push(extra, out);
                })?
                out.push(b'}');
            }
        }

        impl<'a> $crate::artifact::document_reader::FastRead<'a> for $row<'a> {
            fn read(text: &mut $crate::artifact::document_reader::DocumentScanner<'a>) -> Option<Self> {
                text.take(concat!("{\"", stringify!($id), "\":").as_bytes())?;
                let $id = $crate::artifact::document_reader::FastRead::read(text)?;
                text.take(concat!(",\"", stringify!($value), "\":").as_bytes())?;
                let $value = $crate::artifact::document_reader::FastRead::read(text)?;
                $(let $extra = match text.take(concat!(",\"", stringify!($extra), "\":").as_bytes()) {
                    Some(()) => Some($crate::artifact::document_reader::FastRead::read(text)?),
                    None => None,
                };)?
                text.take(b"}")?;
                Some(Self { $id, $value $(, $extra)? })
            }
        }
    };
}
pub(super) use object_of_two;
