//! The catalogue: what is read from CSV and JSON Lines, and how a bad row is named.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_core::catalog::{Catalog, CatalogError, CatalogFormat};
use recsys_core::hash::sha256;
use recsys_core::id::Surface;
use recsys_core::limit::Limits;

use CatalogFormat::{Csv, Jsonl};

fn read(format: CatalogFormat, text: impl AsRef<[u8]>) -> Result<Catalog, CatalogError> {
    let surface = Surface::new("home").unwrap();
    Catalog::read("items.txt", format, text.as_ref(), &surface, &Limits::default())
}

/// Items and their tags, as `item: tag, tag`.
fn items(format: CatalogFormat, text: impl AsRef<[u8]>) -> Vec<String> {
    let catalog = read(format, text).unwrap();
    catalog.items.iter().map(|item| format!("{}: {}", item.item_id, item.tags.join(", "))).collect()
}

fn error(format: CatalogFormat, text: impl AsRef<[u8]>) -> String {
    read(format, text).unwrap_err().to_string()
}

/// The lines of the first and second row of an item that is given twice.
fn twice(format: CatalogFormat, text: &str) -> (u64, u64) {
    match read(format, text) {
        Err(CatalogError::Duplicate { first_line, line, .. }) => (first_line, line),
        other => panic!("{other:?}"),
    }
}

/// The line of the row that cannot be read.
fn bad_row(format: CatalogFormat, text: impl AsRef<[u8]>) -> u64 {
    match read(format, text) {
        Err(CatalogError::Row { line, .. }) => line,
        other => panic!("{other:?}"),
    }
}

const NO_ITEMS: [&str; 0] = [];

// ---- CSV ---------------------------------------------------------------------------------------------

#[test]
fn columns_are_found_by_any_of_their_names_in_any_case() {
    for item_id in ["item_id", "itemid", "id", "ITEM_ID", "ItemId", "Id", " item_id "] {
        for tags in ["tags", "tag_list", "Tags", "TAG_LIST"] {
            for namespace in ["namespace", "surface", "NameSpace", "SURFACE\t"] {
                let text = format!("{item_id},{tags},{namespace}\nA,x,home\nB,y,cart\nC,z,\n");
                assert_eq!(items(Csv, &text), ["A: x", "C: z"], "{text}");
                let text =
                    format!("{namespace},price,{tags},created_at,{item_id}\nhome,1,x,,A\ncart,1,y,,B\n");
                assert_eq!(items(Csv, &text), ["A: x"], "{text}");
            }
        }
    }
}

#[test]
fn the_first_name_in_the_list_of_names_wins() {
    assert_eq!(items(Csv, "id,item_id,tags\nx,A,t\n"), ["A: t"]);
    assert_eq!(items(Csv, "id,itemid\nx,A\n"), ["A: "]);
    assert_eq!(items(Csv, "tag_list,tags,id\nx,y,A\n"), ["A: y"]);
    assert_eq!(items(Csv, "surface,namespace,id\ncart,home,A\nhome,cart,B\n"), ["A: "]);
}

#[test]
fn a_header_without_an_item_column_is_refused() {
    for text in ["", "\n", "item,tags\nA,x\n", "item id\nA\n", "tags\n"] {
        let refused = read(Csv, text).unwrap_err();
        assert!(matches!(&refused, CatalogError::NoItemColumn { name } if name == "items.txt"), "{text:?}");
    }
    assert_eq!(error(Csv, "a,b\n"), "items.txt:1: the header has no column item_id (or itemid, or id)");
}

#[test]
fn tags_and_namespace_may_be_missing_as_columns() {
    assert_eq!(items(Csv, "id\nA\nB\n"), ["A: ", "B: "]);
    assert_eq!(items(Csv, "id"), NO_ITEMS);
}

#[test]
fn byte_order_mark_line_ends_and_the_last_line_without_one() {
    let plain = "item_id,tags\nA,x;y\nB,z\n";
    for text in [
        plain.to_owned(),
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{plain}"),
        format!("\u{feff}{}", plain.replace('\n', "\r\n")),
        plain.trim_end().to_owned(),
        "\u{feff}\"item_id\",\"tags\"\n\"A\",\"x;y\"\n\"B\",\"z\"".to_owned(),
    ] {
        assert_eq!(items(Csv, &text), ["A: x, y", "B: z"], "{text:?}");
        assert_eq!(read(Csv, &text).unwrap().source_hash, sha256(text.as_bytes()));
    }
}

#[test]
fn quoted_fields_hold_separators_quotes_and_line_ends() {
    let text = "id,tags,note\n\"A,1\",\"x,y\",\"a\nb\"\n\"B\"\"2\"\"\",z,\"\r\n\"\n\"C\nD\",\"u\nv,w\",\n";
    assert_eq!(items(Csv, text), ["A,1: x, y", "B\"2\": z", "C\nD: u\nv, w"]);
}

#[test]
fn tags_are_split_trimmed_lower_cased_and_kept_once() {
    let tags = |tags: &str| items(Csv, format!("id,tags\nA,\"{tags}\"\n"))[0][3..].to_owned();
    assert_eq!(tags("a,b;c|d"), "a, b, c, d");
    assert_eq!(tags(" A ;b\t,\u{a0}a|B,,;|  |C"), "a, b, c");
    assert_eq!(tags("z,y,Z,x,Y"), "z, y, x");
    assert_eq!(tags("Größe|GRÖSSE|größe|ÉTÉ"), "größe, grösse, été");
    assert_eq!(tags("two words,two  words"), "two words, two  words");
    assert_eq!(tags(" ,;| "), "");
}

#[test]
fn only_the_surface_and_no_namespace_at_all_are_taken() {
    let text = "id,namespace\nA,\nB,home\nC, home \nD,cart\nE,Home\nF, \nG,home2\n";
    assert_eq!(items(Csv, text), ["A: ", "B: ", "C: ", "F: "]);
    let catalog = read(Csv, text).unwrap();
    assert_eq!((catalog.rows, catalog.foreign, catalog.rows_without_id), (7, 3, 0));
}

#[test]
fn items_are_trimmed_and_in_the_order_of_their_bytes() {
    assert_eq!(
        items(Csv, "id\nb\n é\nB\naa \na\n文\nz\n"),
        ["B: ", "a: ", "aa: ", "b: ", "z: ", "é: ", "文: "]
    );
}

#[test]
fn rows_without_an_item_are_counted() {
    let catalog = read(Csv, "id,tags,namespace\n,x,home\n  ,x,cart\nA,x,home\n\u{a0},,\n").unwrap();
    assert_eq!((catalog.rows, catalog.rows_without_id, catalog.items.len()), (4, 3, 1));
}

#[test]
fn a_row_with_too_few_or_too_many_fields_is_named() {
    assert_eq!(error(Csv, "id,tags\nA,x\nB\n"), "items.txt:3: the row has 1 fields, the header has 2");
    assert_eq!(error(Csv, "id,tags\nA,x\nB,y,z\nC\n"), "items.txt:3: the row has 3 fields, the header has 2");
    assert_eq!(bad_row(Csv, "id,tags\n\"A\",\"x\ny\n\nz\"\nB,y\nC\n"), 7);
    assert_eq!(bad_row(Csv, "\u{feff}id,tags\nA,x\nB\n"), 3);
}

#[test]
fn a_quote_that_is_never_closed_does_not_pass() {
    assert_eq!(bad_row(Csv, "id,tags\nA,x\n\"B,y\nC,z\n"), 3);
}

/// Lines end with CRLF in files from Windows and by RFC 4180.
#[test]
fn line_numbers_of_csv_rows_are_right_with_crlf() {
    assert_eq!(bad_row(Csv, "id,tags\r\nA,x\r\nB\r\n"), 3);
    assert_eq!(twice(Csv, "id,tags\r\nA,x\r\nB,y\r\nA,z\r\n"), (2, 4));
    assert_eq!(bad_row(Csv, "id,tags\r\nA,\"x\r\ny\"\r\nB\r\n"), 4);
    assert_eq!(bad_row(Csv, b"id,tags\r\nA,x\r\nB,\xff\r\n"), 3);
}

/// Blank lines are skipped, and count.
#[test]
fn line_numbers_of_csv_rows_are_right_after_blank_lines() {
    assert_eq!(bad_row(Csv, "id,tags\nA,x\n\n\nB\n"), 5);
    assert_eq!(twice(Csv, "id,tags\n\nA,x\n\nA,z\n"), (3, 5));
}

#[test]
fn a_row_that_is_not_utf8_is_named() {
    assert_eq!(error(Csv, b"id,tags\nA,x\nB,\xff\nC,z\n"), "items.txt:3: the row is not UTF-8");
    assert_eq!(error(Csv, b"id,tags\nA,\"x\ny\"\nB,\xff\n"), "items.txt:4: the row is not UTF-8");
    assert_eq!(error(Csv, b"id,\xff\nA,x\n"), "items.txt:1: the row is not UTF-8");
    // Also in a field that nobody reads.
    let json = b"{\"item_id\":\"A\"}\n{\"item_id\":\"B\",\"note\":\"\xff\"}\n";
    assert_eq!(error(Jsonl, json), "items.txt:2: the row is not UTF-8");
}

#[test]
fn an_item_given_twice_names_both_rows() {
    assert_eq!(
        error(Csv, "id,tags\nB,x\nA,x\nC,x\n A ,y\n"),
        "items.txt:5: item \"A\" was already given on line 3; keep one of them"
    );
    assert_eq!(twice(Csv, "id,tags\nA,\"x\ny\"\nB,\"1\n2\n3\"\nA,z\nA,z\n"), (2, 7));
    // Also when one of the rows has no tags.
    assert_eq!(twice(Csv, "id,tags\nA,\nA,z\n"), (2, 3));
    // Not when one belongs to another surface, or when neither has an id.
    assert_eq!(items(Csv, "id,tags,surface\nA,x,cart\nA,y,home\nA,z,shop\n,,\n,,\n"), ["A: y"]);
}

#[test]
fn more_rows_than_allowed_are_refused_for_all_surfaces_together() {
    let limits = |max| Limits { max_catalog_items: max, ..Limits::default() };
    let surface = Surface::new("home").unwrap();
    for (format, text) in [
        (Csv, "id,surface\nA,home\nB,cart\n,\n"),
        (Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":\"B\",\"namespace\":\"cart\"}\n\n{\"item_id\":\"\"}\n"),
    ] {
        let read = |max| Catalog::read("items.txt", format, text.as_bytes(), &surface, &limits(max));
        assert_eq!(read(3).unwrap().rows, 3);
        let Err(CatalogError::Limit(exceeded)) = read(2) else { panic!("taken") };
        assert_eq!((exceeded.limit, exceeded.value, exceeded.max), ("max_catalog_items", 3, 2));
        assert!(exceeded.to_string().contains("items.txt"), "{exceeded}");
    }
}

// ---- JSON Lines --------------------------------------------------------------------------------------

#[test]
fn json_rows_are_read_like_csv_rows() {
    let text = concat!(
        "\u{feff}{\"item_id\":\" B \",\"tags\":[\" X\",\"y\",\"x \",\"\",\" \"],\"namespace\":\" home \"}\r\n",
        "\r\n \t\n",
        "{\"namespace\":\"cart\",\"item_id\":\"C\",\"tags\":[\"z\"]}\n",
        "{\"tags\":[\"a,b;c|d\"],\"price\":1.5,\"created_at\":\"2026-01-01T00:00:00Z\",\"item_id\":\"A\"}",
    );
    // A list needs no splitting.
    assert_eq!(items(Jsonl, text), ["A: a,b;c|d", "B: x, y"]);
    let catalog = read(Jsonl, text).unwrap();
    assert_eq!((catalog.rows, catalog.foreign, catalog.rows_without_id), (3, 1, 0));
    assert_eq!(catalog.source_hash, sha256(text.as_bytes()));
    assert_eq!(items(Jsonl, ""), NO_ITEMS);
}

#[test]
fn a_null_is_the_same_as_an_absent_field() {
    let text = "{\"item_id\":\"A\",\"tags\":null,\"namespace\":null,\"price\":null}\n{\"item_id\":\"B\"}\n";
    assert_eq!(items(Jsonl, text), ["A: ", "B: "]);
}

#[test]
fn unknown_fields_are_ignored() {
    let text =
        r#"{"id":"X","Tags":["no"],"more":{"tags":["no"],"n":[1e400,null]},"item_id":"A","tags":["yes"]}"#;
    assert_eq!(items(Jsonl, text), ["A: yes"]);
}

#[test]
fn a_json_row_must_name_an_item_field_that_may_be_empty() {
    assert_eq!(
        error(Jsonl, "{\"item_id\":\"A\"}\n\n{\"tags\":[\"x\"]}\n"),
        "items.txt:3: field `item_id` is missing"
    );
    assert_eq!(error(Jsonl, "{\"item_id\":null}"), "items.txt:1: field `item_id` is missing");
    let catalog = read(Jsonl, "{\"item_id\":\"\"}\n{\"item_id\":\" \"}\n{\"item_id\":\"A\"}").unwrap();
    assert_eq!((catalog.rows, catalog.rows_without_id, catalog.items.len()), (3, 2, 1));
}

#[test]
fn a_json_row_that_cannot_be_read_is_named() {
    let good = "{\"item_id\":\"A\"}";
    for bad in [
        "{",
        "{\"item_id\":}",
        "null",
        "7",
        "\"A\"",
        "{\"item_id\":7}",
        "{\"item_id\":\"B\",\"tags\":\"x\"}",
        "{\"item_id\":\"B\",\"tags\":[1]}",
        "{\"item_id\":\"B\",\"tags\":[null]}",
        "{\"item_id\":\"B\"} x",
        "{\"item_id\":\"B\"},",
        "{\"item_id\":\"B\",\"item_id\":\"C\"}",
    ] {
        assert_eq!(bad_row(Jsonl, format!("{good}\n\r\n{bad}\n{bad}\n")), 3, "{bad}");
        assert!(error(Jsonl, format!("{good}\n{bad}\n")).starts_with("items.txt:2: "), "{bad}");
    }
    assert_eq!(bad_row(Jsonl, b"{\"item_id\":\"A\"}\n{\"item_id\":\"\xff\"}\n"), 2);
}

/// A row is an object, as the contract has it; a list of the fields in some order is not.
#[test]
fn a_json_row_that_is_a_list_is_refused() {
    assert_eq!(bad_row(Jsonl, "{\"item_id\":\"A\"}\n[\"B\",[\"x\"],null]\n"), 2);
}

/// The row is named by its line in the file; a second line number would only confuse.
#[test]
fn a_broken_json_row_is_given_one_line_number() {
    let error = error(Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":}\n");
    assert_eq!(error, "items.txt:2: expected value (column 12)");
}

#[test]
fn a_json_item_given_twice_names_both_rows() {
    let text =
        "\n{\"item_id\":\"A\"}\r\n\r\n{\"item_id\":\"A\",\"namespace\":\"cart\"}\n{\"item_id\":\" A\"}\n";
    assert_eq!(twice(Jsonl, text), (2, 5));
}

// ---- Names -------------------------------------------------------------------------------------------

#[test]
fn the_format_follows_the_extension() {
    for (name, format) in [
        ("items.csv", Some(Csv)),
        ("a/b.c/items.CSV", Some(Csv)),
        ("items.jsonl", Some(Jsonl)),
        ("items.csv.gz", Some(Csv)),
        ("items.jsonl.zst", Some(Jsonl)),
        ("items.json", None),
        ("items.gz", None),
        ("csv", None),
        ("items.csv.bak", None),
        ("items.csv/data", None),
    ] {
        assert_eq!(CatalogFormat::of_name(name), format, "{name}");
    }
}
