//! The table that every builder reads.
//!
//! Three columns in canonical order, one entry for each event of the window and segment: which session,
//! which item, which user. Ids are dense and in the byte order of the strings they stand for.

use std::borrow::Cow;

use crate::canonical::{DayRows, Row};
use crate::dictionary::{Dictionary, Strings, union};
use crate::id::Segment;
use crate::limit::{LimitExceeded, Limits};

/// The events of a window, column by column.
#[derive(Debug, Default)]
pub struct EventTable {
    /// The session of each event.
    pub(crate) session: Vec<u32>,
    /// The item of each event.
    pub(crate) item: Vec<u32>,
    /// The user of each event; 0 when unknown, `id + 1` for the user `id`.
    pub(crate) user: Vec<u32>,
    pub(crate) sessions: Dictionary,
    pub(crate) items: Dictionary,
    pub(crate) users: Dictionary,
}

impl EventTable {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.item.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.item.is_empty()
    }

    /// Takes the events of `days`, which must be in order, whose segment is `segment` or absent; without a
    /// segment, all of them.
    ///
    /// # Errors
    /// When the window holds more than `limits` allow.
    pub fn new(days: &[&DayRows], segment: Option<&Segment>, limits: &Limits) -> Result<Self, LimitExceeded> {
        let wanted: Vec<_> = days.iter().map(|day| Wanted::new(day, segment)).collect();
        let rows = || {
            days.iter().zip(&wanted).flat_map(|(day, wanted)| day.rows.iter().filter(|row| wanted.takes(row)))
        };
        let events = rows().count();
        limits.check("max_events_per_run", limits.max_events_per_run, events)?;

        let column = |dictionary: fn(&DayRows) -> &Dictionary, id: fn(&Row) -> Option<u32>| {
            merged(days, &wanted, dictionary, id)
        };
        let (sessions, session) = column(|day| &day.names.sessions, |row| Some(row.session));
        limits.check("max_sessions_per_run", limits.max_sessions_per_run, sessions.len())?;
        let (items, item) = column(|day| &day.names.items, |row| Some(row.item));
        limits.check("max_distinct_items_per_run", limits.max_distinct_items_per_run, items.len())?;
        let (users, user) = column(|day| &day.names.users, |row| row.user.checked_sub(1));
        limits.check("max_users_per_run", limits.max_users_per_run, users.len())?;

        let mut table = Self { sessions, items, users, ..Self::default() };
        table.session.reserve_exact(events);
        table.item.reserve_exact(events);
        table.user.reserve_exact(events);
        for (number, day) in days.iter().enumerate() {
            for row in day.rows.iter().filter(|row| wanted[number].takes(row)) {
                table.session.push(session[number][row.session as usize]);
                table.item.push(item[number][row.item as usize]);
                table.user.push(row.user.checked_sub(1).map_or(0, |id| user[number][id as usize] + 1));
            }
        }
        Ok(table)
    }
}

/// Which rows of a day belong to the segment.
enum Wanted {
    All,
    /// Rows without a segment, and those with this one if the day knows it.
    Segment(Option<u32>),
}

impl Wanted {
    fn new(day: &DayRows, segment: Option<&Segment>) -> Self {
        match segment {
            None => Self::All,
            Some(segment) => Self::Segment(day.names.segments.find(segment.as_str()).map(|id| id + 1)),
        }
    }

    fn takes(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Segment(segment) => row.segment == 0 || Some(row.segment) == *segment,
        }
    }
}

/// One dictionary of the strings that the wanted rows of all days use, and each day's way into it.
fn merged<'a>(
    days: &[&'a DayRows],
    wanted: &[Wanted],
    dictionary: fn(&DayRows) -> &Dictionary,
    id: fn(&Row) -> Option<u32>,
) -> (Dictionary, Vec<Vec<u32>>) {
    // A segment uses only some of a day's strings.
    let used: Vec<(Cow<'a, Dictionary>, Vec<u32>)> = days
        .iter()
        .zip(wanted)
        .map(|(day, wanted)| {
            let all = dictionary(day);
            let mut numbers: Vec<u32> = (0..=u32::MAX).take(all.len()).collect();
            if matches!(wanted, Wanted::All) {
                return (Cow::Borrowed(all), numbers);
            }
            let mut ids: Vec<u32> = day.rows.iter().filter(|row| wanted.takes(row)).filter_map(id).collect();
            ids.sort_unstable();
            ids.dedup();
            for (new, old) in (0..).zip(&ids) {
                numbers[*old as usize] = new;
            }
            (Cow::Owned(all.select(&ids)), numbers)
        })
        .collect();
    if let [(dictionary, numbers)] = &used[..] {
        return (dictionary.as_ref().clone(), vec![numbers.clone()]);
    }
    let strings: Vec<&Strings> = used.iter().map(|(dictionary, _)| dictionary.strings()).collect();
    let (all, from_used) = union(&strings);
    let from_day = from_used.into_iter().zip(used).map(|(from_used, (_, mut numbers))| {
        // Numbers of strings that no wanted row uses lead nowhere, and nobody asks for them.
        for number in &mut numbers {
            *number = from_used.get(*number as usize).copied().unwrap_or_default();
        }
        numbers
    });
    (all, from_day.collect())
}
