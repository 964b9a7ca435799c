//! A fast parser for the common case: one flat object of known fields, without escapes.
//!
//! It takes one pass and no allocation. Anything unusual (an escape, an unknown or repeated field, a number with a
//! sign or a fraction, nesting, an error) is left to the JSON library, which alone decides what is accepted and words
//! the errors.

use std::borrow::Cow;
use std::ops::BitOr;

use super::RawExposure;
use crate::encoding::json::Text;

/// Parses `line` if it is plain.
pub(super) fn parse(line: &str) -> Option<RawExposure<'_>> {
    // One check of the whole line saves a check of each string.
    if !is_plain(line) {
        return None;
    }

    let mut rest = LineScanner::new(line, 0);
    let mut raw = RawExposure::default();
    let mut expected = 0;
    rest.blanks();
    rest.take(b'{')?;
    loop {
        rest.blanks();
        let field = rest.field(expected)?;
        expected = field + 1;
        rest.blanks();
        let slot = match field {
            0 | 9 => {
                let slot = if field == 0 { &mut raw.v } else { &mut raw.rank };
                if slot.replace(rest.number()?).is_some() {
                    return None;
                }
                if rest.ends_object()? {
                    return rest.is_at_end().then_some(raw);
                }
                continue;
            }
            1 => &mut raw.ts,
            2 => &mut raw.tenant,
            3 => &mut raw.surface,
            4 => &mut raw.segment,
            5 => &mut raw.user_id,
            6 => &mut raw.session_id,
            7 => &mut raw.request_id,
            _ => &mut raw.item_id,
        };
        if slot.replace(Text(Cow::Borrowed(rest.string()?))).is_some() {
            return None;
        }
        if rest.ends_object()? {
            return rest.is_at_end().then_some(raw);
        }
    }
}

/// The known fields, in the order of canonical data and of most producers.
const FIELDS: [&str; 10] =
    ["v", "ts", "tenant", "surface", "segment", "user_id", "session_id", "request_id", "item_id", "rank"];

/// Whether text has neither escapes nor control characters. Written so that it vectorises, to 16 bytes or more at a time.
pub(super) fn is_plain(text: &str) -> bool {
    let specials = text.bytes().map(|byte| u8::from(byte == b'\\') | u8::from(byte < b' '));
    specials.fold(0, BitOr::bitor) == 0
}

#[derive(Clone)]
pub(super) struct LineScanner<'a> {
    line: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LineScanner<'a> {
    pub(super) fn new(line: &'a str, at: usize) -> Self {
        Self { line, bytes: line.as_bytes(), at }
    }

    fn blanks(&mut self) {
        while self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// The index of the next field, after skipping its name and colon. Tries `expected` and the two after it first,
    /// because fields are optional.
    fn field(&mut self, expected: usize) -> Option<usize> {
        for (number, name) in FIELDS.iter().enumerate().skip(expected).take(3) {
            // Spelled out: text of a known length is compared in one or two instructions.
            let is_next = match number {
                0 => self.begins_with(b"\"v\":"),
                1 => self.begins_with(b"\"ts\":"),
                2 => self.begins_with(b"\"tenant\":"),
                3 => self.begins_with(b"\"surface\":"),
                4 => self.begins_with(b"\"segment\":"),
                5 => self.begins_with(b"\"user_id\":"),
                6 => self.begins_with(b"\"session_id\":"),
                7 => self.begins_with(b"\"request_id\":"),
                8 => self.begins_with(b"\"item_id\":"),
                9 => self.begins_with(b"\"rank\":"),
                _ => false,
            };
            if is_next {
                self.at += name.len() + 3;
                return Some(number);
            }
        }
        let name = self.string()?;
        self.blanks();
        self.take(b':')?;
        FIELDS.iter().position(|field| *field == name)
    }

    fn begins_with<const N: usize>(&self, text: &[u8; N]) -> bool {
        self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) == Some(text)
    }

    /// Skips the comma or brace behind a value; returns whether the object ends there.
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

    /// A string; the line is known to hold no backslash or control character.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        self.text()
    }

    /// The rest of a string, behind its opening quote.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let start = self.at;
        let end = start + first_quote(&self.bytes[start..])?;
        self.at = end + 1;
        self.line.get(start..end)
    }

    /// A rank at the end of the line, as in canonical data.
    pub(super) fn last_rank(&mut self) -> Option<i64> {
        const FIELD: &[u8; 8] = b",\"rank\":";
        if !self.begins_with(FIELD) {
            return None;
        }
        self.at += FIELD.len();
        let rank = self.number()?;
        self.ends_line().then_some(rank)
    }

    /// Whether the object and the line end here.
    pub(super) fn ends_line(&self) -> bool {
        self.bytes[self.at..] == *b"}"
    }

    /// A number of at most 18 digits, without sign or fraction.
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

/// Finds the first quote, eight bytes at a time.
fn first_quote(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let others = u64::from_le_bytes(*chunk) ^ (ONES * u64::from(b'"'));
        // Sets the high bit of each zero byte. Bytes behind the first match may be wrong, the first match never is.
        let found = others.wrapping_sub(ONES) & !others & HIGHS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes[at..].iter().position(|byte| *byte == b'"').map(|position| at + position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;
    use recsys_testkit::seed::cases;

    /// A line that is plain, or nearly.
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
        #![proptest_config(cases(2000))]

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
    fn the_first_quote_is_found_wherever_it_is() {
        for before in 0..40 {
            let mut bytes = "é!#[]~\u{7f}ab".repeat(5).into_bytes();
            bytes.truncate(before);
            assert_eq!(first_quote(&bytes), None);
            bytes.extend_from_slice(b"\"\" more \" of it");
            assert_eq!(first_quote(&bytes), Some(before));
        }
    }
}
