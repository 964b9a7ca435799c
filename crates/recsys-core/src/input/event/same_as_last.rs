//! A fast path for lines that differ from the previous one only in time, item and rank.
//!
//! Producers that log a whole slate, or session by session, repeat the same fields line after line. Comparing two
//! lines takes a fraction of the time of parsing one.

use std::ops::Range;

use super::fast_line::{LineScanner, is_plain};
use super::{Exposure, RawExposure, Rules, text, trim};
use crate::encoding::timestamp;

/// The last fully parsed line, up to the text of its item. All lines must be checked against the same rules.
#[derive(Debug, Default)]
pub struct LastLine {
    start: String,
    fields: Option<FieldRanges>,
}

/// Positions of the event's fields in the line.
#[derive(Debug)]
struct FieldRanges {
    ts: Range<usize>,
    session_id: Range<usize>,
    user_id: Option<Range<usize>>,
    request_id: Option<Range<usize>>,
    segment: Option<Range<usize>>,
    rank: Rank,
}

#[derive(Debug)]
enum Rank {
    /// Before the item, or absent.
    Same(Option<i64>),
    AfterItem,
}

impl LastLine {
    /// Remembers a parsed line and its event; `None` as event forgets the previous line.
    pub fn remember(&mut self, line: &str, raw: &RawExposure<'_>, event: Option<&Exposure<'_>>) {
        self.fields = event.and_then(|event| {
            let item = range_in(line, event.item_id)?;
            let mut rest = LineScanner::new(line, item.start);
            rest.text()?;
            let rank = if rest.clone().ends_line() {
                Rank::Same(event.rank)
            } else {
                // Only a rank may follow the item: nothing else behind it is compared.
                rest.last_rank().map(|_| Rank::AfterItem)?
            };
            let fields = FieldRanges {
                ts: range_in(line, trim(text(raw.ts.as_ref())?))?,
                session_id: range_in(line, event.session_id)?,
                user_id: optional_range_in(line, event.user_id)?,
                request_id: optional_range_in(line, event.request_id)?,
                segment: optional_range_in(line, event.segment)?,
                rank,
            };
            self.start.clear();
            self.start.push_str(&line[..item.start]);
            Some(fields)
        });
    }

    /// Reads a line that repeats the last one; `None` if it does not.
    pub fn read<'a>(&self, line: &'a str, rules: &Rules<'_>) -> Option<Exposure<'a>> {
        let FieldRanges { ts, session_id, user_id, request_id, segment, rank } = self.fields.as_ref()?;
        let (last, bytes) = (self.start.as_bytes(), line.as_bytes().get(..self.start.len())?);
        if bytes[ts.end..] != last[ts.end..] || bytes[..ts.start] != last[..ts.start] {
            return None;
        }
        let ts = timestamp::plain_utc(&bytes[ts.clone()])?;
        let mut rest = LineScanner::new(line, last.len());
        let item_id = rest.text().filter(|text| is_plain(text)).map(trim)?;
        if item_id.is_empty() || item_id.len() > rules.max_id_bytes {
            return None;
        }
        let rank = match rank {
            Rank::Same(rank) => rest.ends_line().then_some(*rank)?,
            Rank::AfterItem => Some(rest.last_rank()?),
        };
        let optional = |place: &Option<Range<usize>>| place.clone().map(|place| &line[place]);
        Some(Exposure {
            ts,
            session_id: &line[session_id.clone()],
            item_id,
            user_id: optional(user_id),
            request_id: optional(request_id),
            segment: optional(segment),
            rank,
        })
    }
}

/// The position in `line` of a text borrowed from it; `None` if the text had escapes and was copied.
fn range_in(line: &str, text: &str) -> Option<Range<usize>> {
    let start = (text.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    let end = start + text.len();
    (end <= line.len()).then_some(start..end)
}

/// Like [`range_in`] for an optional field; `None` only if the field is present and was copied.
#[allow(clippy::option_option, reason = "what is absent is found nowhere, which is no reason to give up")]
fn optional_range_in(line: &str, text: Option<&str>) -> Option<Option<Range<usize>>> {
    text.map_or(Some(None), |text| range_in(line, text).map(Some))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use recsys_testkit::seed::cases;

    use super::*;
    use crate::domain::id::{Scope, Surface, Tenant};

    fn scope() -> Scope {
        Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() }
    }

    /// So low that some of the ids below are too long.
    const MAX_ID_BYTES: usize = 20;

    /// Reads `line` after `before` and asserts that the result equals that of a full parse. Returns whether the fast path
    /// applied.
    fn is_repeated(before: &str, line: &str) -> bool {
        let rules = Rules { scope: &scope(), max_id_bytes: MAX_ID_BYTES };
        let mut last = LastLine::default();
        if let Ok(raw) = RawExposure::parse(before)
            && let Ok(event) = raw.check(&rules)
        {
            last.remember(before, &raw, event.as_ref());
        }
        let Some(event) = last.read(line, &rules) else { return false };
        let raw = RawExposure::parse(line).expect(line);
        assert_eq!(raw.check(&rules), Ok(Some(event)), "{before}\n{line}");
        true
    }

    const LINE: &str = r#"{"v":1,"ts":"2026-01-01T08:00:00Z","tenant":"demo","surface":"home","segment":"é","user_id":" u1 ","session_id":"s1","request_id":"r","item_id":"sku-1","rank":0}"#;

    #[test]
    fn time_item_and_rank_may_differ() {
        let other = LINE.replace("08:00:00", "23:59:59").replace("sku-1", "文").replace(":0}", ":123}");
        assert!(is_repeated(LINE, &other));
        let without_rank = LINE.replace(",\"rank\":0", "");
        assert!(is_repeated(&without_rank, &without_rank.replace("sku-1", " longer than before ")));
        let rank_first = without_rank.replace("{\"v\"", "{\"rank\":7,\"v\"");
        assert!(is_repeated(&rank_first, &rank_first.replace("sku-1", "A")));
    }

    #[test]
    fn whatever_else_differs_is_read_anew() {
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("demo", "dem0"),
            ("home", "Home"),
            ("é", "è"),
            ("u1", "u2"),
            ("s1", "s2"),
            ("\"r\"", "\"s\""),
            ("\"r\"", "\"longer\""),
            ("08:00:00Z", "08:00:61Z"),
            ("08:00:00Z", "08:00:00.5Z"),
            ("08:00:00Z", "08:00:00z"),
            ("sku-1", ""),
            ("sku-1", "  "),
            ("sku-1", "an item with a long id"),
            ("sku-1", "\\u0041"),
            ("sku-1", "a\tb"),
            ("\"rank\":0", "\"rank\":-0"),
            ("\"rank\":0", "\"rank\":00"),
            ("\"rank\":0", "\"rank\":1.5"),
            ("\"rank\":0", "\"rank\": 1"),
            ("\"rank\":0", "\"more\":0"),
            (",\"rank\":0", ""),
            (":0}", ":0,\"rank\":1}"),
            (":0}", ":0} "),
            (":0}", ":0}}"),
            (":0}", ":0"),
        ] {
            let other = LINE.replace(from, to);
            assert_ne!(other, LINE);
            assert!(!is_repeated(LINE, &other), "{other}");
        }
        assert!(is_repeated(LINE, LINE));
        assert!(!is_repeated(LINE, &LINE[..LINE.len() - 1]));
        assert!(!is_repeated(LINE, ""));
    }

    #[test]
    fn not_every_line_is_remembered() {
        for (from, to) in [
            // Unescaped into a copy, so its position in the line is unknown.
            ("s1", "\\u0073"),
            ("sku-1", "sku\\u002d1"),
            // Something other than a plain rank follows the item.
            ("\"rank\":0", "\"rank\": 0"),
            ("\"rank\":0", "\"rank\":null"),
            ("\"rank\":0", "\"rank\":0,\"more\":0"),
            // A foreign event, or a bad one.
            ("demo", "other"),
            ("2026-01-01T08", "noon"),
        ] {
            let before = LINE.replace(from, to);
            assert_ne!(before, LINE);
            assert!(!is_repeated(&before, &before), "{before}");
        }
    }

    #[test]
    fn a_line_that_is_not_remembered_makes_forget_the_one_before() {
        let mut last = LastLine::default();
        let raw = RawExposure::parse(LINE).unwrap();
        let (scope, line) = (scope(), LINE);
        let rules = Rules::new(&scope);
        let event = raw.check(&rules).unwrap();
        last.remember(line, &raw, event.as_ref());
        assert!(last.read(line, &rules).is_some());
        last.remember(line, &raw, None);
        assert!(last.read(line, &rules).is_none());
    }

    /// A line with its fields in random order; values may be missing or unusual.
    fn line() -> impl Strategy<Value = String> {
        let fields = [
            ("v", &["1", "1", "1", "2", "null"][..]),
            ("ts", &["\"2026-01-01T08:00:00Z\"", "\"2026-01-01T08:00:00.25Z\"", "\" 2026-01-01T08:00:00Z\""]),
            ("tenant", &["\"demo\"", "\"demo \""]),
            ("surface", &["\"home\""]),
            ("user_id", &["\"u\"", "\"\"", "null", "\"\\u0075\"", "\"é\""]),
            ("session_id", &["\"s\"", "\" s\"", "\"\u{3000}文\""]),
            ("rank", &["0", "12", "null", "-1"]),
            ("more", &["{\"item_id\":\"x\",\"rank\":1}", "\"A\""]),
            (
                "item_id",
                &[
                    "\"A\"",
                    "\"\"",
                    "\"B\\\"\"",
                    "\" A\"",
                    "\"an item with a long id\"",
                    "\"é\"",
                    "\"\u{3000}A\u{3000}\"",
                ],
            ),
        ];
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, values)| {
                let value = prop_oneof![6 => Just(values[0]), 2 => select(values)];
                proptest::option::weighted(0.9, value.prop_map(move |value| format!("\"{name}\":{value}")))
            })
            .collect();
        let swapped = proptest::option::weighted(0.4, (0..9usize, 0..9usize));
        (fields, swapped).prop_map(|(mut fields, swapped)| {
            if let Some((one, other)) = swapped {
                fields.swap(one, other);
            }
            format!("{{{}}}", fields.into_iter().flatten().collect::<Vec<_>>().join(","))
        })
    }

    proptest! {
        #![proptest_config(cases(4000))]

        #[test]
        fn what_repeats_a_line_is_read_as_it_would_be_alone(
            before in line(),
            other in line(),
            at in any::<prop::sample::Index>(),
            byte in select(&b"\"\\,}{:019AaZ \t"[..]),
        ) {
            is_repeated(&before, &before);
            is_repeated(&before, &other);
            let at = at.index(before.len());
            let (at, next) = (before.floor_char_boundary(at), before.ceil_char_boundary(at + 1));
            let (head, tail) = (&before[..at], &before[next..]);
            let byte = char::from(byte);
            is_repeated(&before, &format!("{head}{byte}{tail}"));
            is_repeated(&before, &format!("{head}{byte}{}", &before[at..]));
            is_repeated(&before, &format!("{head}{tail}"));
        }
    }
}
