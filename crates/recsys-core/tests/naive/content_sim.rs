//! `content_sim` agrees with a slow and simple one.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::artifact::{Draft, Inputs, Kind};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Surface;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::sha256;
use recsys_core::input::catalog::{Catalog, CatalogError, CatalogFormat};
use recsys_core::table::events::EventTable;
use recsys_testkit::seed::cases;

use super::common::{DAYS, day};
use super::json::{Json, finished};
use super::{BUILT_AT, key};

#[derive(Debug, Clone)]
struct CatalogRow {
    item_id: &'static str,
    /// In CSV joined with `separator`, and then split on every separator.
    tags: Vec<String>,
    separator: &'static str,
    namespace: Option<&'static str>,
    quoted: bool,
}

fn catalog_row() -> impl Strategy<Value = CatalogRow> {
    let ids = select(
        &[
            "a", " aa ", "aaa", "B", "b", "é", "文", "a,b", "q\"q", "x\ny", "c", "d", "", " \t", "\u{a0}",
            "<i>",
        ][..],
    );
    let pieces = select(
        &["x", "X", "shoe", "Shoe", "SHOE ", " ", "\t", "É", "ß", ",", ";", "|", "a b", "\"", "ΑΣ"][..],
    );
    let tag = vec(pieces, 0..4).prop_map(|pieces| pieces.concat());
    let namespace =
        select(&[None, Some(""), Some(" "), Some("home"), Some(" home\t"), Some("Home"), Some("cart")][..]);
    let separator = select(&[",", ";", "|", " , ", "||"][..]);
    (ids, vec(tag, 0..5), separator, namespace, any::<bool>()).prop_map(
        |(item_id, tags, separator, namespace, quoted)| CatalogRow {
            item_id,
            tags,
            separator,
            namespace,
            quoted,
        },
    )
}

fn csv(rows: &[CatalogRow]) -> String {
    let mut text = "Tags,NAMESPACE,price,Item_ID\n".to_owned();
    for row in rows {
        let tags = row.tags.join(row.separator);
        let field = |text: &str| {
            if row.quoted || text.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let namespace = row.namespace.unwrap_or_default();
        writeln!(text, "{},{},,{}", field(&tags), field(namespace), field(row.item_id)).unwrap();
    }
    text
}

fn jsonl(rows: &[CatalogRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line =
            serde_json::json!({ "item_id": row.item_id, "namespace": row.namespace, "price": 1.5 });
        if !row.tags.is_empty() || row.quoted {
            line["tags"] = row.tags.clone().into();
        }
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// The items with their tags; `None` when an item is given twice.
fn naive_catalog(rows: &[CatalogRow], split: bool) -> Option<BTreeMap<String, Vec<String>>> {
    let mut items = BTreeMap::new();
    for row in rows {
        let namespace = row.namespace.unwrap_or_default().trim();
        let item_id = row.item_id.trim();
        if item_id.is_empty() || !(namespace.is_empty() || namespace == "home") {
            continue;
        }
        let joined = row.tags.join(row.separator);
        let tags: Vec<String> = if split {
            joined.replace([';', '|'], ",").split(',').map(ToOwned::to_owned).collect()
        } else {
            row.tags.clone()
        };
        let mut kept: Vec<String> = Vec::new();
        for tag in tags {
            let tag = tag.trim().to_lowercase();
            if !tag.is_empty() && !kept.contains(&tag) {
                kept.push(tag);
            }
        }
        if items.insert(item_id.to_owned(), kept).is_some() {
            return None;
        }
    }
    Some(items)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn content_sim_agrees(rows in vec(catalog_row(), 0..9)) {
        let surface = Surface::new("home").unwrap();
        for (format, text) in [(CatalogFormat::Csv, csv(&rows)), (CatalogFormat::Jsonl, jsonl(&rows))] {
            let read = Catalog::read("catalogue", format, text.as_bytes(), &surface, &Limits::default(), &Budget::default());
            let Some(items) = naive_catalog(&rows, format == CatalogFormat::Csv) else {
                prop_assert!(matches!(read, Err(CatalogError::Duplicate { .. })), "{read:?}");
                continue;
            };
            let catalog = read.unwrap();
            let nameless = rows.iter().filter(|row| row.item_id.trim().is_empty()).count();
            prop_assert_eq!((catalog.rows, catalog.rows_without_id), (rows.len() as u64, nameless as u64));
            prop_assert_eq!(catalog.foreign, (rows.len() - nameless - items.len()) as u64);
            prop_assert_eq!(&catalog.source_hash, &sha256(text.as_bytes()));
            let tagged = items.iter().filter(|(_, tags)| !tags.is_empty()).map(|(item_id, tags)| {
                let tags = tags.iter().map(Json::text).collect();
                Json::object([("item_id", Json::text(item_id)), ("tags", Json::List(tags))])
            });
            let expected = Json::List(tagged.collect());
            let events = EventTable::default();
            let budget = Budget::default();
            let inputs = Inputs { events: &events, catalog: &catalog, budget: &budget, model: None };
            let (payload, _) = Kind::ContentSim.build(&inputs, &Limits::default()).unwrap();
            payload.check(&Limits::default()).unwrap();
            let key = key(Kind::ContentSim, None, Window::ending_with(day(DAYS[0]), 1).unwrap());
            let encoded = Draft::new(&key, &payload).finish(BUILT_AT, &catalog.source_hash);
            let (version, text) = finished(&key, &expected, BUILT_AT, &catalog.source_hash);
            prop_assert_eq!(String::from_utf8(encoded.bytes.into()).unwrap(), text);
            prop_assert_eq!(encoded.descriptor.build.version, version);
        }
    }
}
