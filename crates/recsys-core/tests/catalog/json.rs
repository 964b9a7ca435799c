//! Rows of JSON Lines.

use recsys_core::encoding::hash::sha256;

use super::{Jsonl, NO_ITEMS, bad_row, error, items, read, twice};

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
