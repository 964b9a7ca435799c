//! Generated exposures, as the lines that producers write.

use serde_json::{Map, Value};

/// An exposure whose fields are written as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// Time in RFC 3339.
    pub ts: String,
    /// Tenant id.
    pub tenant: String,
    /// Surface id.
    pub surface: String,
    /// Segment of the surface, if any.
    pub segment: Option<String>,
    /// User id; none for a guest.
    pub user_id: Option<String>,
    /// Session id.
    pub session_id: String,
    /// Request id, shared by the items delivered together.
    pub request_id: Option<String>,
    /// Item id.
    pub item_id: String,
    /// Position of the item in its request.
    pub rank: Option<u32>,
}

impl Exposure {
    /// The exposure as a JSON line, without its line end.
    pub fn line(&self) -> String {
        let mut line = Map::new();
        let mut set = |field: &str, value: Value| line.insert(field.to_owned(), value);
        set("v", 1.into());
        set("ts", self.ts.as_str().into());
        set("tenant", self.tenant.as_str().into());
        set("surface", self.surface.as_str().into());
        set("session_id", self.session_id.as_str().into());
        set("item_id", self.item_id.as_str().into());
        let optional =
            [("segment", &self.segment), ("user_id", &self.user_id), ("request_id", &self.request_id)];
        for (field, text) in optional {
            if let Some(text) = text {
                set(field, text.as_str().into());
            }
        }
        if let Some(rank) = self.rank {
            set("rank", rank.into());
        }
        Value::Object(line).to_string()
    }
}

/// The line of an exposure of `demo/home` with no more than it must have, always in this order.
pub fn plain_line(day: &str, item: &str) -> String {
    format!(
        r#"{{"v":1,"ts":"{day}T08:00:00Z","tenant":"demo","surface":"home","session_id":"s","item_id":"{item}"}}"#
    )
}

/// A deterministic generator of pseudo-random numbers (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `end`.
    #[allow(clippy::cast_possible_truncation, reason = "smaller than `end`")]
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// The next number in [0, 1).
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a fraction holds")]
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Generates `count` exposures of `demo/home` on `day` (`YYYY-MM-DD`), unordered: sessions of about eight events, a few
/// popular items and a long tail of `items`, guests, segments, and one delivery in ten repeated.
pub fn busy_day(seed: u64, day: &str, count: usize, items: usize) -> Vec<Exposure> {
    let mut random = Random(seed);
    let mut events: Vec<Exposure> = Vec::with_capacity(count);
    while events.len() < count {
        if !events.is_empty() && random.below(10) == 0 {
            let again = events[random.below(events.len())].clone();
            events.push(again);
            continue;
        }
        let session = random.below(count / 8 + 1);
        let (hour, minute, second) = (session % 24, random.below(60), random.below(60));
        // The product of two draws favours small numbers.
        let item = random.below(items) * random.below(items) / items;
        events.push(Exposure {
            ts: format!("{day}T{hour:02}:{minute:02}:{second:02}Z"),
            tenant: "demo".into(),
            surface: "home".into(),
            segment: (!session.is_multiple_of(3)).then(|| format!("segment-{}", session % 3)),
            user_id: (!session.is_multiple_of(4)).then(|| format!("user-{}", session % 1000)),
            session_id: format!("session-{session}"),
            request_id: (!session.is_multiple_of(5)).then(|| format!("request-{session}-{minute}")),
            item_id: format!("item-{item}"),
            rank: Some(u32::try_from(random.below(20)).expect("small")),
        });
    }
    events
}
