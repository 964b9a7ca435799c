//! Events, read from raw lines and written to canonical files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::Json;

pub(crate) const DAY_NS: i64 = 86_400 * 1_000_000_000;

fn year_days(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 }
}

fn month_days(year: i64, month: i64) -> i64 {
    [31, year_days(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][usize::try_from(month - 1).unwrap()]
}

/// Nanoseconds since 1970 from RFC 3339.
pub(crate) fn nanoseconds(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (year, month) = (number(0, 4), number(5, 7));
    let days = (1970..year).map(year_days).sum::<i64>()
        + (1..month).map(|month| month_days(year, month)).sum::<i64>()
        + number(8, 10)
        - 1;
    let seconds = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    let zone = text[19..].find(['Z', '+', '-']).unwrap() + 19;
    let fraction = text[19..zone].trim_start_matches('.');
    let fraction: i64 = format!("{fraction:0<9}").parse().unwrap();
    let offset = match &text[zone..=zone] {
        "Z" => 0,
        sign => {
            let minutes = number(zone + 1, zone + 3) * 60 + number(zone + 4, zone + 6);
            if sign == "-" { -minutes } else { minutes }
        }
    };
    (seconds - offset * 60) * 1_000_000_000 + fraction
}

pub(crate) fn date_of(ns: i64) -> String {
    let (mut days, mut year, mut month) = (ns.div_euclid(DAY_NS), 1970, 1);
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

fn utc(ns: i64) -> String {
    let (second, fraction) = (ns.rem_euclid(DAY_NS) / 1_000_000_000, ns.rem_euclid(1_000_000_000));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let text = format!("{}T{hour:02}:{minute:02}:{second:02}.{fraction:09}", date_of(ns));
    format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) ts: i64,
    pub(crate) segment: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) session: String,
    pub(crate) request: Option<String>,
    pub(crate) item: String,
    pub(crate) rank: Option<u64>,
}

impl Event {
    fn order(&self) -> impl Ord + use<> {
        let Self { ts, segment, user, session, request, item, rank } = self.clone();
        (ts, session, request, rank, item, user, segment)
    }

    pub(crate) fn canonical(&self) -> String {
        let mut fields = vec![
            ("v", Json::Whole(1)),
            ("ts", Json::text(&utc(self.ts))),
            ("tenant", Json::text("demo")),
            ("surface", Json::text("home")),
        ];
        fields.extend(self.segment.as_ref().map(|segment| ("segment", Json::text(segment))));
        fields.extend(self.user.as_ref().map(|user| ("user_id", Json::text(user))));
        fields.push(("session_id", Json::text(&self.session)));
        fields.extend(self.request.as_ref().map(|request| ("request_id", Json::text(request))));
        fields.push(("item_id", Json::text(&self.item)));
        fields.extend(self.rank.map(|rank| ("rank", Json::Whole(rank))));
        Json::Object(fields).compact() + "\n"
    }
}

/// The events of each day, in canonical order, repeated deliveries dropped.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) days: BTreeMap<String, Vec<Event>>,
    pub(crate) duplicates: BTreeMap<String, u64>,
    pub(crate) lines: u64,
    pub(crate) foreign: u64,
    pub(crate) outside: BTreeMap<String, u64>,
}

pub(crate) fn read(lines: &[String], days: &[&str]) -> Events {
    let mut events = Events { lines: lines.len() as u64, ..Events::default() };
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| {
            let text = line.get(field)?.as_str().unwrap().trim();
            if text.is_empty() { None } else { Some(text.to_owned()) }
        };
        if text("tenant").unwrap() != "demo" || text("surface").unwrap() != "home" {
            events.foreign += 1;
            continue;
        }
        let event = Event {
            ts: nanoseconds(&text("ts").unwrap()),
            segment: text("segment"),
            user: text("user_id"),
            session: text("session_id").unwrap(),
            request: text("request_id"),
            item: text("item_id").unwrap(),
            rank: line.get("rank").map(|rank| rank.as_u64().unwrap()),
        };
        let date = date_of(event.ts);
        if !days.contains(&date.as_str()) {
            *events.outside.entry(date).or_default() += 1;
            continue;
        }
        let own = events.days.entry(date.clone()).or_default();
        if event.request.is_some() && own.contains(&event) {
            *events.duplicates.entry(date).or_default() += 1;
        } else {
            own.push(event);
        }
    }
    for own in events.days.values_mut() {
        own.sort_by_key(Event::order);
    }
    events
}
