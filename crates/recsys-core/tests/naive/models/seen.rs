//! What was seen and what came of it, and the units that it makes.

use std::collections::{BTreeMap, BTreeSet};

use recsys_core::domain::models::{Basis, EventType, Unit};
use serde_json::Value;

use crate::common::{DAYS, day};
use crate::events::{DAY_NS, Event, date_of, nanoseconds};

/// 1 in the weights of events.
pub(crate) const EVENT: u64 = 1 << 20;

/// An exposure or an outcome. They sort by time; at the same time by type, and then in canonical order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) ts: i64,
    pub(crate) event: EventType,
    pub(crate) session: Option<String>,
    pub(crate) request: Option<String>,
    rank: Option<u64>,
    pub(crate) item: String,
    pub(crate) user: Option<String>,
    segment: Option<String>,
}

pub(crate) fn exposures(events: &[Event]) -> Vec<Seen> {
    let seen = |event: &Event| Seen {
        ts: event.ts,
        event: EventType::Exposure,
        session: Some(event.session.clone()),
        request: event.request.clone(),
        rank: event.rank,
        item: event.item.clone(),
        user: event.user.clone(),
        segment: event.segment.clone(),
    };
    events.iter().map(seen).collect()
}

/// The outcomes of some days; a delivery of a request counts once.
pub(crate) fn outcomes(lines: &[String], days: &[&str]) -> Vec<Seen> {
    let mut found: Vec<Seen> = Vec::new();
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| line.get(field).map(|text| text.as_str().unwrap().to_owned());
        let outcome = Seen {
            ts: nanoseconds(&text("ts").unwrap()),
            event: if text("event_type").unwrap() == "click" {
                EventType::Click
            } else {
                EventType::Conversion
            },
            session: text("session_id"),
            request: text("request_id"),
            rank: None,
            item: text("item_id").unwrap(),
            user: text("user_id"),
            segment: None,
        };
        let is_repeat = outcome.request.is_some() && found.contains(&outcome);
        if days.contains(&date_of(outcome.ts).as_str()) && !is_repeat {
            found.push(outcome);
        }
    }
    found
}

impl Seen {
    /// Days before the last.
    pub(crate) fn age(&self) -> i64 {
        day(DAYS[2]).start_ns() / DAY_NS - self.ts.div_euclid(DAY_NS)
    }

    /// What is left of its weight, in parts of [`EVENT`].
    pub(crate) fn left(&self, half_life_days: Option<f64>) -> u64 {
        let left = half_life_days.map_or(1.0, |half_life| 0.5f64.powf(self.age() as f64 / half_life));
        (left * EVENT as f64).round() as u64
    }
}

/// Items with weights: a sequence, or a set.
pub(crate) type Items = Vec<(usize, u64)>;

/// The units of a window.
#[derive(Debug, Default)]
pub(crate) struct Units {
    pub(crate) units: Vec<Items>,
    pub(crate) trimmed: u64,
}

/// Those of `seen`, which must be sorted; items are numbered as in `names`.
pub(crate) fn units(seen: &[Seen], names: &[String], basis: &Basis, is_sequence: bool) -> Units {
    let mut sequences: BTreeMap<&str, Items> = BTreeMap::new();
    for event in seen.iter().filter(|event| basis.events.contains(&event.event)) {
        let unit = match basis.unit {
            Unit::Session => event.session.as_deref(),
            Unit::User => event.user.as_deref(),
            Unit::Request => event.request.as_deref(),
        };
        let left = event.left(basis.half_life_days);
        if let Some(unit) = unit
            && left > 0
        {
            let item = names.iter().position(|name| *name == event.item).unwrap();
            sequences.entry(unit).or_default().push((item, left));
        }
    }
    let mut made = Units::default();
    for mut unit in sequences.into_values() {
        let distinct =
            |unit: &[(usize, u64)]| unit.iter().map(|(item, _)| *item).collect::<BTreeSet<_>>().len();
        made.trimmed += u64::from(distinct(&unit) > basis.max_items);
        while distinct(&unit) > basis.max_items {
            unit.remove(0);
        }
        if !is_sequence {
            // The newest event of an item overwrites those before it.
            unit = unit.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
        made.units.push(unit);
    }
    made
}
