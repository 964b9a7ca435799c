//! The event parser against a reading of the contract that takes its time.

use std::fmt;

use recsys_core::domain::id::{Scope, Surface, Tenant};
use recsys_core::encoding::timestamp;
use recsys_core::input::event::{Exposure, LastLine, RawExposure, Rules};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

const TENANT: &str = "demo";
const SURFACE: &str = "home";

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refused,
    Foreign,
    Taken(Event),
}

/// An exposure that owns its text.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    ts: i64,
    session_id: String,
    item_id: String,
    user_id: Option<String>,
    request_id: Option<String>,
    segment: Option<String>,
    rank: Option<i64>,
}

/// Takes bytes as lines: the parser, which compares each line with the last one, and the slow reading, which does not,
/// agree on whether it is an event of the scope, and on every field of it; its time is written as it is read.
pub fn event(data: &[u8]) {
    // What cuts files into lines refuses other text.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut last = LastLine::default();
    text.split('\n').for_each(|line| check(line, &mut last));
}

fn check(line: &str, last: &mut LastLine) {
    let parsed = parse(line, last);
    assert_eq!(parsed, slow(line).unwrap_or(Verdict::Refused), "{line:?}");
    if let Verdict::Taken(event) = parsed {
        let mut written = Vec::new();
        timestamp::write(event.ts, &mut written).unwrap();
        assert_eq!(timestamp::parse(std::str::from_utf8(&written).unwrap()), Ok(event.ts), "{line:?}");
    }
}

/// The parser under test. All that is known of it here is in this function.
fn parse(line: &str, last: &mut LastLine) -> Verdict {
    let scope = Scope { tenant: Tenant::new(TENANT).unwrap(), surface: Surface::new(SURFACE).unwrap() };
    // The other reader takes ids of any length.
    let rules = Rules { scope: &scope, max_id_bytes: usize::MAX };
    if let Some(event) = last.read(line, &rules) {
        return Verdict::Taken(event.into());
    }
    let raw = match RawExposure::parse(line) {
        Ok(raw) => raw,
        Err(fault) => {
            assert!(fault.column.is_some_and(|column| column <= line.len() + 1), "{fault:?}");
            return Verdict::Refused;
        }
    };
    let Ok(event) = raw.check(&rules) else { return Verdict::Refused };
    last.remember(line, &raw, event.as_ref());
    event.map_or(Verdict::Foreign, |event| Verdict::Taken(event.into()))
}

impl From<Exposure<'_>> for Event {
    fn from(event: Exposure<'_>) -> Self {
        let Exposure { ts, session_id, item_id, user_id, request_id, segment, rank } = event;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            ts,
            session_id: session_id.to_owned(),
            item_id: item_id.to_owned(),
            user_id: owned(user_id),
            request_id: owned(request_id),
            segment: owned(segment),
            rank,
        }
    }
}

/// The fields of an object in their order, with those that are given twice. Their values are JSON, and nothing
/// more is asked of those that nobody reads.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl Fields {
    /// The value of a field, null when it is absent.
    fn get(&self, name: &str) -> Result<Value, Refused> {
        let mut given = self.0.iter().filter(|(field, _)| field == name);
        let Some((_, value)) = given.next() else { return Ok(Value::Null) };
        if given.next().is_some() {
            return Err(Refused);
        }
        serde_json::from_str(value.get()).map_err(|_| Refused)
    }

    /// A trimmed text, empty when the field is absent.
    fn text(&self, name: &str) -> Result<String, Refused> {
        match self.get(name)? {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.trim().to_owned()),
            _ => Err(Refused),
        }
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Refused> {
        match self.get(name)? {
            Value::Null => Ok(None),
            value => value.as_i64().map(Some).ok_or(Refused),
        }
    }
}

/// A rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Refused;

/// The contract, word for word.
fn slow(line: &str) -> Result<Verdict, Refused> {
    let fields: Fields = serde_json::from_str(line).map_err(|_| Refused)?;
    let v = fields.integer("v")?;
    let ts = fields.text("ts")?;
    let tenant = fields.text("tenant")?;
    let surface = fields.text("surface")?;
    let segment = fields.text("segment")?;
    let user_id = fields.text("user_id")?;
    let session_id = fields.text("session_id")?;
    let request_id = fields.text("request_id")?;
    let item_id = fields.text("item_id")?;
    let rank = fields.integer("rank")?;
    if v != Some(1) || tenant.is_empty() || surface.is_empty() {
        return Err(Refused);
    }
    if tenant != TENANT || surface != SURFACE {
        return Ok(Verdict::Foreign);
    }
    let ts = nanoseconds(&ts).ok_or(Refused)?;
    if session_id.is_empty() || item_id.is_empty() || rank.is_some_and(|rank| rank < 0) {
        return Err(Refused);
    }
    let optional = |text: String| (!text.is_empty()).then_some(text);
    Ok(Verdict::Taken(Event {
        ts,
        session_id,
        item_id,
        user_id: optional(user_id),
        request_id: optional(request_id),
        segment: optional(segment),
        rank,
    }))
}

/// An RFC 3339 timestamp, read digit by digit. A leap second is the second before it; what a 64-bit clock cannot
/// hold is its nearest end.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    one_of(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    one_of(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    one_of(&mut rest, b"Tt")?;
    let hour = digits(&mut rest, 2)?;
    one_of(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    one_of(&mut rest, b":")?;
    let second = digits(&mut rest, 2)?;
    let mut fraction = 0;
    if one_of(&mut rest, b".").is_some() {
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 || length > 9 {
            return None;
        }
        fraction = digits(&mut rest, length)? * 10i128.pow(9 - u32::try_from(length).ok()?);
    }
    let offset = match one_of(&mut rest, b"Zz+-")? {
        b'Z' | b'z' => 0,
        sign => {
            let hours = digits(&mut rest, 2)?;
            one_of(&mut rest, b":")?;
            let minutes = digits(&mut rest, 2)?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == b'-' { -60 } else { 60 }
        }
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months_before = usize::try_from(month - 1).ok()?;
    let length = *lengths.get(months_before)?;
    let is_day = (1..=length).contains(&day);
    if !rest.is_empty() || !is_day || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 0000-01-01, the first day of a leap year.
    let leap_years_before =
        if year == 0 { 0 } else { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 };
    let days = year * 365 + leap_years_before + lengths[..months_before].iter().sum::<i128>() + day - 1;
    let days_to_1970 = 719_528;
    let seconds = (days - days_to_1970) * 86_400 + hour * 3600 + minute * 60 + second.min(59) - offset;
    let ns = seconds * 1_000_000_000 + fraction;
    Some(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i128> {
    let (digits, after) = rest.split_at_checked(count)?;
    *rest = after;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + i128::from(digit - b'0')))
}

/// Takes the next byte if it is one of `wanted`.
fn one_of(rest: &mut &[u8], wanted: &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    wanted.contains(first).then(|| {
        *rest = after;
        *first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check in which both sides refuse everything would find nothing.
    #[test]
    fn the_slow_reading_takes_what_it_should() {
        let line = r#"{"v":1,"ts":"2026-01-01T02:00:00.5+02:00","tenant":"demo ","surface":"home",
            "session_id":"s","item_id":"\u0041","rank":0,"more":{"a":[1e400,"\ud800"]}}"#;
        let Ok(Verdict::Taken(taken)) = slow(line) else { panic!("refused") };
        assert_eq!(taken.ts, 1_767_225_600_500_000_000);
        assert_eq!((taken.item_id.as_str(), taken.rank, taken.user_id), ("A", Some(0), None));
        assert_eq!(slow(&line.replace("home", "away")), Ok(Verdict::Foreign));
        assert_eq!(slow(&line.replace("\"rank\":0", "\"rank\":0,\"rank\":0")), Err(Refused));
        assert_eq!(nanoseconds("1969-12-31T23:59:60Z"), Some(-1_000_000_000));
        assert_eq!(nanoseconds("0000-02-29T00:00:00Z"), Some(i64::MIN));
        assert_eq!(nanoseconds("2100-02-29T00:00:00Z"), None);
    }
}
