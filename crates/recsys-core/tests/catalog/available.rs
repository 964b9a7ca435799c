//! Whether an item is available.

use recsys_core::input::catalog::{CatalogError, CatalogRow};

use super::{Csv, Jsonl, each, error, items, read};

fn available_of(row: &CatalogRow<'_>) -> Result<bool, CatalogError> {
    row.available()
}

/// The availability of a row of CSV.
fn csv(available: &str) -> Result<bool, String> {
    each(Csv, format!("id,available\nA,\"{available}\"\n"), available_of).remove(0)
}

/// The availability of a row of JSON, written as `available` is.
fn json(available: &str) -> Result<bool, String> {
    each(Jsonl, format!("\n{{\"available\":{available},\"item_id\":\"A\"}}"), available_of).remove(0)
}

#[test]
fn an_item_is_available_or_not_in_any_of_three_words() {
    for (words, expected) in [
        (["true", "TRUE", "True", "yes", "YES", "yEs", "1", " 1 ", "\u{a0}yes\t"], true),
        (["false", "FALSE", "False", "no", "NO", "No", "0", " 0", "\tno\u{a0}"], false),
    ] {
        for word in words {
            assert_eq!(csv(word), Ok(expected), "{word:?}");
            assert_eq!(json(&serde_json::to_string(word).unwrap()), Ok(expected), "{word:?}");
        }
    }
    for (value, expected) in
        [("true", true), ("1", true), ("false", false), ("0", false), ("\"\\u0030\"", false)]
    {
        assert_eq!(json(value), Ok(expected), "{value}");
    }
}

#[test]
fn an_item_of_which_nothing_is_said_is_available() {
    for blank in ["", " ", "\t", "\u{a0}"] {
        assert_eq!(csv(blank), Ok(true), "{blank:?}");
        assert_eq!(json(&serde_json::to_string(blank).unwrap()), Ok(true), "{blank:?}");
    }
    assert_eq!(json("null"), Ok(true));
    assert_eq!(each(Csv, "id\nA\n", available_of), [Ok(true)]);
    assert_eq!(each(Jsonl, "{\"item_id\":\"A\"}", available_of), [Ok(true)]);
}

#[test]
fn anything_else_is_refused_with_its_line_and_does_not_hide_the_next() {
    for word in [
        "t",
        "f",
        "y",
        "n",
        "on",
        "off",
        "2",
        "-1",
        "+1",
        "01",
        "00",
        "1.0",
        "0.0",
        "-0",
        "1e0",
        "true.",
        "y e s",
        "yes no",
        "nope",
        "in stock",
        "out of stock",
        "null",
        "none",
        "NaN",
        "ja",
        "oui",
        // Look-alikes: Cyrillic е and о, Greek Ο, a full-width 1 and no, a long s, an Arabic 0, an invisible mark.
        "tru\u{435}",
        "n\u{43e}",
        "N\u{39f}",
        "\u{ff11}",
        "\u{ff4e}\u{ff4f}",
        "ye\u{17f}",
        "\u{660}",
        "\u{200b}1",
    ] {
        let expected =
            format!("items.txt:2: field `available`: {word:?} is none of true, yes, 1, false, no and 0");
        assert_eq!(csv(word), Err(expected.clone()));
        assert_eq!(json(&serde_json::to_string(word).unwrap()), Err(expected));
        let text = format!("id,available\r\nA,\"{word}\"\r\nB,no\r\n");
        assert_eq!(each(Csv, text, available_of)[1], Ok(false));
    }
    for number in ["2", "-1", "1.0", "0.0", "-0", "1e0", "10"] {
        let expected =
            format!("items.txt:2: field `available`: {number:?} is none of true, yes, 1, false, no and 0");
        assert_eq!(json(number), Err(expected));
    }
    for value in ["[]", "[true]", "{}", "{\"online\":true}"] {
        let expected =
            "items.txt:2: field `available` is neither true nor false, nor a string or number that says so";
        assert_eq!(json(value), Err(expected.to_owned()));
    }
    // One line, and not all of it.
    let shown = format!("\"a\\n{}\"…", "b".repeat(38));
    let expected =
        format!("items.txt:2: field `available`: {shown} is none of true, yes, 1, false, no and 0");
    assert_eq!(csv(&format!("a\n{}", "b".repeat(1000))), Err(expected));
}

/// The name in any case in CSV, and as it is in JSON; the items in order of their ids.
#[test]
fn a_catalogue_keeps_what_is_available() {
    let available = |format, text: &str| {
        let catalog = read(format, text).unwrap();
        catalog.items.into_iter().map(|item| (item.item_id, item.available)).collect::<Vec<_>>()
    };
    let expected = [("A", false), ("B", true), ("C", true)].map(|(item, is)| (item.to_owned(), is));
    for name in ["available", "Available", "AVAILABLE", " available\t"] {
        assert_eq!(available(Csv, &format!("id,{name}\nC,\nB,yes\nA,NO\n")), expected, "{name}");
    }
    let json = "{\"item_id\":\"C\",\"Available\":false}\n{\"item_id\":\"B\",\"available\":true}\n\
                {\"item_id\":\"A\",\"available\":false}\n";
    assert_eq!(available(Jsonl, json), expected);
    assert_eq!(items(Csv, "id,available,tags\nA,no,x\n"), ["A: x"]);
}

/// As with prices, what is wrong in the row of another surface is not looked at, and neither is a row without an item.
#[test]
fn a_broken_availability_is_refused_in_rows_of_the_surface() {
    let told = "field `available`: \"maybe\" is none of true, yes, 1, false, no and 0";
    assert_eq!(error(Csv, "id,available\nA,yes\nB,maybe\n"), format!("items.txt:3: {told}"));
    assert_eq!(error(Csv, "id,available,surface\nA,maybe,home\n"), format!("items.txt:2: {told}"));
    assert_eq!(items(Csv, "id,available,surface\nA,maybe,cart\n,maybe,home\nB,,\n"), ["B: "]);
    assert_eq!(error(Jsonl, "{\"item_id\":\"A\",\"available\":\"maybe\"}"), format!("items.txt:1: {told}"));
    let text = "{\"item_id\":\"A\",\"available\":\"maybe\",\"namespace\":\"cart\"}\n{\"item_id\":\"B\"}";
    assert_eq!(items(Jsonl, text), ["B: "]);
}

#[test]
fn an_availability_given_twice_is_refused() {
    assert_eq!(
        error(Csv, "id,available,Available\nA,1,1\n"),
        "items.txt:1: the header has the column available twice; keep one of them"
    );
    let told = error(Jsonl, "{\"item_id\":\"A\",\"available\":true,\"available\":true}");
    assert!(told.starts_with("items.txt:1: duplicate field `available`"), "{told}");
}

#[test]
fn a_catalogue_that_says_nothing_of_availability_is_told() {
    let without =
        |format, text: &str| read(format, text).unwrap().without_available.map(|absent| absent.to_string());
    assert_eq!(without(Csv, "id,available\nA,\n"), None);
    assert_eq!(without(Csv, "id\n"), Some("available".to_owned()));
    assert_eq!(
        without(Csv, "id,Is Available\nA,no\n"),
        Some("available (its \"Is Available\" has another name)".to_owned())
    );
    assert_eq!(without(Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":\"B\",\"available\":\"\"}\n"), None);
    assert_eq!(
        without(Jsonl, "{\"item_id\":\"A\",\"available\":null,\"availability\":\"no\"}\n"),
        Some("available (its \"availability\" has another name)".to_owned())
    );
    assert_eq!(without(Jsonl, ""), None);
}
