//! The benchmark workload: one day of exposures of a busy shop.
//!
//! Items follow a power law (Zipf, exponent 1.05), session lengths are geometric with a mean of 12 and a maximum of 60,
//! sessions per user are heavy-tailed (Pareto, shape 1.2), and sessions begin at any second of the day, with seven
//! seconds between events. The same parameters give the same bytes everywhere.

use std::io::{self, Write};

use recsys_core::domain::window::Day;

use crate::generate::Random;

const ZIPF_EXPONENT: f64 = 1.05;
const MEAN_SESSION: f64 = 12.0;
const LONGEST_SESSION: u64 = 60;
const PARETO_SHAPE: f64 = 1.2;

/// Sessions begin early enough for most to end on the same day.
const LAST_START: usize = 86_000;
const LAST_SECOND: u32 = 86_399;
const SECONDS_BETWEEN: u32 = 7;

const BUFFER_BYTES: usize = 1 << 20;

/// Parameters of a day.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The UTC day.
    pub day: Day,
    /// Number of events.
    pub events: u64,
    /// Number of items that can be shown; a few of the rarest never are.
    pub items: u32,
    /// Number of possible users; most never appear.
    pub users: u32,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// A session of one user, with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Number of the session, from 0.
    pub number: u64,
    /// Number of the user, from 0.
    pub user: u32,
    /// Second of the day at which the session begins.
    pub start: u32,
    /// Items shown, in order; 0 is the most popular.
    pub items: Vec<u32>,
}

/// Totals of a written workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of events, one per line.
    pub events: u64,
    /// Number of sessions.
    pub sessions: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl Workload {
    /// The reference workload: `events` events, 50,000 items, 90,000 users.
    pub fn reference(day: Day, events: u64) -> Self {
        Self { day, events, items: 50_000, users: 90_000, seed: 7 }
    }

    /// The sessions, in order of their numbers.
    ///
    /// # Panics
    /// If there are events, but no items or users.
    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        assert!(self.events == 0 || (self.items > 0 && self.users > 0), "{self:?}");
        let mut random = Random(self.seed);
        let (users, popularity) = (self.users, Popularity::new(self.items));
        let (mut left, mut number) = (self.events, 0);
        std::iter::from_fn(move || {
            let length = session_length(&mut random).min(left);
            if length == 0 {
                return None;
            }
            left -= length;
            let session = Session {
                number,
                user: user(&mut random, users),
                start: whole(random.below(LAST_START)),
                items: (0..length).map(|_| popularity.draw(&mut random)).collect(),
            };
            number += 1;
            Some(session)
        })
    }

    /// Writes the events as producers do, one JSON object per line.
    pub fn write(&self, out: &mut impl Write) -> io::Result<Written> {
        let mut written = Written::default();
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + (1 << 14));
        let before_time = format!("{{\"v\":1,\"ts\":\"{}T", self.day);
        for session in self.sessions() {
            written.sessions += 1;
            written.events += session.items.len() as u64;
            write_session(&mut buffer, before_time.as_bytes(), &session);
            if buffer.len() >= BUFFER_BYTES {
                written.bytes += buffer.len() as u64;
                out.write_all(&buffer)?;
                buffer.clear();
            }
        }
        written.bytes += buffer.len() as u64;
        out.write_all(&buffer)?;
        Ok(written)
    }
}

fn write_session(out: &mut Vec<u8>, before_time: &[u8], session: &Session) {
    let mut middle = b"Z\",\"tenant\":\"demo\",\"surface\":\"home\",\"user_id\":\"u".to_vec();
    digits(&mut middle, session.user.into(), 7);
    middle.extend_from_slice(b"\",\"session_id\":\"s");
    digits(&mut middle, session.number, 8);
    middle.extend_from_slice(b"\",\"request_id\":\"r");
    digits(&mut middle, session.number, 8);
    middle.extend_from_slice(b"\",\"item_id\":\"sku-");
    let mut second = session.start;
    for (rank, item) in (1..).zip(&session.items) {
        out.extend_from_slice(before_time);
        digits(out, (second / 3600).into(), 2);
        out.push(b':');
        digits(out, (second / 60 % 60).into(), 2);
        out.push(b':');
        digits(out, (second % 60).into(), 2);
        out.extend_from_slice(&middle);
        digits(out, (*item).into(), 6);
        out.extend_from_slice(b"\",\"rank\":");
        digits(out, rank, 1);
        out.extend_from_slice(b"}\n");
        second = (second + SECONDS_BETWEEN).min(LAST_SECOND);
    }
}

/// Writes a number with at least `width` digits. The standard formatting would dominate the run time.
fn digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut text = [b'0'; 20];
    let mut first = text.len();
    while number > 0 {
        first -= 1;
        text[first] += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    out.extend_from_slice(&text[first.min(text.len() - width)..]);
}

/// Draws a geometric session length: trials until a success of probability 1/12, at most 60.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 60 once it is cut")]
fn session_length(random: &mut Random) -> u64 {
    // In (0, 1], so that the logarithm is finite.
    let fraction = 1.0 - random.fraction();
    let trials = (fraction.ln() / (1.0 - 1.0 / MEAN_SESSION).ln()).ceil();
    (trials as u64).clamp(1, LONGEST_SESSION)
}

/// Draws a user, heavy-tailed: a few users return often. The tail is folded back into the range.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast takes the nearest end")]
fn user(random: &mut Random, users: u32) -> u32 {
    let excess = (1.0 - random.fraction()).powf(-1.0 / PARETO_SHAPE) - 1.0;
    let user = (excess * f64::from(users) / 20.0) as u64;
    (user % u64::from(users)) as u32
}

fn whole(number: usize) -> u32 {
    u32::try_from(number).expect("a second of the day, or an item, or as many as there are")
}

/// Draws items by a power law.
struct Popularity {
    /// Cumulative distribution over the items.
    cumulated: Vec<f64>,
    /// Index for the search: for each slice of [0, 1), the first item that it can yield.
    first: Vec<u32>,
}

impl Popularity {
    fn new(items: u32) -> Self {
        let mut sum = 0.0;
        let weights = (1..=items).map(|rank| {
            sum += f64::from(rank).powf(-ZIPF_EXPONENT);
            sum
        });
        let mut cumulated: Vec<f64> = weights.collect();
        for share in &mut cumulated {
            *share /= sum;
        }
        let slices = items.next_power_of_two();
        let first = (0..slices).map(|slice| {
            let begins = f64::from(slice) / f64::from(slices);
            whole(cumulated.partition_point(|share| *share < begins))
        });
        Self { first: first.collect(), cumulated }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a slice of those there are")]
    fn draw(&self, random: &mut Random) -> u32 {
        let fraction = random.fraction();
        let slice = (fraction * f64::from(whole(self.first.len()))) as usize;
        let from = self.first[slice] as usize;
        let last = self.cumulated.len() - 1;
        let behind = self.cumulated[from..last].iter().take_while(|share| **share < fraction).count();
        whole(from + behind)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const EVENTS: u32 = 1_000_000;

    fn reference() -> Workload {
        Workload::reference("2026-01-01".parse().unwrap(), EVENTS.into())
    }

    /// Asserts that `seen` is within the relative `tolerance` of `expected`.
    #[track_caller]
    fn near(what: &str, seen: f64, expected: f64, tolerance: f64) {
        assert!((seen / expected - 1.0).abs() < tolerance, "{what}: {seen}, expected about {expected}");
    }

    /// Figures of the generator that originally defined the workload. It draws other numbers from the same
    /// distributions; two draws differ by less than five standard deviations, which is a few percent.
    #[test]
    fn a_million_events_have_the_figures_of_the_reference() {
        let mut sessions = 0u32;
        let (mut items, mut users) = (HashSet::new(), HashSet::new());
        let (mut shown, mut pairs) = (0u32, 0u32);
        for session in reference().sessions() {
            sessions += 1;
            users.insert(session.user);
            items.extend(session.items.iter().copied());
            let mut distinct = session.items;
            distinct.sort_unstable();
            distinct.dedup();
            let distinct = whole(distinct.len());
            shown += distinct;
            pairs += distinct * (distinct - 1);
        }
        near("sessions", f64::from(sessions), 83_919.0, 0.02);
        near("items", f64::from(whole(items.len())), 45_327.0, 0.01);
        near("users", f64::from(whole(users.len())), 24_892.0, 0.03);
        near("items of a session, each once", f64::from(shown), 882_602.0, 0.01);
        near("pairs of them, both ways", f64::from(pairs), 15_311_374.0, 0.04);
    }

    #[test]
    fn every_draw_follows_its_distribution() {
        let (mut sessions, mut squares, mut ones, mut longest) = (0u32, 0.0, 0u32, 0u32);
        let (mut starts, mut events_of_item, mut sessions_of_user) =
            (0.0, vec![0u32; 50_000], vec![0u32; 90_000]);
        for session in reference().sessions() {
            let length = whole(session.items.len());
            sessions += 1;
            squares += f64::from(length).powi(2);
            ones += u32::from(length == 1);
            longest += u32::from(length == 60);
            starts += f64::from(session.start);
            sessions_of_user[session.user as usize] += 1;
            for item in session.items {
                events_of_item[item as usize] += 1;
            }
        }
        let sessions = f64::from(sessions);
        let keep = 1.0 - 1.0 / 12.0f64;
        // A geometric length cut at 60: mean, mean square, and the shares of the first and the last value.
        let lengths = |power: i32| -> f64 {
            let cut = keep.powi(59) * 60f64.powi(power);
            (1..60).map(|n| keep.powi(n - 1) / 12.0 * f64::from(n).powi(power)).sum::<f64>() + cut
        };
        near("mean length", f64::from(EVENTS) / sessions, lengths(1), 0.02);
        near("mean square of lengths", squares / sessions, lengths(2), 0.04);
        near("sessions of one event", f64::from(ones) / sessions, 1.0 / 12.0, 0.06);
        near("sessions of sixty events", f64::from(longest) / sessions, keep.powi(59), 0.25);
        near("mean start", starts / sessions, 43_000.0, 0.02);

        let weight = |item: i32| f64::from(item + 1).powf(-1.05);
        let all: f64 = (0..50_000).map(weight).sum();
        for item in [0, 1, 9, 99] {
            let seen = f64::from(events_of_item[usize::try_from(item).unwrap()]) / f64::from(EVENTS);
            near("share of an item", seen, weight(item) / all, 5.0 / (f64::from(EVENTS) * seen).sqrt());
        }
        let rare: u32 = events_of_item[10_000..].iter().sum();
        let expected = (10_000..50_000).map(weight).sum::<f64>() / all;
        near("share of rare items", f64::from(rare) / f64::from(EVENTS), expected, 0.02);

        // 90,000 users, folded from a Pareto distribution of scale 4,500. The share of users below 4,500 is the share
        // below the scale, plus all that is folded onto it.
        let below: u32 = sessions_of_user[..4_500].iter().sum();
        let cumulated = |excess: f64| 1.0 - (1.0 + excess).powf(-1.2);
        let folds = (0..1_000).map(|fold| f64::from(fold) * 20.0);
        let expected: f64 = folds.map(|fold| cumulated(fold + 1.0) - cumulated(fold)).sum();
        near("share of frequent users", f64::from(below) / sessions, expected, 0.02);
    }

    #[test]
    fn lines_are_those_of_the_reference_format() {
        let written = |workload: &Workload| {
            let mut text = Vec::new();
            let written = workload.write(&mut text).unwrap();
            assert_eq!(written.bytes, text.len() as u64);
            (String::from_utf8(text).unwrap(), written)
        };
        let workload = Workload { events: 40, ..reference() };
        let (text, counts) = written(&workload);
        assert_eq!(counts.events, 40);
        let mut lines = text.lines();
        for session in workload.sessions() {
            for (at, item) in (0..).zip(&session.items) {
                let second = (session.start + at * 7).min(86_399);
                let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                let Session { number, user, .. } = session;
                let rank = at + 1;
                let expected = format!(
                    r#"{{"v":1,"ts":"2026-01-01T{hour:02}:{minute:02}:{second:02}Z","tenant":"demo","surface":"home","user_id":"u{user:07}","session_id":"s{number:08}","request_id":"r{number:08}","item_id":"sku-{item:06}","rank":{rank}}}"#
                );
                assert_eq!(lines.next(), Some(expected.as_str()));
            }
        }
        assert_eq!(lines.next(), None);
        assert_eq!(written(&workload), written(&workload));
        assert_ne!(written(&Workload { seed: 8, ..workload.clone() }).0, text);
        assert_eq!(written(&Workload { events: 0, ..workload }).0, "");
    }
}
