//! Rows one by one, with their prices and dates.

use proptest::prelude::*;
use recsys_core::input::catalog::FirstLines;
use recsys_testkit::seed::cases;

use super::{BOTH, BOTH_ROWS, Csv, Jsonl, each, items, price_of, time_of, twice, written};

#[test]
fn rows_have_their_lines_and_all_their_fields() {
    for (format, text) in BOTH {
        assert_eq!(written(format, text.as_bytes()), BOTH_ROWS, "{format:?}");
    }
}

/// A row that is the surface's or nobody's belongs to the surface.
#[test]
fn a_row_is_for_its_namespace_or_for_all() {
    let seen = each(Csv, "id,surface\nA,home\nB,\nC,cart\n", |row| Ok(row.is_for("home")));
    assert_eq!(seen, [Ok(true), Ok(true), Ok(false)]);
}

/// The price of a row of CSV.
fn csv_price(price: &str) -> Result<Option<String>, String> {
    each(Csv, format!("id,price\nA,\"{price}\"\n"), price_of).remove(0)
}

/// The price of a row of JSON, written as `price` is.
fn json_price(price: &str) -> Result<Option<String>, String> {
    each(Jsonl, format!("{{\"price\":{price},\"item_id\":\"A\"}}"), price_of).remove(0)
}

#[test]
fn prices_are_kept_to_the_last_digit() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("0e999999999999999999999", "0"),
        ("12", "12"),
        ("12.50", "12.5"),
        ("12.00", "12"),
        ("1200", "1200"),
        ("-0.050", "-0.05"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.1000000000000000000000000000000001", "0.1000000000000000000000000000000001"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
        ("1e3", "1000"),
        ("1.25E+1", "12.5"),
        ("1.25e1", "12.5"),
        ("125e-1", "12.5"),
        ("125e-3", "0.125"),
        ("125e-5", "0.00125"),
        ("1.20e2", "120"),
        ("0.0012e5", "120"),
        ("100e-2", "1"),
    ] {
        let expected = Ok(Some(expected.to_owned()));
        assert_eq!(csv_price(text), expected, "{text}");
        assert_eq!(json_price(text), expected, "{text}");
        assert_eq!(json_price(&format!("\" {text}\\t\"")), expected, "{text}");
    }
    // No number of JSON, but what a spreadsheet or a person writes.
    for (text, expected) in [(" .5", "0.5"), ("5. ", "5"), ("+5", "5"), ("007.5", "7.5"), ("-.5e1", "-5")] {
        let expected = Ok(Some(expected.to_owned()));
        assert_eq!(csv_price(text), expected, "{text}");
        assert_eq!(json_price(&format!("\"{text}\"")), expected, "{text}");
    }
    assert_eq!(json_price("\"\\u0031.5\""), Ok(Some("1.5".into())));
}

#[test]
fn an_empty_price_is_none() {
    for text in ["", " ", "\t", "\u{a0}"] {
        assert_eq!(csv_price(text), Ok(None));
    }
    for text in ["\"\"", "\" \"", "null"] {
        assert_eq!(json_price(text), Ok(None));
    }
    assert_eq!(each(Csv, "id\nA\n", price_of), [Ok(None)]);
    assert_eq!(each(Jsonl, "{\"item_id\":\"A\"}", price_of), [Ok(None)]);
}

#[test]
fn a_bad_price_is_named_with_its_line_and_does_not_hide_the_next() {
    for price in [
        ".",
        "-",
        "+",
        "-.",
        "--5",
        "+-5",
        "1.2.3",
        "1,234.50",
        "1,5",
        "1 234",
        "1_000",
        "$5",
        "5€",
        "5 EUR",
        "USD 5",
        "free",
        "NaN",
        "nan",
        "inf",
        "Infinity",
        "-Infinity",
        "1e",
        "e5",
        ".e5",
        "1e+",
        "1e1.5",
        "1e5e5",
        "0x10",
        "١٢",
        "５",
        "−5",
        "5-",
        "(5)",
        "5%",
        "null",
    ] {
        let text = format!("id,price\r\n\r\nA,\"{price}\"\r\nB,7\r\n");
        let expected =
            format!("items.txt:3: field `price`: {price:?} is not a decimal number such as 1234.50");
        assert_eq!(each(Csv, text, price_of), [Err(expected.clone()), Ok(Some("7".into()))]);
        let row = |item: &str, price: &str| format!("{{\"item_id\":\"{item}\",\"price\":{price}}}\n");
        let text = format!("\n\n{}{}", row("A", &format!("\"{price}\"")), row("B", "7"));
        assert_eq!(each(Jsonl, text, price_of), [Err(expected), Ok(Some("7".into()))]);
    }
    for price in ["true", "[5]", "{\"amount\":5}"] {
        let expected = "items.txt:1: field `price` is neither a number nor a string";
        assert_eq!(json_price(price), Err(expected.to_owned()));
    }
    // One line, and not all of it.
    let shown = format!("\"a\\n{}\"…", "b".repeat(38));
    let expected = format!("items.txt:2: field `price`: {shown} is not a decimal number such as 1234.50");
    assert_eq!(csv_price(&format!("a\n{}", "b".repeat(1000))), Err(expected));
}

#[test]
fn a_price_is_as_long_as_postgres_takes() {
    let length = |text: &str| csv_price(text).unwrap().unwrap().len();
    assert_eq!(length("1e131071"), 131_072);
    assert_eq!(length("-1e-16383"), "-0.".len() + 16_383);
    for text in ["1e131072", "1e-16384", "1.5e-16383", "1e999999999999999999999", "-1e-999999999999999999999"]
    {
        let expected = format!(
            "items.txt:2: field `price`: {text:?} has more than 131072 digits before the point or 16383 after it"
        );
        assert_eq!(csv_price(text), Err(expected));
    }
    // Zeros that say nothing do not count.
    assert_eq!(csv_price(&format!("1.{}", "0".repeat(20_000))), Ok(Some("1".into())));
    assert_eq!(csv_price(&format!("{}1", "0".repeat(200_000))), Ok(Some("1".into())));
}

proptest! {
    #![proptest_config(cases(300))]

    /// The number's digits with the point `scale` digits from the right, once plainly and once with an exponent.
    #[test]
    fn every_spelling_of_a_price_gives_the_same_text(
        value in any::<i64>(), scale in 0usize..30, shift in 0usize..40, left in 0usize..3, right in 0usize..3,
    ) {
        let zeros = |count| "0".repeat(count);
        let sign = if value < 0 { "-" } else { "" };
        let digits = format!("{:0>1$}", value.unsigned_abs(), scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let plain = format!("{sign}{}{whole}.{fraction}{}", zeros(left), zeros(right));
        let shifted = format!("{sign}{digits}{}e-{}", zeros(shift), scale + shift);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        let expected = Ok(Some(format!("{}{whole}{dot}{fraction}", if value == 0 { "" } else { sign })));
        prop_assert_eq!(csv_price(&plain), expected.clone());
        prop_assert_eq!(csv_price(&shifted), expected);
    }
}

/// The date of a row, in CSV and in JSON.
fn dates(date: &str) -> [Result<Option<String>, String>; 2] {
    let json = format!("\n{{\"item_id\":\"A\",\"created_at\":\"{date}\"}}");
    [each(Csv, format!("id,created_at\nA,{date}\n"), time_of).remove(0), each(Jsonl, json, time_of).remove(0)]
}

#[test]
fn dates_are_instants() {
    for (text, expected) in [
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        (" 2024-02-29 ", "2024-02-29T00:00:00Z"),
        ("1600-12-31", "1600-12-31T00:00:00Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
        ("9999-12-30", "9999-12-30T00:00:00Z"),
        ("2026-01-01T00:30:00.123456789+02:00", "2025-12-31T22:30:00.123456789Z"),
        ("1600-01-01t12:00:00z", "1600-01-01T12:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
    ] {
        let expected = Ok(Some(expected.to_owned()));
        assert_eq!(dates(text), [expected.clone(), expected], "{text}");
    }
    assert_eq!(dates(""), [Ok(None), Ok(None)]);
    assert_eq!(dates(" "), [Ok(None), Ok(None)]);
    assert_eq!(each(Csv, "id\nA\n", time_of), [Ok(None)]);
    assert_eq!(each(Jsonl, "{\"item_id\":\"A\",\"created_at\":null}", time_of), [Ok(None)]);
}

#[test]
fn a_bad_date_is_named_with_its_line() {
    for date in [
        "today",
        "2026-02-29",
        "2026-13-01",
        "2026-1-1",
        "20260101",
        "01.01.2026",
        "01/02/2026",
        "2026-01-01Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-W01-1",
        "-2026-01-01",
        "+002026-01-01",
        "1767225600",
    ] {
        let expected = Err(format!(
            "items.txt:2: field `created_at`: {date:?} is neither a date such as 2026-01-01 nor a timestamp such \
             as 2026-01-01T08:00:00Z"
        ));
        assert_eq!(dates(date), [expected.clone(), expected]);
    }
    let late = "items.txt:2: field `created_at`: \"9999-12-31\" is later than 9999-12-30T22:00:00Z, where the \
                calendar ends here";
    assert_eq!(dates("9999-12-31"), [Err(late.to_owned()), Err(late.to_owned())]);
    let text = "{\"item_id\":\"A\",\"created_at\":1767225600}";
    let expected = "items.txt:1: field `created_at` is 1767225600; it must be a string (column 38)";
    assert_eq!(each(Jsonl, text, time_of), [Err(expected.into())]);
}

#[test]
fn prices_and_dates_given_twice_are_an_error_for_those_who_ask() {
    let text = "id,price,Price,created_at,created_at\nA,1,1,,\n";
    let reason = |column| format!("items.txt:1: the header has the column {column} twice; keep one of them");
    assert_eq!(each(Csv, text, price_of), [Err(reason("price"))]);
    assert_eq!(each(Csv, text, time_of), [Err(reason("created_at"))]);
    let text = "{\"item_id\":\"A\",\"price\":1,\"price\":1,\"created_at\":\"\"}";
    assert!(each(Jsonl, text, price_of)[0].as_ref().unwrap_err().contains("duplicate field `price`"));
    assert_eq!(each(Jsonl, text, time_of), [Ok(None)]);
}

/// `content_sim` has no use for them, and what is wrong with them is not its business.
#[test]
fn a_catalogue_of_tags_has_no_prices() {
    let csv = "id,tags,price,created_at,price\nA,x,1.2.3,yesterday,€\n";
    assert_eq!(items(Csv, csv), ["A: x"]);
    let json = "{\"item_id\":\"A\",\"price\":[1],\"tags\":[\"x\"],\"created_at\":7,\"price\":{\"a\":1e999}}";
    assert_eq!(items(Jsonl, json), ["A: x"]);
}

#[test]
fn first_lines_tell_where_an_item_was_first_given() {
    let mut lines = FirstLines::default();
    let seen = each(Csv, "id\nA\n\"\nB\n\"\n\n A\nB\nb\n", |row| lines.add(row));
    let twice = |line, item, first| {
        Err(format!("items.txt:{line}: item {item:?} was already given on line {first}; keep one of them"))
    };
    assert_eq!(seen, [Ok(()), Ok(()), twice(7, "A", 2), twice(8, "B", 3), Ok(())]);
}

/// The first that is found, not the first by name.
#[test]
fn of_two_items_given_twice_the_one_higher_up_is_named() {
    assert_eq!(twice(Csv, "id\nB\nA\nB\nA\n"), (2, 4));
}
