//! Rows of CSV.

use recsys_core::domain::limit::Limits;
use recsys_core::encoding::hash::sha256;
use recsys_core::input::catalog::{CatalogError, CatalogFormat};

use super::{Csv, Jsonl, NO_ITEMS, bad_row, error, items, read, read_within, twice};

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
            matches!(&refused, CatalogError::Row { name, line: 1, .. } if name == "items.txt"),
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
