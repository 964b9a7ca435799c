//! `popularity`: how often each item was shown, or what its events weigh.

use serde::Deserialize;

use super::content::{BuildError, Defect, Inputs, KindPayload, Source};
use super::item_count::{ItemCount, item_count};
use super::outline::{Items, Outline, Weight};
use super::ranking::{check_ranked, keep_best};
use super::sink::{self, Sink};
use crate::columnar::dictionary::number;
use crate::columnar::pair::{high, pair};
use crate::columnar::spill::{Budget, Counted, Tally, Weighed};
use crate::domain::limit::Limits;
use crate::storage::StoreError;
use crate::table::events::EventTable;

/// Items by count descending, then item id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<ItemCount<'a>>);

/// What the events of each user weigh for each item: pairs of item and user. Events without a user are those of a user of
/// their session.
fn by_user(table: &EventTable, budget: &Budget) -> Result<Counted<Weighed>, StoreError> {
    let mut tally = Tally::new(budget, budget.user_items());
    let first_session = number(table.users.len());
    table.for_each(|events| {
        let weight = events.weight;
        for ((item, user), session) in events.item.iter().zip(events.user).zip(events.session) {
            let user = user.checked_sub(1).unwrap_or_else(|| first_session + session);
            tally.push(Weighed { key: pair(*item, user), weight })?;
        }
        Ok::<_, StoreError>(())
    })?;
    tally.finish()
}

impl<'a> KindPayload<'a> for Payload<'a> {
    type Row = ItemCount<'a>;

    const FIELD: &'static str = "items";
    const SOURCE: Source = Source::Events;
    const WEIGHS: bool = true;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    /// Adds up the weights of the events of each item; keeps the first `max_items_per_artifact`.
    fn build(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row>,
    ) -> Result<u64, BuildError> {
        let table = inputs.events.weighed();
        let mut counts = vec![0u64; table.items.len()];
        // The table has checked that no sum overflows.
        if let Some(cap) = table.cap {
            by_user(table, inputs.budget)?.for_each(|key, sum| {
                counts[high(key) as usize] += sum.min(cap.get());
                Ok::<_, StoreError>(())
            })?;
        } else {
            table.for_each(|events| {
                for item in events.item {
                    counts[*item as usize] += events.weight;
                }
                Ok::<_, StoreError>(())
            })?;
        }
        let mut ranked: Vec<(u32, u64)> = (0..).zip(counts).collect();
        keep_best(&mut ranked, limits.max_items_per_artifact);
        sink::map(&ranked, |(item, count)| item_count(&table.items, *item, *count), sink);
        Ok(0)
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_ranked(|| "items".to_owned(), self.0.iter().map(ItemCount::scored))?;
        Ok(limits.check_cut("max_items_per_artifact", limits.max_items_per_artifact, self.0.len())?)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    /// The weight of an item is its count.
    fn outline(&self) -> Outline<'_> {
        let weights = self.0.iter().map(|item| (&*item.item_id, Weight::from(item.count)));
        Outline { items: Items::weighed(weights), rows: None }
    }
}
