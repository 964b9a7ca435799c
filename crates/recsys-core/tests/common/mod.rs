//! Random inputs: raw lines with few distinct ids, files cut from them, and contents of artifacts.

use std::borrow::Cow;
use std::io::Cursor;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use recsys_core::artifact::neighbors::Neighbors;
use recsys_core::artifact::tagged_items::TaggedItem;
use recsys_core::artifact::user_lists::{ItemScore, UserItems};
use recsys_core::artifact::{ArtifactKey, ItemCount, Payload};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::{Scope, Segment, Surface, Tenant};
use recsys_core::domain::window::{Day, Window};
use recsys_core::input::lines::LineFile;
use recsys_testkit::generate::Exposure;

/// A day from `YYYY-MM-DD`.
pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// The days for which the lines below hold events. Some events lie before the first and after the last.
pub(crate) const DAYS: [&str; 3] = ["2026-01-01", "2026-01-02", "2026-01-03"];

/// Of unequal length, some the beginning of others, in an order of bytes that no alphabet has.
const NAMES: [&str; 8] = ["a", "aa", "b", "A", "é", "文<\u{2028}&>", "q\"\n\u{1}\\", "😀\u{fffd}"];

/// What an event is, apart from how it is written.
#[derive(Debug, Clone)]
struct EventSpec {
    /// Day (0 is 2025-12-31), second, nanosecond.
    moment: (usize, i64, u32),
    owner: (&'static str, &'static str),
    session: usize,
    item: usize,
    user: Option<usize>,
    request: Option<usize>,
    segment: Option<&'static str>,
    rank: Option<u32>,
}

/// One of many ways to write the same event.
#[derive(Debug, Clone)]
struct Spelling {
    offset_minutes: i64,
    zulu: bool,
    nine_digits: bool,
    padding: &'static str,
    /// How to say that a field is absent.
    absent: Option<&'static str>,
}

fn event(names: usize) -> impl Strategy<Value = EventSpec> {
    let moment = (
        prop_oneof![1 => Just(0usize), 8 => 1..=3usize, 1 => Just(4usize)],
        select(&[0i64, 0, 1, 43_200, 86_399][..]),
        select(&[0u32, 0, 0, 1, 120_000_000, 999_999_999][..]),
    );
    let owner =
        prop_oneof![12 => Just(("demo", "home")), 1 => Just(("other", "home")), 1 => Just(("demo", "cart"))];
    let segment = select(&[None, None, Some("new"), Some("new"), Some("old"), Some("ne")][..]);
    let ids = (0..names, 0..names, weighted(0.7, 0..names), weighted(0.5, 0..names));
    (moment, owner, ids, segment, weighted(0.7, 0..3u32)).prop_map(
        |(moment, owner, (session, item, user, request), segment, rank)| EventSpec {
            moment,
            owner,
            session,
            item,
            user,
            request,
            segment,
            rank,
        },
    )
}

fn spelling() -> impl Strategy<Value = Spelling> {
    (
        select(&[0i64, 0, 120, -330, 839, -720][..]),
        any::<bool>(),
        any::<bool>(),
        select(&["", "", "", " ", "\t\u{a0}", "\u{3000}\r\n"][..]),
        select(&[None, Some(""), Some(" \t")][..]),
    )
        .prop_map(|(offset_minutes, zulu, nine_digits, padding, absent)| Spelling {
            offset_minutes,
            zulu,
            nine_digits,
            padding,
            absent,
        })
}

impl EventSpec {
    /// The same event, or one that differs in a single field.
    fn twin(&self, field: usize) -> Self {
        let mut twin = self.clone();
        match field {
            0 => twin.segment = Some("new").xor(twin.segment),
            1 => twin.user = Some(0).xor(twin.user),
            2 => twin.request = Some(0).xor(twin.request),
            3 => twin.rank = Some(0).xor(twin.rank),
            4 => twin.item = 1 - twin.item.min(1),
            _ => {}
        }
        twin
    }
}

impl Spelling {
    fn moment(&self, (day, second, nanosecond): (usize, i64, u32)) -> String {
        const DAYS: [&str; 7] = [
            "2025-12-30",
            "2025-12-31",
            "2026-01-01",
            "2026-01-02",
            "2026-01-03",
            "2026-01-04",
            "2026-01-05",
        ];
        let local = i64::try_from(day + 1).unwrap() * 86_400 + second + self.offset_minutes * 60;
        let date = DAYS[usize::try_from(local / 86_400).unwrap()];
        let clock = local % 86_400;
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        let fraction = if self.nine_digits {
            format!(".{nanosecond:09}")
        } else if nanosecond == 0 {
            String::new()
        } else {
            format!(".{nanosecond:09}").trim_end_matches('0').to_owned()
        };
        let offset = if self.zulu && self.offset_minutes == 0 {
            "Z".to_owned()
        } else {
            let sign = if self.offset_minutes < 0 { '-' } else { '+' };
            let minutes = self.offset_minutes.abs();
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        };
        format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}")
    }

    fn line(&self, event: &EventSpec) -> String {
        let padded = |text: &str| format!("{0}{text}{0}", self.padding);
        let optional = |text: Option<&str>| text.map(padded).or_else(|| self.absent.map(ToOwned::to_owned));
        let name = |name: Option<usize>| name.map(|name| NAMES[name]);
        let exposure = Exposure {
            ts: self.moment(event.moment),
            tenant: padded(event.owner.0),
            surface: padded(event.owner.1),
            segment: optional(event.segment),
            user_id: optional(name(event.user)),
            session_id: padded(NAMES[event.session]),
            request_id: optional(name(event.request)),
            item_id: padded(NAMES[event.item]),
            rank: event.rank,
        };
        let line = exposure.line();
        match self.absent {
            Some("") => line.replacen('{', "{\"campaign\":{\"id\":[1.5,null]},", 1),
            _ => line,
        }
    }
}

/// Raw lines: ties, repeats (some spelled otherwise, some not quite the same), events of others and of
/// other days.
pub(crate) fn lines() -> impl Strategy<Value = Vec<String>> {
    let events = (2..=NAMES.len()).prop_flat_map(|names| vec((event(names), spelling()), 0..50));
    let repeats = vec((any::<Index>(), spelling(), 0..8usize), 0..16);
    (events, repeats).prop_map(|(mut events, repeats)| {
        if !events.is_empty() {
            for (which, spelling, field) in repeats {
                let event = which.get(&events).0.twin(field);
                events.insert(which.index(events.len()), (event, spelling));
            }
        }
        events.iter().map(|(event, spelling)| spelling.line(event)).collect()
    })
}

/// From a budget that nothing exceeds to one that everything does.
pub(crate) fn budget() -> impl Strategy<Value = Budget> {
    select(&[1u64 << 30, 1 << 30, 0, 500, 4000, 20_000][..])
        .prop_map(|bytes| Budget::new(bytes, std::env::temp_dir()))
}

/// How lines are spread over files.
#[derive(Debug, Clone)]
pub(crate) struct Layout(Vec<(Index, [bool; 4])>);

/// One file to four.
pub(crate) fn layout() -> impl Strategy<Value = Layout> {
    vec(any::<(Index, [bool; 4])>(), 1..=4).prop_map(Layout)
}

impl Layout {
    /// The contents of the files.
    pub(crate) fn contents(&self, lines: &[String]) -> Vec<Vec<u8>> {
        let mut edges: Vec<usize> = self.0[1..].iter().map(|(cut, _)| cut.index(lines.len() + 1)).collect();
        edges.extend([0, lines.len()]);
        edges.sort_unstable();
        let pieces = edges.windows(2).map(|edge| &lines[edge[0]..edge[1]]);
        pieces
            .zip(&self.0)
            .map(|(piece, (_, [bom, crlf, blank, open]))| {
                let end = if *crlf { "\r\n" } else { "\n" };
                let mut text = if *bom { "\u{feff}".to_owned() } else { String::new() };
                for line in piece {
                    text.push_str(line);
                    text.push_str(end);
                    if *blank {
                        text.push_str(&format!(" \t{end}{end}"));
                    }
                }
                if *open {
                    text.truncate(text.trim_end_matches(['\r', '\n']).len());
                }
                text.into_bytes()
            })
            .collect()
    }

    /// The files.
    pub(crate) fn files(&self, lines: &[String]) -> Vec<LineFile> {
        files(self.contents(lines))
    }
}

/// Files in memory, called `file 0` and so on.
pub(crate) fn files(contents: impl IntoIterator<Item = Vec<u8>>) -> Vec<LineFile> {
    let file = |(number, bytes)| LineFile::new(format!("file {number}"), Cursor::new(bytes));
    contents.into_iter().enumerate().map(file).collect()
}

/// Any text, with a liking for what JSON must escape.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let odd = select(
        &[
            '"',
            '\\',
            '/',
            '\u{8}',
            '\u{c}',
            '\n',
            '\r',
            '\t',
            '\0',
            '\u{1f}',
            '<',
            '>',
            '&',
            '\u{2027}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{7f}',
            '\u{e000}',
            '\u{ffff}',
            '😀',
            '\u{10ffff}',
            'é',
            'a',
        ][..],
    );
    prop_oneof![any::<String>(), vec(odd, 0..12).prop_map(String::from_iter)]
}

/// Whole numbers, fractions of every size, and sums that are not what they seem.
fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..1_000_000u32).prop_map(f64::from),
        (1..1000u32, 1..1000u32).prop_map(|(a, b)| f64::from(a) / f64::from(b)),
        (1..100u32).prop_map(|n| (0..n).map(|_| 0.1).sum()),
        // Few digits in base two: some lie halfway between two decimals.
        (1..1u32 << 20, -60..60i32).prop_map(|(digits, exponent)| f64::from(digits) * 2f64.powi(exponent)),
        (0..=52i32).prop_map(|exponent| 1.0 + 2f64.powi(-exponent)),
        proptest::num::f64::POSITIVE | proptest::num::f64::NEGATIVE | proptest::num::f64::NORMAL,
    ]
}

fn counts() -> impl Strategy<Value = Vec<ItemCount<'static>>> {
    vec((text(), any::<u64>()), 0..6).prop_map(|items| {
        let count = |(item_id, count)| ItemCount { item_id: Cow::Owned(item_id), count, score: None };
        items.into_iter().map(count).collect()
    })
}

fn user_lists() -> impl Strategy<Value = Vec<UserItems<'static>>> {
    vec((text(), vec((text(), score()), 0..6)), 0..4).prop_map(|users| {
        let item = |(item_id, score)| ItemScore { item_id: Cow::Owned(item_id), score };
        let user = |(user_id, items): (String, Vec<_>)| UserItems {
            user_id: Cow::Owned(user_id),
            items: items.into_iter().map(item).collect(),
        };
        users.into_iter().map(user).collect()
    })
}

/// Any content of any kind, well-formed and otherwise senseless.
pub(crate) fn payload() -> impl Strategy<Value = Payload<'static>> {
    let neighbors = |(item_id, items)| Neighbors { item_id: Cow::Owned(item_id), items };
    let tagged = |(item_id, tags): (String, Vec<String>)| TaggedItem {
        item_id: Cow::Owned(item_id),
        tags: tags.into_iter().map(Cow::Owned).collect(),
    };
    prop_oneof![
        counts().prop_map(Payload::Popularity),
        vec((text(), counts()).prop_map(neighbors), 0..4).prop_map(Payload::Cooc),
        user_lists().prop_map(Payload::Implicit),
        user_lists().prop_map(Payload::SessionSeq),
        vec((text(), vec(text(), 0..4)).prop_map(tagged), 0..4).prop_map(Payload::ContentSim),
    ]
}

/// Any key for a content.
pub(crate) fn key_for(payload: &Payload<'_>) -> impl Strategy<Value = ArtifactKey> + use<> {
    let kind = payload.kind();
    let name = || "[a-zA-Zé文😀<>&\"' .:%\u{2028}-]{1,12}".prop_map(|name| format!("x{name}x"));
    (name(), name(), proptest::option::of(name()), 1..40u32, 0..3000i64).prop_map(
        move |(tenant, surface, segment, days, later)| ArtifactKey {
            kind,
            scope: Scope { tenant: Tenant::new(tenant).unwrap(), surface: Surface::new(surface).unwrap() },
            segment: segment.map(|segment| Segment::new(segment).unwrap()),
            window: Window::ending_with(day("2024-02-28").plus(later).unwrap(), days).unwrap(),
        },
    )
}
