//! Which items filters let through.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::columnar::dictionary::{Dictionary, Interner, union};
use recsys_core::domain::filters::Filters;
use recsys_core::input::catalog::{Catalog, CatalogItem};
use recsys_testkit::seed::cases;

use super::{Csv, Jsonl, read};

/// The items `ids` as a window has them, in the order of their bytes.
fn dictionary<'a>(ids: impl IntoIterator<Item = &'a str>) -> Dictionary {
    let mut interner = Interner::default();
    for id in ids {
        interner.intern(id);
    }
    union(&[&interner.into_strings()]).0
}

/// The ids of the items that pass, in one text.
fn passing(catalog: &Catalog, filters: &str, ids: &[&str]) -> String {
    let filters: Filters = serde_json::from_str(filters).unwrap();
    let ids = dictionary(ids.iter().copied());
    let allowed = catalog.allowed(&filters, &ids);
    assert_eq!(allowed.len(), ids.len());
    ids.iter().zip(allowed).filter_map(|(id, is)| is.then_some(id)).collect::<Vec<_>>().join(" ")
}

/// `b` has no tags, `d` is not available, `e` is another surface's, and nothing is known of `_`, `c` and `z`. Nobody
/// has seen `a2`.
const SHOP: &str = "id,tags,available,surface\n\
                    d,Shoe|sale,no,home\n\
                    a,Shoe;red,yes,\n\
                    a2,red,,\n\
                    b,,,home\n\
                    e,shoe,1,cart\n\
                    f, ON  SALE | É ,,\n";
const SEEN: [&str; 8] = ["z", "f", "e", "d", "c", "b", "a", "_"];

#[test]
fn each_filter_alone() {
    let shop = read(Csv, SHOP).unwrap();
    for (filters, expected) in [
        ("{}", "_ a b c d e f z"),
        (r#"{"catalog_only":true}"#, "a b d f"),
        (r#"{"available_only":true}"#, "_ a b c e f z"),
        (r#"{"tags_any":["shoe"]}"#, "a d"),
        (r#"{"tags_any":["sale","red"]}"#, "a d"),
        (r#"{"tags_any":["sale"]}"#, "d"),
        (r#"{"tags_any":["none such"]}"#, ""),
        (r#"{"tags_none":["shoe"]}"#, "_ b c e f z"),
        (r#"{"tags_none":["red","sale"]}"#, "_ b c e f z"),
        (r#"{"tags_none":["red"]}"#, "_ b c d e f z"),
        (r#"{"tags_none":["none such"]}"#, "_ a b c d e f z"),
    ] {
        assert_eq!(passing(&shop, filters, &SEEN), expected, "{filters}");
    }
}

#[test]
fn an_item_passes_all_filters_or_none() {
    let shop = read(Csv, SHOP).unwrap();
    for (filters, expected) in [
        (r#"{"catalog_only":true,"available_only":true}"#, "a b f"),
        (r#"{"available_only":true,"tags_any":["shoe"]}"#, "a"),
        (r#"{"catalog_only":true,"tags_none":["shoe"]}"#, "b f"),
        // A tag that is wanted and unwanted is unwanted.
        (r#"{"tags_any":["shoe"],"tags_none":["shoe"]}"#, ""),
        (r#"{"tags_any":["shoe"],"tags_none":["sale"]}"#, "a"),
        (r#"{"tags_any":["shoe","é"],"tags_none":["red"],"available_only":true}"#, "f"),
    ] {
        assert_eq!(passing(&shop, filters, &SEEN), expected, "{filters}");
    }
}

/// Trimmed and lower-cased on both sides; blanks within a tag count, and so do all its letters.
#[test]
fn tags_are_compared_as_the_catalogue_has_them() {
    let shop = read(Csv, SHOP).unwrap();
    for tag in ["SHOE", " Shoe ", "\u{a0}sHOE"] {
        assert_eq!(passing(&shop, &format!("{{\"tags_any\":[\"{tag}\"]}}"), &SEEN), "a d", "{tag:?}");
    }
    for (tag, expected) in
        [("on  sale", "f"), ("on sale", ""), ("É", "f"), ("e", ""), ("sho", ""), ("shoes", "")]
    {
        assert_eq!(passing(&shop, &format!("{{\"tags_any\":[\"{tag}\"]}}"), &SEEN), expected, "{tag:?}");
    }
    // In JSON a tag is not split, and neither is that of a filter.
    let json = read(Jsonl, "{\"item_id\":\"a\",\"tags\":[\"x|Y\"]}").unwrap();
    assert_eq!(passing(&json, r#"{"tags_any":["X|y"]}"#, &["a"]), "a");
    assert_eq!(passing(&json, r#"{"tags_any":["x"]}"#, &["a"]), "");
}

/// An id is a text: neither case nor blanks within make another one of it.
#[test]
fn items_that_look_alike_are_different_items() {
    let catalog = read(Csv, "id,available\nsku-1,no\n a b ,no\n").unwrap();
    let ids = ["sku-1", "SKU-1", "sku-10", "sku", "sku-1 ", "ab", "a b", "a  b"];
    assert_eq!(passing(&catalog, r#"{"available_only":true}"#, &ids), "SKU-1 a  b ab sku sku-1  sku-10");
    assert_eq!(passing(&catalog, r#"{"catalog_only":true}"#, &ids), "a b sku-1");
}

#[test]
fn without_a_catalogue_or_without_items() {
    let none = Catalog::default();
    assert_eq!(passing(&none, "{}", &["a", "b"]), "a b");
    assert_eq!(passing(&none, r#"{"available_only":true,"tags_none":["x"]}"#, &["a", "b"]), "a b");
    assert_eq!(passing(&none, r#"{"catalog_only":true}"#, &["a", "b"]), "");
    assert_eq!(passing(&none, r#"{"tags_any":["x"]}"#, &["a", "b"]), "");
    assert_eq!(passing(&read(Csv, SHOP).unwrap(), r#"{"catalog_only":true}"#, &[]), "");
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    vec(select(&["x", "y", "z"][..]).prop_map(ToOwned::to_owned), 0..3)
}

fn ids() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

proptest! {
    #![proptest_config(cases(400))]

    /// Against the table in the documentation of `Filters`, read one item at a time.
    #[test]
    fn filters_agree_with_their_description(
        known in btree_map(ids(), (tags(), any::<bool>()), 0..9),
        seen in btree_set(ids(), 0..9),
        catalog_only: bool, available_only: bool, tags_any in tags(), tags_none in tags(),
    ) {
        let items = known.iter().map(|(item_id, (tags, available))| CatalogItem {
            item_id: item_id.clone(), tags: tags.clone(), available: *available,
        });
        let catalog = Catalog { items: items.collect(), ..Catalog::default() };
        let filters = Filters { catalog_only, available_only, tags_any, tags_none };
        let expected = seen.iter().map(|id| {
            let item = known.get(id);
            let has = |tag: &String| item.is_some_and(|(tags, _)| tags.contains(tag));
            let mut passes = true;
            if filters.catalog_only && item.is_none() { passes = false; }
            if filters.available_only && item.is_some_and(|(_, available)| !available) { passes = false; }
            if !filters.tags_any.is_empty() && !filters.tags_any.iter().any(has) { passes = false; }
            if filters.tags_none.iter().any(has) { passes = false; }
            passes
        });
        let expected: Vec<bool> = expected.collect();
        let ids = dictionary(seen.iter().map(String::as_str));
        prop_assert_eq!(catalog.allowed(&filters, &ids), expected);
    }
}
