//! `content_sim`: the tags of each catalogue item.

use std::borrow::Cow;

use crate::artifact::content::{Build, BuildCounts, BuiltFrom, Inputs};
use crate::artifact::tagged_items::TaggedItem;
use crate::counts::CountError;
use crate::domain::limit::Limits;
use crate::input::catalog::CatalogItem;
use crate::threads::ordered::{self, Sink};

pub(crate) struct ContentSim;

impl Build for ContentSim {
    type Row<'a> = TaggedItem<'a>;

    const BUILT_FROM: BuiltFrom = BuiltFrom::Catalog;

    /// Takes the catalogue items that have at least one tag.
    fn build<'a>(
        inputs: &Inputs<'a>,
        _: &Limits,
        sink: &mut impl Sink<TaggedItem<'a>>,
    ) -> Result<BuildCounts, CountError> {
        let tagged: Vec<_> = inputs.catalog.items.iter().filter(|item| !item.tags.is_empty()).collect();
        let row = |item: &'a CatalogItem| TaggedItem {
            item_id: Cow::Borrowed(item.item_id.as_str()),
            tags: item.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect(),
        };
        ordered::map(&tagged, |item| row(item), sink);
        Ok(BuildCounts::default())
    }
}
