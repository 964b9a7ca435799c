//! Which items the filters of a model let through.

use super::{Catalog, CatalogItem};
use crate::columnar::dictionary::Dictionary;
use crate::domain::filters::{Filters, normalised_tag};

/// Filters, with their tags as a catalogue has them.
struct Rule {
    catalog_only: bool,
    available_only: bool,
    tags_any: Tags,
    tags_none: Tags,
}

/// Normalised tags, sorted, so that a list of thousands does not slow the look at each item.
struct Tags(Vec<String>);

impl Tags {
    fn new(tags: &[String]) -> Self {
        let mut tags: Vec<String> = tags.iter().map(|tag| normalised_tag(tag)).collect();
        tags.sort_unstable();
        Self(tags)
    }

    fn meet(&self, tags: &[String]) -> bool {
        tags.iter().any(|tag| self.0.binary_search(tag).is_ok())
    }
}

impl Rule {
    fn new(filters: &Filters) -> Self {
        let Filters { catalog_only, available_only, tags_any, tags_none } = filters;
        Self {
            catalog_only: *catalog_only,
            available_only: *available_only,
            tags_any: Tags::new(tags_any),
            tags_none: Tags::new(tags_none),
        }
    }

    fn allows(&self, item: &CatalogItem) -> bool {
        (item.available || !self.available_only)
            && (self.tags_any.0.is_empty() || self.tags_any.meet(&item.tags))
            && !self.tags_none.meet(&item.tags)
    }

    /// Whether an item that the catalogue does not have passes: it may be available, and it has no tags.
    fn allows_unknown(&self) -> bool {
        !self.catalog_only && self.tags_any.0.is_empty()
    }
}

impl Catalog {
    /// Whether each item of `ids` passes `filters`, by its id; [`Filters`] says what they mean.
    ///
    /// One walk along both sorted lists.
    pub fn allowed(&self, filters: &Filters, ids: &Dictionary) -> Vec<bool> {
        let rule = Rule::new(filters);
        let mut items = self.items.iter().peekable();
        let allowed = ids.iter().map(|id| {
            while items.next_if(|item| item.item_id.as_str() < id).is_some() {}
            match items.next_if(|item| item.item_id == id) {
                Some(item) => rule.allows(item),
                None => rule.allows_unknown(),
            }
        });
        allowed.collect()
    }
}
