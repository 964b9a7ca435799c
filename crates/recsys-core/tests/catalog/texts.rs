//! Title, category and URL of the image: read and checked, and kept by nobody.

use recsys_core::domain::limit::Limits;
use recsys_core::input::catalog::CatalogFormat;

use super::{Csv, Jsonl, each_row, error, items};

/// Title, image and category of each row; `-` for none.
fn texts(format: CatalogFormat, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    each_row(format, text.as_bytes(), |row| {
        row.check(&Limits::default()).unwrap();
        let texts = [&row.title, &row.image_url, &row.category].map(|text| text.as_deref().unwrap_or("-"));
        seen.push(texts.join(" / "));
    })
    .unwrap();
    seen
}

#[test]
fn texts_are_trimmed_and_empty_ones_are_absent() {
    let csv = "Category,ITEM_ID,Image_Url,TITLE\n\
               \" shoes > running \",A,\thttps://img.example/a.jpg ,\"\u{a0}Runner, \"\"Éclair\"\"\n2 \"\n\
               ,B, ,\"\u{a0}\"\n";
    let json = "{\"category\":\" shoes > running \",\"item_id\":\"A\",\"image_url\":\"\\thttps://img.example/a.jpg \",\
                \"title\":\"\u{a0}Runner, \\\"\\u00c9clair\\\"\\n2 \"}\n\
                {\"item_id\":\"B\",\"category\":\"\",\"image_url\":\" \",\"title\":\"\u{a0}\"}\n";
    let expected = [
        "Runner, \"Éclair\"\n2 / https://img.example/a.jpg / shoes > running".to_owned(),
        "- / - / -".to_owned(),
    ];
    assert_eq!(texts(Csv, csv), expected);
    assert_eq!(texts(Jsonl, json), expected);
    for (format, text) in [(Csv, "id\nA\n"), (Jsonl, "{\"item_id\":\"A\",\"title\":null,\"Category\":7}")] {
        assert_eq!(texts(format, text), ["- / - / -"]);
    }
}

/// A catalogue of one item with such a text.
fn with(format: CatalogFormat, field: &str, text: &str, surface: &str) -> String {
    match format {
        Csv => format!("id,surface,{field}\nA,{surface},{text}\n"),
        Jsonl => format!("\n{{\"item_id\":\"A\",\"namespace\":\"{surface}\",\"{field}\":\"{text}\"}}\n"),
    }
}

/// Bytes are counted, after trimming: é has two.
#[test]
fn a_text_is_of_a_bounded_length() {
    for (field, max) in [("title", 1024), ("image_url", 8192), ("category", 1024)] {
        for format in [Csv, Jsonl] {
            for (longest, longer) in [
                ("x".repeat(max), "x".repeat(max + 1)),
                (format!("  {} ", "é".repeat(max / 2)), format!("{}x", "é".repeat(max / 2))),
            ] {
                assert_eq!(items(format, with(format, field, &longest, "home")), ["A: "], "{field}");
                let expected = format!(
                    "items.txt:2: field `{field}` is {} bytes long; at most {max} are allowed",
                    max + 1
                );
                assert_eq!(error(format, with(format, field, &longer, "home")), expected);
                // The row of another surface is not looked at.
                assert!(items(format, with(format, field, &longer, "cart")).is_empty());
            }
        }
    }
}

#[test]
fn a_text_of_json_is_a_string() {
    for field in ["title", "image_url", "category"] {
        for (value, shown) in [("7", "7"), ("true", "true"), ("[\"x\"]", "a list"), ("{}", "an object")] {
            let told = error(Jsonl, format!("{{\"item_id\":\"A\",\"{field}\":{value}}}"));
            let expected = format!("items.txt:1: field `{field}` is {shown}; it must be a string (column ");
            assert!(told.starts_with(&expected), "{told}");
        }
    }
}

#[test]
fn a_text_given_twice_is_refused() {
    for field in ["title", "image_url", "category"] {
        assert_eq!(
            error(Csv, format!("id,{field},{}\nA,x,x\n", field.to_uppercase())),
            format!("items.txt:1: the header has the column {field} twice; keep one of them")
        );
        let told = error(Jsonl, format!("{{\"item_id\":\"A\",\"{field}\":\"x\",\"{field}\":\"x\"}}"));
        assert!(told.starts_with(&format!("items.txt:1: duplicate field `{field}`")), "{told}");
    }
}
