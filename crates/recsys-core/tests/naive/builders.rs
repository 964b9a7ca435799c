//! The kinds that are built from events.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use recsys_core::domain::limit::{Limits, OversizedSessions};

use super::events::{Event, Events};
use super::json::{Json, scored};

pub(crate) fn in_segment(events: &Events, segment: Option<&str>) -> Vec<Event> {
    let belongs = |event: &&Event| match (segment, &event.segment) {
        (None, _) | (_, None) => true,
        (Some(wanted), Some(given)) => wanted == given,
    };
    events.days.values().flatten().filter(belongs).cloned().collect()
}

/// Greatest first, ties by id, at most `most`.
fn best(counts: &BTreeMap<String, u64>, most: usize) -> Vec<(String, u64)> {
    let mut ranked: Vec<_> = counts.iter().map(|(id, count)| (id.clone(), *count)).collect();
    ranked.sort_by_key(|(id, count)| (Reverse(*count), id.clone()));
    ranked.truncate(most);
    ranked
}

pub(crate) fn naive_popularity(events: &[Event], limits: &Limits) -> Json {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.item.clone()).or_default() += 1;
    }
    scored(&best(&counts, limits.max_items_per_artifact), "count", |count| Json::Whole(*count))
}

fn sessions(events: &[Event]) -> BTreeMap<String, BTreeSet<String>> {
    let mut sessions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        sessions.entry(event.session.clone()).or_default().insert(event.item.clone());
    }
    sessions
}

/// The content and the number of skipped sessions, or the sessions that are too large.
pub(crate) fn naive_cooc(events: &[Event], limits: &Limits) -> Result<(Json, u64), BTreeMap<String, u64>> {
    let (oversized, sessions): (BTreeMap<_, _>, BTreeMap<_, _>) = sessions(events)
        .into_iter()
        .partition(|(_, items)| items.len() > 1 && items.len() as u64 > limits.max_items_per_session);
    if limits.oversized_sessions == OversizedSessions::Fail && !oversized.is_empty() {
        return Err(oversized.into_iter().map(|(id, items)| (id, items.len() as u64)).collect());
    }
    let mut pairs: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for items in sessions.values() {
        for item in items {
            for other in items.iter().filter(|other| *other != item) {
                *pairs.entry(item.clone()).or_default().entry(other.clone()).or_default() += 1;
            }
        }
    }
    let mut rows = Vec::new();
    for (item, mut neighbours) in pairs {
        neighbours.retain(|_, count| *count >= u64::from(limits.min_cooc_support));
        let kept = best(&neighbours, limits.max_neighbors_per_item);
        let total: u64 = kept.iter().map(|(_, count)| count).sum();
        rows.push((total, item, kept));
    }
    rows.sort_by_key(|(total, item, _)| (Reverse(*total), item.clone()));
    rows.truncate(limits.max_items_per_artifact);
    rows.sort_by_key(|(_, item, _)| item.clone());
    let row = |(_, item, kept): &(u64, String, Vec<_>)| {
        let items = scored(kept, "count", |count| Json::Whole(*count));
        Json::object([("item_id", Json::text(item)), ("items", items)])
    };
    Ok((Json::List(rows.iter().map(row).collect()), oversized.len() as u64))
}

fn user_rows(users: &BTreeMap<String, BTreeMap<String, u64>>, limits: &Limits) -> Json {
    let row = |(user, counts): (&String, &BTreeMap<String, u64>)| {
        let items = scored(&best(counts, limits.max_items_per_user), "score", |score| Json::Whole(*score));
        Json::object([("user_id", Json::text(user)), ("items", items)])
    };
    Json::List(users.iter().map(row).collect())
}

pub(crate) fn naive_implicit(events: &[Event], limits: &Limits) -> Json {
    let mut users: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for event in events {
        if let Some(user) = &event.user {
            *users.entry(user.clone()).or_default().entry(event.item.clone()).or_default() += 1;
        }
    }
    user_rows(&users, limits)
}

pub(crate) fn naive_session_seq(events: &[Event], limits: &Limits) -> Json {
    let mut histories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        if let Some(user) = &event.user {
            histories.entry(user.clone()).or_default().push(event.item.clone());
        }
    }
    let mut users: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (user, history) in histories {
        let counts = users.entry(user).or_default();
        for item in &history[1..] {
            *counts.entry(item.clone()).or_default() += 1;
        }
    }
    user_rows(&users, limits)
}
