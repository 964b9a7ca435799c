//! `popularity`: how often each item was shown, or the total weight of its events.

use crate::artifact::content::{Build, BuildCounts, Inputs};
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
    ) -> Result<BuildCounts, CountError> {
        let events = inputs.events.weighed();
        let counts = counts::items(events, inputs.budget)?;
        match inputs.events.faded() {
            None => item_list::finish(&events.items, counts, limits, sink),
            Some(faded) => {
                let scores = counts::items(faded, inputs.budget)?;
                item_list::finish_faded(&events.items, &counts, &scores, limits, sink);
            }
        }
        Ok(BuildCounts::default())
    }
}
