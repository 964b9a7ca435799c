//! The catalogue: what is read from CSV and JSON Lines, and how a bad row is named.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::io::{self, ErrorKind, Read};

use proptest::prelude::*;
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Surface;
use recsys_core::domain::limit::Limits;
use recsys_core::encoding::hash::sha256;
use recsys_core::input::catalog::{
    Catalog, CatalogError, CatalogFormat, CatalogRow, CatalogRows, FirstLines,
};
use recsys_core::input::lines::MAX_LINE_BYTES;
use recsys_testkit::seed::cases;

use CatalogFormat::{Csv, Jsonl};

fn read(format: CatalogFormat, text: impl AsRef<[u8]>) -> Result<Catalog, CatalogError> {
    read_within(format, text.as_ref(), &Limits::default())
}

fn read_within(format: CatalogFormat, reader: impl Read, limits: &Limits) -> Result<Catalog, CatalogError> {
    let surface = Surface::new("home").unwrap();
    Catalog::read("items.txt", format, reader, &surface, limits, &Budget::default())
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
        assert!(
            matches!(&refused, CatalogError::NoItemColumn { name, .. } if name == "items.txt"),
            "{text:?}"
        );
    }
    let no_item = "items.txt:1: the header has no column item_id (or itemid, or id): ";
    for (text, instead) in [
        ("", "it is empty"),
        ("a,b\n", "it is \"a,b\""),
        (
            "item_id;tags\nA;x\n",
            "it is separated by semicolons, \"item_id;tags\"; separate columns by commas",
        ),
        ("tags\tID\nx\tA\n", "it is separated by tabs, \"tags\\tID\"; separate columns by commas"),
        ("item_id|price\n", "it is separated by bars, \"item_id|price\"; separate columns by commas"),
        ("sep=,\nitem_id,tags\nA,x\n", "it is \"sep=,\", which only some programs read; take that line out"),
        (
            "\u{feff}SEP=;\nitem_id;tags\n",
            "it is \"SEP=;\", which only some programs read; take that line out",
        ),
        (
            "tags,\u{feff}id\nx,A\n",
            "a byte order mark (U+FEFF) stands in it, \"tags,\\u{feff}id\"; take it out",
        ),
    ] {
        assert_eq!(error(Csv, text), format!("{no_item}{instead}"), "{text:?}");
    }
}

/// What a file is that is no text, in whatever format it should be.
#[test]
fn a_file_that_is_no_text_is_called_what_it_is() {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for format in [Csv, Jsonl] {
        for (bytes, told) in [
            (b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "the file is gzip; its name must end in .gz"),
            (
                b"PK\x03\x04\x14\0\0\0".to_vec(),
                "the file is a zip archive; take out of it what is to be read",
            ),
            (utf_16("\u{feff}item_id\nA\n"), "the file is UTF-16; convert it to UTF-8"),
            (utf_16("{\"item_id\":\"A\"}\n"), "the file is UTF-16; convert it to UTF-8"),
        ] {
            assert_eq!(error(format, bytes), format!("items.txt:1: {told}"));
        }
    }
}

#[test]
fn text_behind_a_closing_quote_is_refused() {
    let more = ", and more text follows; a quote that belongs to a quoted field is written twice";
    for (text, line, place) in [
        ("id,tags\nA,\"12 inch\nB,x\nC,\"8 inch\n", 2, " on line 4"),
        ("id,tags\nA,x\nB,\"12\" screen\n", 3, ""),
        ("id,tags\nA,\"say \\\"x\\\" now\"\n", 2, ""),
        ("id,tags\r\n\r\n\"A\"x,\r\n", 3, ""),
        ("\"id\"x,tags\n", 1, ""),
        ("id,tags\nA,\"x\" \"y\"\n", 2, ""),
    ] {
        let expected = format!("items.txt:{line}: a quoted field of this row is closed{place}{more}");
        assert_eq!(error(Csv, text), expected, "{text:?}");
    }
    // Wherever the reader's blocks end.
    for length in (1 << 16) - 40..(1 << 16) + 8 {
        let text = format!("id,tags\nA,{}\nB,\"12\" screen\nC,\"y\"\n", "x".repeat(length));
        assert_eq!(bad_row(Csv, text), 3);
    }
    // Blanks are none, and neither is a quote within a field that has none around it.
    assert_eq!(items(Csv, "id,tags\n\"A\" ,\"x\"\t\nB,12\" y\n"), ["A: x", "B: 12\" y"]);
}

#[test]
fn a_catalogue_without_tags_is_told_from_one_whose_items_have_none() {
    let without =
        |format, text: &str| read(format, text).unwrap().without_tags.map(|absent| absent.to_string());
    assert_eq!(without(Csv, "id,tags\nA,\n"), None);
    assert_eq!(without(Csv, "id,price\nA,1\n"), Some("tags".to_owned()));
    assert_eq!(
        without(Csv, "id,Item Tags\nA,x\n"),
        Some("tags (its \"Item Tags\" has another name)".to_owned())
    );
    assert_eq!(without(Csv, "id\n"), Some("tags".to_owned()));
    assert_eq!(without(Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":\"B\",\"tags\":[]}\n"), None);
    let text = "{\"item_id\":\"A\",\"tags\":null,\"Tags\":[\"x\"]}\n";
    assert_eq!(without(Jsonl, text), Some("tags (its \"Tags\" has another name)".to_owned()));
    assert_eq!(without(Jsonl, ""), None);
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
fn a_byte_order_mark_behind_a_blank_line_is_part_of_a_name() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("{end}\u{feff}id,item_id\nA,B\n");
        assert_eq!(items(Csv, &text), ["B: "], "{text:?}");
        let told = error(Csv, format!("{end}\u{feff}id\nA\n"));
        assert!(told.starts_with("items.txt:1: ") && told.contains("a byte order mark (U+FEFF)"), "{told}");
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
    for (text, line) in [
        ("id,tags\nA,x\n\nB,\"y\nC,z\n", 4),
        ("id,tags\r\nA,x\r\nB,\"", 3),
        ("id,tags\nA,\"x\ny\"\nB,\"y\"\"", 4),
        ("\n\"id\nA\n", 2),
    ] {
        let expected = format!("items.txt:{line}: a quoted field of this row is never closed");
        assert_eq!(error(Csv, text), expected, "{text:?}");
    }
    // A quote inside a field is a character like any other, and a closed one may end the file.
    assert_eq!(items(Csv, "id,tags\nA\",x\nB,\"y\""), ["A\": x", "B: y"]);
}

/// There is no telling which is meant; in JSON it is the same.
#[test]
fn a_column_given_twice_is_refused_where_it_is_used() {
    for (header, column) in [
        ("id,tags,ID", "id"),
        ("tags,item_id,Tags", "tags"),
        ("tag_list,id,tag_list", "tag_list"),
        ("id,surface,surface ", "surface"),
    ] {
        let expected = format!("items.txt:2: the header has the column {column} twice; keep one of them");
        assert_eq!(error(Csv, format!("\n{header}\nA,B,C\n")), expected);
    }
    assert_eq!(items(Csv, "id,item_id,id,note,note\nx,A,y,,\n"), ["A: "]);
    assert_eq!(items(Csv, "id,price,price,createdat,createdat\nA,1,2,3,4\n"), ["A: "]);
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
    // Two halves of a character in two fields.
    assert_eq!(error(Csv, b"id,tags\n\xc3,\xa9\n"), "items.txt:2: the row is not UTF-8");
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
    for (format, text) in [
        (Csv, "id,surface\nA,home\nB,cart\n,\n"),
        (Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":\"B\",\"namespace\":\"cart\"}\n\n{\"item_id\":\"\"}\n"),
    ] {
        let read = |max| read_within(format, text.as_bytes(), &limits(max));
        assert_eq!(read(3).unwrap().rows, 3);
        let Err(CatalogError::Limit(exceeded)) = read(2) else { panic!("taken") };
        assert_eq!((exceeded.limit, exceeded.value, exceeded.max), ("max_catalog_items", 3, 2));
        assert!(exceeded.to_string().contains("items.txt"), "{exceeded}");
    }
}

/// A catalogue of one item with so many distinct tags, each of them twice, and of one of another surface with more.
fn tagged(format: CatalogFormat, count: usize) -> String {
    let tags = |count| (0..2 * count).map(|number| format!("t{:x}", number % count)).collect::<Vec<_>>();
    let (own, foreign) = (tags(count), tags(count + 1));
    match format {
        Csv => format!("id,surface,tags\nA,home,{}\nB,cart,{}\n", own.join("|"), foreign.join("|")),
        Jsonl => format!(
            "{{\"item_id\":\"A\",\"tags\":{own:?}}}\n{{\"item_id\":\"B\",\"namespace\":\"cart\",\"tags\":{foreign:?}}}\n"
        ),
    }
}

#[test]
fn an_item_with_more_tags_than_allowed_is_refused() {
    for (format, line) in [(Csv, 2), (Jsonl, 1)] {
        let limits = Limits { max_tags_per_item: 3, ..Limits::default() };
        let read = |count| read_within(format, tagged(format, count).as_bytes(), &limits);
        assert_eq!(read(3).unwrap().items[0].tags, ["t0", "t1", "t2"]);
        let Err(CatalogError::Limit(exceeded)) = read(4) else { panic!("taken") };
        assert_eq!(
            exceeded.to_string(),
            format!(
                "limit max_tags_per_item exceeded: 4 of at most 3 in items.txt:{line}, item \"A\"; raise \
                 limits.max_tags_per_item if this is expected"
            )
        );
    }
}

/// With a look at all tags for each tag, these would take minutes.
#[test]
fn a_row_may_be_full_of_tags() {
    let limits = Limits { max_tags_per_item: 100_000, ..Limits::default() };
    for format in [Csv, Jsonl] {
        let text = tagged(format, 40_000);
        let catalog = read_within(format, text.as_bytes(), &limits).unwrap();
        let tags = &catalog.items[0].tags;
        assert_eq!((tags.len(), tags[0].as_str(), tags[39_999].as_str()), (40_000, "t0", "t9c3f"));
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

// ---- Rows one by one ---------------------------------------------------------------------------------

/// Calls `take` with each row up to the first that cannot be read.
fn each_row(
    format: CatalogFormat,
    reader: impl Read,
    mut take: impl FnMut(CatalogRow<'_>),
) -> Result<(), CatalogError> {
    let mut rows = CatalogRows::open("items.txt", format, reader)?;
    while let Some(row) = rows.next_row()? {
        take(row);
    }
    Ok(())
}

/// What `field` says of each row, an error as its message.
fn each<T>(
    format: CatalogFormat,
    text: impl AsRef<[u8]>,
    mut field: impl FnMut(&CatalogRow<'_>) -> Result<T, CatalogError>,
) -> Vec<Result<T, String>> {
    let mut seen = Vec::new();
    let take = |row: CatalogRow<'_>| seen.push(field(&row).map_err(|error| error.to_string()));
    each_row(format, text.as_ref(), take).unwrap();
    seen
}

fn price_of(row: &CatalogRow<'_>) -> Result<Option<String>, CatalogError> {
    row.price()
}

fn time_of(row: &CatalogRow<'_>) -> Result<Option<String>, CatalogError> {
    Ok(row.created_at()?.map(|time| time.to_string()))
}

/// Each row as `line item [tags] namespace price created_at`.
fn written(format: CatalogFormat, reader: impl Read) -> Vec<String> {
    let mut seen = Vec::new();
    each_row(format, reader, |row| {
        let (tags, namespace) = (row.tags.join(" "), row.namespace.as_deref().unwrap_or("-"));
        let (price, created_at) = (price_of(&row).unwrap(), time_of(&row).unwrap());
        seen.push(format!(
            "{} {:?} [{tags}] {namespace} {} {}",
            row.line,
            row.item_id,
            price.as_deref().unwrap_or("-"),
            created_at.as_deref().unwrap_or("-"),
        ));
    })
    .unwrap();
    seen
}

/// The same rows in both formats, with all there is to get wrong about lines.
const BOTH: [(CatalogFormat, &str); 2] = [
    (
        Csv,
        "\u{feff}\r\nNAMESPACE,Tags,Price,Item_ID,CreatedAt\r\n\
         ,\"x\ny;X\nY\", 12.50 ,\" é\r\n\",2026-01-01\r\n\
         \r\n\n home ,,,B,\n\
         \"\",,-0.5e1,\"\", 2026-01-01T02:00:00+02:00 ",
    ),
    (
        Jsonl,
        "\u{feff}\r\n\n\
         {\"item_id\":\" \\u00e9\\n\",\"tags\":[\"x\\ny\",\" X\\nY\"],\"price\":12.50,\"created_at\":\"2026-01-01\"}\r\n\
         \r\n \t\n\n\n\n{\"namespace\":\" home \",\"item_id\":\"B\",\"price\":null,\"created_at\":\" \"}\n\
         {\"price\":\"-0.5e1\",\"item_id\":\"\",\"created_at\":\"2026-01-01T02:00:00+02:00\",\"namespace\":\"\"}",
    ),
];

const BOTH_ROWS: [&str; 3] = [
    "3 \"é\" [x\ny] - 12.5 2026-01-01T00:00:00Z",
    "9 \"B\" [] home - -",
    "10 \"\" [] - -5 2026-01-01T00:00:00Z",
];

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

// ---- Readers -----------------------------------------------------------------------------------------

/// Gives one byte at a time, and is interrupted before each.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(ErrorKind::Interrupted.into());
        }
        let wanted = buffer.len().min(1);
        self.0.read(&mut buffer[..wanted])
    }
}

/// Gives the same bytes for ever.
struct Endless(&'static [u8], usize);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.0[self.1];
            self.1 = (self.1 + 1) % self.0.len();
        }
        Ok(buffer.len())
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("gone"))
    }
}

#[test]
fn rows_are_the_same_one_byte_at_a_time() {
    for (format, text) in BOTH {
        assert_eq!(written(format, Trickle(text.as_bytes(), false)), BOTH_ROWS, "{format:?}");
        let marked = format!("\u{feff}{text}");
        assert_eq!(written(format, Trickle(marked.as_bytes(), false)), BOTH_ROWS, "{format:?}");
        let read = read_within(format, Trickle(text.as_bytes(), false), &Limits::default());
        assert_eq!(read.unwrap(), self::read(format, text).unwrap());
    }
    let row = Trickle(b"id,tags\nA,\"x", false);
    let error = each_row(Csv, row, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "items.txt:2: a quoted field of this row is never closed");
}

#[test]
fn a_file_that_breaks_off_is_named() {
    for (format, beginning, rows) in [
        (Csv, "", 0),
        (Csv, "i", 0),
        (Csv, "id,tags\n", 0),
        (Csv, "id,tags\nA,x\nB,y", 1),
        (Csv, "id,tags\nA,x\nB,\"", 1),
        (Jsonl, "", 0),
        (Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":\"B\"}", 1),
    ] {
        let mut seen = 0;
        let error = each_row(format, beginning.as_bytes().chain(Broken), |_| seen += 1).unwrap_err();
        assert_eq!((error.to_string().as_str(), seen), ("cannot read items.txt", rows), "{beginning:?}");
        assert!(matches!(error, CatalogError::Store(_)), "{error:?}");
    }
}

#[test]
fn a_row_longer_than_the_bound_is_refused_and_one_as_long_is_not() {
    let csv = format!(
        "items.txt:4: the row is longer than {MAX_LINE_BYTES} bytes; is a line end or a closing quote missing?"
    );
    let json = format!("items.txt:4: the line is longer than {MAX_LINE_BYTES} bytes; is a line end missing?");
    let long = |length: usize, quote: &str| {
        let length = length - 2 * quote.len();
        format!("{quote}{}{quote}", if quote.is_empty() { "x".repeat(length) } else { "\n".repeat(length) })
    };
    let object = |length: usize| format!("{{\"item_id\":\"{}\"}}", "x".repeat(length - 14));
    for end in ["", "\n", "\r\n", "\r\nB\r\n"] {
        for quote in ["", "\""] {
            let text = |length| format!("id\nA\n\n{}{end}", long(length, quote));
            assert!(each_row(Csv, text(MAX_LINE_BYTES).as_bytes(), |_| {}).is_ok());
            let refused = each_row(Csv, text(MAX_LINE_BYTES + 1).as_bytes(), |_| {}).unwrap_err();
            assert_eq!(refused.to_string(), csv);
        }
        let end = end.replace('B', "{\"item_id\":\"B\"}");
        let text = |length| format!("\n{{\"item_id\":\"A\"}}\n\n{}{end}", object(length));
        assert!(each_row(Jsonl, text(MAX_LINE_BYTES).as_bytes(), |_| {}).is_ok());
        let refused = each_row(Jsonl, text(MAX_LINE_BYTES + 1).as_bytes(), |_| {}).unwrap_err();
        assert_eq!(refused.to_string(), json);
    }
}

/// Each of these would otherwise fill the memory, or never end.
#[test]
fn an_endless_file_is_left_where_it_breaks_a_rule() {
    for (format, beginning, rest) in [
        (Csv, "", "x"),
        (Csv, "\"", "\n"),
        (Csv, "id\nA\n", ","),
        (Csv, "id\nA\n\"", "\n"),
        (Csv, "id\nA\n", "\"\","),
        (Jsonl, "", " "),
        (Jsonl, "{\"item_id\":\"A\"}\n", "{"),
    ] {
        let reader = beginning.as_bytes().chain(Endless(rest.as_bytes(), 0));
        let error = each_row(format, reader, |_| {}).unwrap_err().to_string();
        assert!(error.contains("is longer than 1048576 bytes"), "{error}");
    }
    let limits = Limits { max_catalog_items: 1000, ..Limits::default() };
    for (format, beginning, rest) in
        [(Csv, "id,surface\n", "A,cart\n"), (Jsonl, "", "{\"item_id\":\"A\",\"namespace\":\"cart\"}\n")]
    {
        let reader = beginning.as_bytes().chain(Endless(rest.as_bytes(), 0));
        let read = read_within(format, reader, &limits);
        let Err(CatalogError::Limit(exceeded)) = read else { panic!("{read:?}") };
        assert_eq!((exceeded.value, exceeded.max), (1001, 1000));
    }
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
