//! The lines that almost all lines are: one flat object of known fields, without an escape in it.
//!
//! Such a line is read in one pass, without an allocation. Whatever is the least bit unusual (an escape, an
//! unknown or repeated field, a number with a sign or a fraction, nesting, an error) is left to the JSON
//! library, so that what is accepted, and what is said of what is not, is the library's alone.

use std::borrow::Cow;

use super::RawExposure;
use crate::json::Text;

/// Reads `line` if it is a plain one.
pub(super) fn parse(line: &str) -> Option<RawExposure<'_>> {
    let mut rest = Cursor { line, bytes: line.as_bytes(), at: 0 };
    let mut raw = RawExposure::default();
    rest.blanks();
    rest.take(b'{')?;
    loop {
        rest.blanks();
        let name = rest.string()?;
        rest.blanks();
        rest.take(b':')?;
        rest.blanks();
        let slot = match name {
            "ts" => &mut raw.ts,
            "tenant" => &mut raw.tenant,
            "surface" => &mut raw.surface,
            "segment" => &mut raw.segment,
            "user_id" => &mut raw.user_id,
            "session_id" => &mut raw.session_id,
            "request_id" => &mut raw.request_id,
            "item_id" => &mut raw.item_id,
            "v" | "rank" => {
                let slot = if name == "v" { &mut raw.v } else { &mut raw.rank };
                if slot.replace(rest.number()?).is_some() {
                    return None;
                }
                if rest.ends_object()? {
                    return rest.is_at_end().then_some(raw);
                }
                continue;
            }
            _ => return None,
        };
        if slot.replace(Text(Cow::Borrowed(rest.string()?))).is_some() {
            return None;
        }
        if rest.ends_object()? {
            return rest.is_at_end().then_some(raw);
        }
    }
}

struct Cursor<'a> {
    line: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// After a value: whether the object ends here rather than going on.
    fn ends_object(&mut self) -> Option<bool> {
        self.blanks();
        let ends = match self.bytes.get(self.at)? {
            b',' => false,
            b'}' => true,
            _ => return None,
        };
        self.at += 1;
        Some(ends)
    }

    fn is_at_end(&mut self) -> bool {
        self.blanks();
        self.at == self.bytes.len()
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        let end = start + first_special(&self.bytes[start..])?;
        self.at = end;
        self.take(b'"')?;
        self.line.get(start..end)
    }

    /// A number of at most 18 digits and nothing else.
    fn number(&mut self) -> Option<i64> {
        let digits = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = self.line.get(self.at..self.at + digits)?;
        if digits > 18 || (digits > 1 && text.starts_with('0')) {
            return None;
        }
        self.at += digits;
        text.parse().ok()
    }
}

/// Where the first quote, backslash or control character is: eight bytes at a time.
fn first_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // Sets the highest bit of each zero byte. Bytes after the first such one may be wrong; it is never.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    bytes[at..].iter().position(is_special).map(|position| at + position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// A line of the plain kind, or nearly.
    fn line() -> impl Strategy<Value = String> {
        let name = select(
            &[
                "v",
                "ts",
                "tenant",
                "surface",
                "segment",
                "user_id",
                "session_id",
                "request_id",
                "item_id",
                "rank",
                "more",
                "",
                "V",
            ][..],
        );
        let value = prop_oneof![
            8 => "[a-zA-Z0-9é文 :<>&/.-]{0,20}".prop_map(|text| format!("\"{text}\"")),
            2 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            1 => any::<String>().prop_map(|text| format!("\"{text}\"")),
            3 => (0..2000u32).prop_map(|number| number.to_string()),
            1 => any::<i64>().prop_map(|number| number.to_string()),
            1 => select(&["null", "true", "1.5", "-0", "01", "1e3", "1e400", "9223372036854775807",
                "9223372036854775808", "", "[]", "{}", "{\"v\":1}", "\"\\ud800\"", "\"a\u{0}b\""][..])
                .prop_map(ToOwned::to_owned),
        ];
        let blank = select(&["", "", "", "", " ", "\t", "\r", "\u{a0}"][..]);
        let field = (name, value, blank.clone(), blank);
        let edge = select(&["", "", "", "", " ", "}", ",", "{", "\u{feff}", "x"][..]);
        (proptest::collection::vec(field, 0..12), edge.clone(), edge).prop_map(|(fields, before, after)| {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value, one, other)| format!("{one}\"{name}\"{other}:{one}{value}{other}"))
                .collect();
            format!("{before}{{{}}}{after}", fields.join(","))
        })
    }

    fn assert_agrees(line: &str) {
        if let Some(raw) = parse(line) {
            let library: RawExposure<'_> = serde_json::from_str(line).expect(line);
            assert_eq!(format!("{raw:?}"), format!("{library:?}"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_is_what_the_library_reads(line in line()) {
            assert_agrees(&line);
        }

        #[test]
        fn a_cut_or_changed_line_is_never_read_otherwise(at in any::<proptest::sample::Index>(), byte in any::<char>()) {
            assert!(parse(GOOD).is_some());
            let at = at.index(GOOD.len());
            assert_agrees(&GOOD[..at]);
            assert_agrees(&format!("{}{byte}{}", &GOOD[..at], &GOOD[at..]));
            assert_agrees(&format!("{}{byte}{}", &GOOD[..at], &GOOD[at + 1..]));
        }
    }

    const GOOD: &str = r#"{"v":1,"ts":"2026-01-01T08:00:00Z", "tenant" : "demo","surface":"home","user_id":"u1","session_id":"s1","request_id":"r","item_id":"sku-1","rank":0}"#;

    #[test]
    fn what_is_unusual_is_left_to_the_library() {
        for (from, to) in [
            ("\"u1\"", "\"u\\u0031\""),
            ("\"u1\"", "null"),
            ("\"rank\":0", "\"rank\":-0"),
            ("\"rank\":0", "\"rank\":00"),
            ("\"rank\":0", "\"rank\":1.0"),
            ("\"rank\":0", "\"rank\":1,\"rank\":1"),
            ("\"rank\":0", "\"more\":0"),
            ("\"rank\":0", "\"rank\":1000000000000000000"),
            ("}", "}}"),
            ("}", ""),
            ("u1", "u\u{1}1"),
        ] {
            let line = GOOD.replace(from, to);
            assert_ne!(line, GOOD);
            assert!(parse(&line).is_none(), "{line}");
        }
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for before in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                let mut bytes = "é!#[]~\u{7f}ab".repeat(5).into_bytes();
                bytes.truncate(before);
                assert_eq!(first_special(&bytes), None);
                bytes.push(special);
                bytes.extend_from_slice(b"\"\\ more \x00 of it");
                assert_eq!(first_special(&bytes), Some(before));
            }
        }
    }
}
