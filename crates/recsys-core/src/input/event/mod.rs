//! Events: the exposure, a line of JSON that says which item was shown to whom, and the outcome.
//!
//! A line is parsed once, borrowing from its buffer. The result is trimmed, checked and in the types that the tables use;
//! a line that breaks a rule becomes a [`LineFault`] that names the rule.

mod diagnosis;
mod fast_line;
mod outcome;
mod same_as_last;

pub(crate) use diagnosis::{Type, fault};
pub(crate) use outcome::value_of;
pub use outcome::{OutcomeType, RawOutcome};
pub use same_as_last::LastLine;

use serde::Deserialize;

use crate::domain::id::Scope;
use crate::domain::limit::Limits;
use crate::encoding::json::{self, Text};
use crate::encoding::timestamp;

/// An exposure that passed every check; text is trimmed and borrowed from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure<'a> {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub ts: i64,
    /// The session of the exposure; for an outcome it may be empty.
    pub session_id: &'a str,
    /// The item that was shown.
    pub item_id: &'a str,
    /// The user, when known.
    pub user_id: Option<&'a str>,
    /// The request that delivered the slate, when known.
    pub request_id: Option<&'a str>,
    /// The segment of the surface, when there is one.
    pub segment: Option<&'a str>,
    /// The position of the item in the slate, 0 or more.
    pub rank: Option<i64>,
}

/// An exposure as an input holds it: text is neither trimmed nor checked. Blank text means the same as absent text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UncheckedExposure<'a> {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub ts: i64,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The surface.
    pub surface: Option<&'a str>,
    /// The segment of the surface.
    pub segment: Option<&'a str>,
    /// The user.
    pub user_id: Option<&'a str>,
    /// The session.
    pub session_id: Option<&'a str>,
    /// The request that delivered the slate.
    pub request_id: Option<&'a str>,
    /// The item that was shown.
    pub item_id: Option<&'a str>,
    /// The position of the item in the slate.
    pub rank: Option<i64>,
}

/// Something of each text of an [`UncheckedExposure`].
pub(crate) type Texts<T> = [Option<T>; 7];

impl<'a> UncheckedExposure<'a> {
    /// All texts, in the order that [`new`](Self::new) takes them in.
    pub(crate) fn texts(&self) -> Texts<&'a str> {
        let Self { tenant, surface, segment, user_id, session_id, request_id, item_id, .. } = *self;
        [tenant, surface, segment, user_id, session_id, request_id, item_id]
    }

    pub(crate) fn new(ts: i64, rank: Option<i64>, texts: Texts<&'a str>) -> Self {
        let [tenant, surface, segment, user_id, session_id, request_id, item_id] = texts;
        Self { ts, tenant, surface, segment, user_id, session_id, request_id, item_id, rank }
    }

    /// Length of all texts together, in bytes.
    pub fn bytes(&self) -> usize {
        self.texts().into_iter().flatten().map(str::len).sum()
    }
}

/// A fault of a line, with its position if the JSON is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// The byte within the line, counted from 1.
    pub column: Option<usize>,
    /// The broken rule.
    pub reason: String,
    /// Whether the whole file is wrong, so that no line of it can be right.
    pub is_of_file: bool,
}

/// Maximum length of a reason in bytes. A reason may quote the line, and a line may be a megabyte long.
const MAX_REASON_BYTES: usize = 400;

impl LineFault {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { column: None, reason: shortened(reason.into()), is_of_file: false }
    }

    /// A fault of the whole file.
    pub(crate) fn of_file(reason: &str) -> Self {
        Self { is_of_file: true, ..Self::new(reason) }
    }
}

/// Cuts the middle out of a reason that is too long: the explanation stands at its beginning and end.
fn shortened(reason: String) -> String {
    if reason.len() <= MAX_REASON_BYTES {
        return reason;
    }
    let head = reason.floor_char_boundary(MAX_REASON_BYTES / 2);
    let tail = reason.ceil_char_boundary(reason.len() - MAX_REASON_BYTES / 2);
    format!("{}…{}", &reason[..head], &reason[tail..])
}

/// The rules that events are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Events of other tenants and surfaces are skipped.
    pub scope: &'a Scope,
    /// Maximum length of an id or segment in bytes, trimmed: `limits.max_id_bytes`.
    pub max_id_bytes: usize,
}

impl<'a> Rules<'a> {
    /// The rules for events of `scope`, with the default limit for ids.
    pub fn new(scope: &'a Scope) -> Self {
        Self { scope, max_id_bytes: Limits::MAX_ID_BYTES }
    }

    /// Checks an exposure. `None` for one of another tenant or surface.
    pub fn check<'t>(&self, event: &UncheckedExposure<'t>) -> Result<Option<Exposure<'t>>, LineFault> {
        let is_own = self.is_own(event.tenant, event.surface)?;
        is_own.then(|| self.exposure(event)).transpose()
    }

    /// Whether an event is of this tenant and surface.
    ///
    /// Foreign events are only checked for version, tenant and surface: other mistakes of another tenant's producer are
    /// not this tenant's failure, as long as the event can be parsed.
    fn is_own(&self, tenant: Option<&str>, surface: Option<&str>) -> Result<bool, LineFault> {
        let (tenant, surface) = (required("tenant", tenant)?, required("surface", surface)?);
        Ok(tenant == self.scope.tenant.as_str() && surface == self.scope.surface.as_str())
    }

    /// Checks an exposure of this tenant and surface.
    fn exposure<'t>(&self, event: &UncheckedExposure<'t>) -> Result<Exposure<'t>, LineFault> {
        let UncheckedExposure { ts, rank, .. } = *event;
        if let Some(rank @ ..0) = rank {
            return Err(LineFault::new(format!("field `rank` is {rank}; it must be 0 or more")));
        }
        Ok(Exposure {
            ts,
            session_id: self.required_id("session_id", event.session_id)?,
            item_id: self.required_id("item_id", event.item_id)?,
            user_id: self.optional_id("user_id", event.user_id)?,
            request_id: self.optional_id("request_id", event.request_id)?,
            segment: self.optional_id("segment", event.segment)?,
            rank,
        })
    }

    fn required_id<'t>(&self, field: &str, text: Option<&'t str>) -> Result<&'t str, LineFault> {
        self.id(field, required(field, text)?)
    }

    fn optional_id<'t>(&self, field: &str, text: Option<&'t str>) -> Result<Option<&'t str>, LineFault> {
        optional(text).map(|text| self.id(field, text)).transpose()
    }

    fn id<'t>(&self, field: &str, text: &'t str) -> Result<&'t str, LineFault> {
        id_of_length(field, text, self.max_id_bytes).map_err(LineFault::new)
    }
}

/// Checks the length of an id or segment.
pub(crate) fn id_of_length<'t>(field: &str, text: &'t str, max: usize) -> Result<&'t str, String> {
    let length = text.len();
    if length <= max {
        return Ok(text);
    }
    Err(format!("field `{field}` is {length} bytes long; limits.max_id_bytes allows {max}"))
}

/// Declares an event as it is parsed, unchecked, and the types of its fields for [`fault`]. `null` is the same as an absent
/// field.
macro_rules! raw_event {
    ($(#[$doc:meta])* $name:ident { $($text:ident,)* } { $($number:ident: $rust:ty = $json:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(remote = "Self")]
        pub struct $name<'a> {
            $(#[serde(borrow)] $text: Option<Text<'a>>,)*
            $($number: Option<$rust>,)*
        }

        json::object!($name<'a>);

        const FIELDS: &[(&str, Type)] =
            &[$((stringify!($text), Type::Text),)* $((stringify!($number), Type::$json),)*];
    };
}
use raw_event;

raw_event! {
    /// An exposure as parsed, unchecked.
    RawExposure
    { ts, tenant, surface, segment, user_id, session_id, request_id, item_id, }
    { v: i64 = Whole, rank: i64 = Whole, }
}

fn required<'a>(field: &str, text: Option<&'a str>) -> Result<&'a str, LineFault> {
    let text = trim(text.ok_or_else(|| LineFault::new(format!("field `{field}` is missing")))?);
    if text.is_empty() { Err(LineFault::new(format!("field `{field}` is empty"))) } else { Ok(text) }
}

fn text<'a>(field: Option<&'a Text<'_>>) -> Option<&'a str> {
    field.map(|text| &*text.0)
}

fn trim(text: &str) -> &str {
    match text.as_bytes() {
        // Most text has nothing to trim; checking its first and last byte is cheaper than decoding characters.
        [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

fn optional(text: Option<&str>) -> Option<&str> {
    text.map(trim).filter(|text| !text.is_empty())
}

fn time(ts: Option<&str>) -> Result<i64, LineFault> {
    let ts = required("ts", ts)?;
    timestamp::parse(ts).map_err(|reason| LineFault::new(format!("field `ts`: {ts:?} {reason}")))
}

fn unknown_version(v: i64) -> LineFault {
    LineFault::new(format!("field `v` is {v}; only version 1 is known"))
}

impl<'a> RawExposure<'a> {
    /// Parses the JSON of one line.
    pub fn parse(line: &'a str) -> Result<Self, LineFault> {
        match fast_line::parse(line) {
            Some(raw) => Ok(raw),
            None => serde_json::from_str(line).map_err(|error| fault(line, &error, FIELDS)),
        }
    }

    /// Checks the event against the rules. `None` for an event of another tenant or surface.
    pub fn check(&self, rules: &Rules<'_>) -> Result<Option<Exposure<'_>>, LineFault> {
        match self.v {
            Some(1) => {}
            Some(v) => return Err(unknown_version(v)),
            None => return Err(LineFault::new("field `v` is missing")),
        }
        let (tenant, surface) = (text(self.tenant.as_ref()), text(self.surface.as_ref()));
        if !rules.is_own(tenant, surface)? {
            return Ok(None);
        }
        let event = UncheckedExposure {
            ts: time(text(self.ts.as_ref()))?,
            tenant,
            surface,
            segment: text(self.segment.as_ref()),
            user_id: text(self.user_id.as_ref()),
            session_id: text(self.session_id.as_ref()),
            request_id: text(self.request_id.as_ref()),
            item_id: text(self.item_id.as_ref()),
            rank: self.rank,
        };
        rules.exposure(&event).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Surface, Tenant};

    fn scope() -> Scope {
        Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() }
    }

    fn reason(line: &str) -> String {
        match RawExposure::parse(line) {
            Ok(raw) => raw.check(&Rules::new(&scope())).unwrap_err().reason,
            Err(fault) => format!("column {}: {}", fault.column.unwrap(), fault.reason),
        }
    }

    const GOOD: &str = r#"{"v":1,"ts":"2026-01-01T08:00:00Z","tenant":" demo","surface":"home\t","session_id":"s1","item_id":" A\u0041 ","rank":0,"user_id":"  ","request_id":null,"more":{"a":[1e400]}}"#;

    #[test]
    fn text_is_trimmed_and_empty_means_absent() {
        let raw = RawExposure::parse(GOOD).unwrap();
        let event = raw.check(&Rules::new(&scope())).unwrap().unwrap();
        assert_eq!(event.item_id, "AA");
        assert_eq!((event.user_id, event.request_id, event.segment), (None, None, None));
        assert_eq!(event.rank, Some(0));
    }

    #[test]
    fn each_rule_names_its_field() {
        let with = |from: &str, to: &str| reason(&GOOD.replace(from, to));
        assert_eq!(with(r#""v":1"#, r#""v":2"#), "field `v` is 2; only version 1 is known");
        assert_eq!(with(r#""v":1,"#, ""), "field `v` is missing");
        assert_eq!(with(r#""session_id":"s1""#, r#""session_id":" ""#), "field `session_id` is empty");
        assert_eq!(with(r#""session_id":"s1""#, r#""session_id":null"#), "field `session_id` is missing");
        assert_eq!(with(r#""rank":0"#, r#""rank":-1"#), "field `rank` is -1; it must be 0 or more");
        assert!(with("08:00:00Z", "08:00:00").starts_with("field `ts`: \"2026-01-01T08:00:00\" is not"));
        let whole = "it must be a whole number";
        assert!(with(r#""rank":0"#, r#""rank":1.5"#).ends_with(&format!("field `rank` is 1.5; {whole}")));
        assert!(
            with(r#""rank":0"#, r#""rank":"3""#)
                .ends_with(&format!("field `rank` is the string \"3\"; {whole}"))
        );
        assert!(
            with(r#""session_id":"s1""#, r#""session_id":7"#)
                .ends_with("field `session_id` is 7; it must be a string")
        );
        assert!(with(r#""rank":0"#, r#""rank":[[["#).ends_with("it is a list; it must be a whole number"));
        let mark = "a byte order mark (U+FEFF) stands here";
        assert!(reason(&format!("\u{feff}{GOOD}")).starts_with(&format!("column 1: {mark}")));
        assert!(reason(&format!("\0\0\0{GOOD}")).starts_with("column 1: a zero byte (U+0000) stands here"));
        assert!(
            with("s1", "s\u{1}1").contains("a control character (U+0001) stands here; it must be escaped")
        );
        assert!(with(r#""rank":0"#, r#""rank":1,"rank":2"#).contains("duplicate field `rank`"));
        assert!(
            with(r#""v":1"#, r#""v":"1""#).starts_with("column 8: field `v` is the string \"1\"; it must")
        );
        assert_eq!(reason("[]"), "column 1: the line is a list; it must be an object");
        assert!(reason(&GOOD[..40]).contains("EOF while parsing a string"));
    }

    #[test]
    fn an_id_that_is_too_long_is_named_with_its_length() {
        let id = |length: usize| format!("\"  {} \"", "é".repeat(length / 2));
        for field in ["session_id", "item_id", "user_id", "request_id", "segment"] {
            let line = |length| {
                let line = GOOD.replace("\"rank\":0,", "\"segment\":\"x\",");
                let end = line.find(&format!("\"{field}\":")).unwrap() + field.len() + 3;
                let rest = line[end..].find([',', '}']).unwrap() + end;
                format!("{}{}{}", &line[..end], id(length), &line[rest..])
            };
            assert!(RawExposure::parse(&line(512)).unwrap().check(&Rules::new(&scope())).is_ok());
            let expected = format!("field `{field}` is 514 bytes long; limits.max_id_bytes allows 512");
            assert_eq!(reason(&line(514)), expected);
        }
    }

    #[test]
    fn a_reason_does_not_repeat_a_megabyte() {
        for (from, to) in [
            ("08:00:00Z", "é".repeat(500_000)),
            (r#""rank":0"#, format!("\"rank\":\"{}\"", "é".repeat(500_000))),
        ] {
            let reason = reason(&GOOD.replace(from, &to));
            assert!(reason.len() < 500, "{} bytes", reason.len());
            assert!(reason.contains("é…é"), "{reason}");
            assert!(reason.ends_with("T08:00:00Z") || reason.ends_with("a whole number"), "{reason}");
        }
    }

    #[test]
    fn a_foreign_event_is_set_aside_before_its_other_fields_are_judged() {
        let line = GOOD.replace(" demo", "other").replace("08:00:00Z", "noon");
        assert_eq!(RawExposure::parse(&line).unwrap().check(&Rules::new(&scope())), Ok(None));
    }
}
