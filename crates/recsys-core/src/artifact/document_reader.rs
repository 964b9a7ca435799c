//! A fast parser for the usual rows of documents: compact and without escapes.
//!
//! It takes one pass, without an allocation per string. Anything unusual (a blank, an escape, another order of fields, a
//! sign, an exponent, an error) is left to the JSON library, which alone decides what is accepted and words the errors.

use std::borrow::Cow;

/// A row or an element of a row.
pub(crate) trait FastRead<'a>: Sized {
    /// Parses the next value; `None` if it is not plain.
    fn read(text: &mut DocumentScanner<'a>) -> Option<Self>;
}

/// A string without escapes.
impl<'a> FastRead<'a> for Cow<'a, str> {
    fn read(text: &mut DocumentScanner<'a>) -> Option<Self> {
        text.take(b"\"")?;
        let length = text.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
        let string = &text.text[text.at..text.at + length];
        text.at += length;
        text.take(b"\"")?;
        Some(Cow::Borrowed(string))
    }
}

impl FastRead<'_> for u64 {
    fn read(text: &mut DocumentScanner<'_>) -> Option<Self> {
        text.integer().map(Self::from)
    }
}

impl FastRead<'_> for f64 {
    fn read(text: &mut DocumentScanner<'_>) -> Option<Self> {
        let start = text.at;
        let integer = text.integer()?;
        if text.take(b".").is_none() {
            return Some(Self::from(integer));
        }
        let digits = text.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        text.at += digits;
        (digits > 0).then(|| text.text[start..text.at].parse().ok())?
    }
}

impl<'a, T: FastRead<'a>> FastRead<'a> for Vec<T> {
    fn read(text: &mut DocumentScanner<'a>) -> Option<Self> {
        text.take(b"[")?;
        let mut list = Self::new();
        if text.take(b"]").is_some() {
            return Some(list);
        }
        loop {
            list.push(T::read(text)?);
            if text.take(b",").is_none() {
                text.take(b"]")?;
                return Some(list);
            }
        }
    }
}

/// Parses the rows of the first field `name`, if they are plain, and returns them with the rest of the document, in which
/// that list is empty. The caller must check that it was a top-level field.
pub(super) fn split<'a, T: FastRead<'a>>(text: &'a str, name: &str) -> Option<(Vec<T>, String)> {
    let field = format!(",\"{name}\":[");
    let start = text.find(&field)? + field.len();
    let mut scanner = DocumentScanner { text, at: start - 1 };
    let rows = Vec::read(&mut scanner)?;
    Some((rows, [&text[..start], &text[scanner.at - 1..]].concat()))
}

/// A position in a document.
pub(crate) struct DocumentScanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> DocumentScanner<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Skips `expected`.
    pub(super) fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.rest().starts_with(expected).then(|| self.at += expected.len())
    }

    /// An integer of at most 9 digits, so that a float also holds it exactly.
    fn integer(&mut self) -> Option<u32> {
        let mut number: u32 = 0;
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 9 || (digits > 1 && rest[0] == b'0') {
            return None;
        }
        for digit in &rest[..digits] {
            number = number * 10 + u32::from(digit - b'0');
        }
        self.at += digits;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::item_list::ItemCount;
    use super::super::neighbors::Neighbors;
    use super::super::row::Row;
    use super::super::tagged_items::TaggedItem;
    use super::super::user_lists::UserItems;
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;
    use recsys_testkit::seed::cases;

    /// A list of rows, mostly plain.
    fn rows() -> impl Strategy<Value = String> {
        let id = prop_oneof![
            9 => "[a-z0-9é文 :<>&]{0,20}".prop_map(|id| format!("\"{id}\"")),
            1 => any::<String>().prop_map(|id| serde_json::to_string(&id).unwrap()),
            1 => select(&["\"a\tb\"", "\"\\u0061\"", "null", "1", ""][..]).prop_map(ToOwned::to_owned),
        ];
        let number = prop_oneof![
            9 => (0..2_000_000_000u32).prop_map(|number| number.to_string()),
            1 => select(&["01", "-1", "-0", "1.5", "0.000123456789", "1e2", "999999999", "1000000000", "\"1\"", "4294967296", ""][..])
                .prop_map(ToOwned::to_owned),
        ];
        let blank = || select(&["", "", "", "", "", "", "", "", " ", ","][..]);
        let field = select(&["score", "score", "score", "score", "count", "item_id", "more"][..]);
        let item = (id.clone(), number, blank(), field).prop_map(|(id, number, blank, field)| {
            format!("{{\"item_id\":{id},{blank}\"{field}\":{number}}}")
        });
        let items = proptest::collection::vec(item, 0..5);
        let row = (id, items, blank()).prop_map(|(id, items, blank)| {
            format!("{{\"user_id\":{id},\"items\":[{}]{blank}}}", items.join(","))
        });
        proptest::collection::vec(row, 0..4).prop_map(|rows| format!("[{}]", rows.join(",")))
    }

    /// Whether the two parsers agree wherever both accept a document.
    fn is_read<'a, R>(document: &'a str, rows: &'a str) -> bool
    where
        R: Row<'a> + PartialEq + std::fmt::Debug,
    {
        let Some((plain, rest)) = split::<R>(document, R::FIELD) else { return false };
        let library: Vec<R> = serde_json::from_str(rows).expect(rows);
        assert_eq!(plain, library);
        assert_eq!(rest, document.replace(rows, "[]"));
        true
    }

    proptest! {
        #![proptest_config(cases(2000))]

        #[test]
        fn what_is_read_is_what_the_library_reads(rows in rows()) {
            is_read::<UserItems<'_>>(&format!("{{\"v\":1,\"users\":{rows},\"build\":{{}}}}"), &rows);
        }

        #[test]
        fn changed_rows_are_never_read_otherwise(
            at in any::<proptest::sample::Index>(),
            byte in prop_oneof![any::<char>(), select(&['{', '}', '[', ']', '"', ',', ':', '\\', ' ', '0', '9', '-', '.', 'e'][..])],
        ) {
            let at = at.index(ROWS.len());
            for changed in [format!("{}{byte}{}", &ROWS[..at], &ROWS[at..]), format!("{}{byte}{}", &ROWS[..at], &ROWS[at + 1..])] {
                let document = format!("{{\"v\":1,\"users\":{changed},\"build\":{{}}}}");
                if let Some((rows, rest)) = split::<UserItems<'_>>(&document, "users") {
                    // The list may now end earlier than before.
                    let read = &document["{\"v\":1,\"users\":".len()..][..document.len() - rest.len() + "[]".len()];
                    let library: Vec<UserItems<'_>> = serde_json::from_str(read).expect(read);
                    prop_assert_eq!(rows, library);
                }
            }
        }
    }

    const ROWS: &str = r#"[{"user_id":"u1","items":[{"item_id":"a","score":12},{"item_id":"b","score":1}]},{"user_id":"u2","items":[]}]"#;

    #[test]
    fn plain_rows_of_each_kind_are_read() {
        let wrapped =
            |name: &str, rows: &str| format!("{{\"v\":1,\"{name}\":{rows},\"build\":{{\"x\":\"]\"}}}}");
        assert!(is_read::<UserItems<'_>>(&wrapped("users", ROWS), ROWS));
        let scores = ROWS.replace(":12", ":12.0625").replace(":1}", ":0.1}");
        assert!(is_read::<UserItems<'_>>(&wrapped("users", &scores), &scores));
        let items = r#"[{"item_id":"é","count":3,"score":2.5},{"item_id":"a","count":3,"score":1}]"#;
        assert!(is_read::<ItemCount<'_>>(&wrapped("items", items), items));
        let items = r#"[{"item_id":"é","count":3},{"item_id":"b","count":999999999}]"#;
        assert!(is_read::<ItemCount<'_>>(&wrapped("items", items), items));
        let neighbors = r#"[{"item_id":"a","items":[{"item_id":"b","count":0}]}]"#;
        assert!(is_read::<Neighbors<'_>>(&wrapped("neighbors", neighbors), neighbors));
        assert!(is_read::<Neighbors<'_>>(&wrapped("neighbors", "[]"), "[]"));
        let tagged = r#"[{"item_id":"a","tags":["x","y z"]},{"item_id":"b","tags":[]}]"#;
        assert!(is_read::<TaggedItem<'_>>(&wrapped("items", tagged), tagged));
    }

    #[test]
    fn what_is_unusual_is_left_to_the_library() {
        for (from, to) in [
            (":12", ":1."),
            (":12", ":1.5e1"),
            (":12", ":-1"),
            (":12", ":012"),
            (":12", ":1000000000"),
            (":12", ":"),
            ("\"a\"", "\"\\u0061\""),
            ("\"a\"", "\"a\u{1}\""),
            ("\"a\"", " \"a\""),
            ("},{", "}{"),
            ("}]", "},]"),
            ("[]}", "[}"),
        ] {
            let rows = ROWS.replacen(from, to, 1);
            assert_ne!(rows, ROWS);
            let document = format!("{{\"v\":1,\"users\":{rows},\"build\":{{}}}}");
            assert!(split::<UserItems<'_>>(&document, "users").is_none(), "{rows}");
        }
    }
}
