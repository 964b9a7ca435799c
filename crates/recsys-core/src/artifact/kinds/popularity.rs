//! `popularity`: how often each item was shown, or the total weight of its events.

use crate::artifact::content::{Build, Inputs};
use crate::artifact::item_list::{self, ItemCount};
use crate::counts::{self, CountError};
use crate::domain::limit::Limits;
use crate::threads::ordered::Sink;

pub(crate) struct Popularity;

impl Build for Popularity {
    type Row<'a> = ItemCount<'a>;

    const WEIGHS: bool = true;

    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<ItemCount<'a>>,
    ) -> Result<u64, CountError> {
        let events = inputs.events.weighed();
        item_list::finish(&events.items, counts::items(events, inputs.budget)?, limits, sink);
        Ok(0)
    }
}
