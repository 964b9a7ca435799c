//! An item and its count.

use std::borrow::Cow;

use serde::Deserialize;

use super::encode::Encode;
use super::plain::{Cursor, Plain};
use crate::columnar::dictionary::Dictionary;
use crate::encoding::json;

/// An item and how often it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemCount<'a> {
    /// The item.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// How often.
    pub count: u64,
}

json::object!(ItemCount<'a>);

impl Encode for ItemCount<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"count\":");
        json::push(out, &self.count);
        out.push(b'}');
    }
}

impl<'a> Plain<'a> for ItemCount<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"count\":")?;
        let count = text.integer()?.into();
        text.take(b"}")?;
        Some(Self { item_id, count })
    }
}

impl ItemCount<'_> {
    #[allow(clippy::cast_precision_loss, reason = "compared for order only; no count reaches 2^53")]
    pub(super) fn scored(&self) -> (&str, f64) {
        (&self.item_id, self.count as f64)
    }
}

pub(super) fn item_count(items: &Dictionary, item: u32, count: u64) -> ItemCount<'_> {
    ItemCount { item_id: Cow::Borrowed(items.get(item)), count }
}
