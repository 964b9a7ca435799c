//! The table that every builder reads.
//!
//! Three columns in canonical order, one entry for each event of the window and segment: which session,
//! which item, which user. Ids are dense and in the byte order of the strings they stand for. The columns
//! are not copied: they are read from the days as often as a builder asks for them, some events at a time.

use std::sync::Arc;

use crate::canonical::{Columns, DayRows, Names};
use crate::dictionary::{Dictionary, Strings, union};
use crate::id::Segment;
use crate::limit::{LimitExceeded, Limits};
use crate::storage::StoreError;

/// The events of a window, column by column.
#[derive(Debug, Default)]
pub struct EventTable {
    days: Vec<Part>,
    len: usize,
    pub(crate) sessions: Arc<Dictionary>,
    pub(crate) items: Arc<Dictionary>,
    pub(crate) users: Arc<Dictionary>,
}

/// The events of one day.
#[derive(Debug)]
struct Part {
    rows: DayRows,
    wanted: Wanted,
    sessions: Way,
    items: Way,
    users: Way,
}

/// Why no table can be made of a window.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It holds more than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A temporary file cannot be read.
    #[error(transparent)]
    Temporary(#[from] StoreError),
}

/// Some events: which session, item and user (0 when unknown, `id + 1` for the user `id`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) session: &'a [u32],
    pub(crate) item: &'a [u32],
    pub(crate) user: &'a [u32],
}

impl EventTable {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the events of `days`, which must be in order, whose segment is `segment` or absent; without a
    /// segment, all of them.
    ///
    /// # Errors
    /// When the window holds more than `limits` allow.
    pub fn new(days: &[&DayRows], segment: Option<&Segment>, limits: &Limits) -> Result<Self, TableError> {
        let used: Vec<Used> = days.iter().map(|day| Used::new(day, segment)).collect::<Result<_, _>>()?;
        let len = used.iter().map(|used| used.events).sum();
        limits.check("max_events_per_run", limits.max_events_per_run, len)?;

        let column = |dictionary: fn(&Names) -> &Arc<Dictionary>, ids: fn(&Used) -> Option<&[u32]>| {
            let parts = days.iter().zip(&used).map(|(day, used)| (dictionary(&day.names), ids(used)));
            one_dictionary(&parts.collect::<Vec<_>>())
        };
        let (sessions, session_ways) = column(|names| &names.sessions, |used| used.sessions.as_deref());
        limits.check("max_sessions_per_run", limits.max_sessions_per_run, sessions.len())?;
        let (items, item_ways) = column(|names| &names.items, |used| used.items.as_deref());
        limits.check("max_distinct_items_per_run", limits.max_distinct_items_per_run, items.len())?;
        let (users, user_ways) = column(|names| &names.users, |used| used.users.as_deref());
        limits.check("max_users_per_run", limits.max_users_per_run, users.len())?;

        let ways = session_ways.into_iter().zip(item_ways).zip(user_ways);
        let parts = days.iter().zip(used).zip(ways).map(|((day, used), ((sessions, items), users))| Part {
            rows: (*day).clone(),
            wanted: used.wanted,
            sessions,
            items,
            users,
        });
        Ok(Self { days: parts.collect(), len, sessions, items, users })
    }

    /// Calls `take` with all events, in order, some at a time.
    pub(crate) fn for_each<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Events<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut session, mut item, mut user) = (Vec::new(), Vec::new(), Vec::new());
        self.days.iter().try_for_each(|day| {
            day.rows.for_each(|columns| {
                if day.is_as_it_is() {
                    let Columns { session, item, user, .. } = columns;
                    return take(Events { session, item, user });
                }
                session.clear();
                item.clear();
                user.clear();
                for row in day.wanted.rows(columns.segment) {
                    session.push(day.sessions.lead(columns.session[row]));
                    item.push(day.items.lead(columns.item[row]));
                    user.push(columns.user[row].checked_sub(1).map_or(0, |id| day.users.lead(id) + 1));
                }
                take(Events { session: &session, item: &item, user: &user })
            })
        })
    }
}

impl Part {
    fn is_as_it_is(&self) -> bool {
        let ways = [&self.sessions, &self.items, &self.users];
        matches!(self.wanted, Wanted::All) && ways.iter().all(|way| matches!(way, Way::Same))
    }
}

/// Which rows of a day belong to the segment.
#[derive(Debug)]
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

    /// The places of the rows that belong to it.
    fn rows(&self, segments: &[u32]) -> impl Iterator<Item = usize> {
        segments.iter().enumerate().filter(|(_, segment)| self.takes(**segment)).map(|(row, _)| row)
    }

    fn takes(&self, of_row: u32) -> bool {
        match self {
            Self::All => true,
            Self::Segment(segment) => of_row == 0 || Some(of_row) == *segment,
        }
    }
}

/// What the wanted rows of a day use. A segment uses only some of a day's strings; without one it is all.
struct Used {
    wanted: Wanted,
    events: usize,
    sessions: Option<Vec<u32>>,
    items: Option<Vec<u32>>,
    users: Option<Vec<u32>>,
}

impl Used {
    fn new(day: &DayRows, segment: Option<&Segment>) -> Result<Self, StoreError> {
        let wanted = Wanted::new(day, segment);
        if matches!(wanted, Wanted::All) {
            return Ok(Self { wanted, events: day.len(), sessions: None, items: None, users: None });
        }
        let names = &day.names;
        let mut sessions = vec![false; names.sessions.len()];
        let mut items = vec![false; names.items.len()];
        let mut users = vec![false; names.users.len()];
        let mut events = 0;
        day.for_each(|columns| {
            for row in wanted.rows(columns.segment) {
                sessions[columns.session[row] as usize] = true;
                items[columns.item[row] as usize] = true;
                if let Some(user) = columns.user[row].checked_sub(1) {
                    users[user as usize] = true;
                }
                events += 1;
            }
            Ok::<_, StoreError>(())
        })?;
        let ids =
            |used: Vec<bool>| Some((0..).zip(used).filter(|(_, used)| *used).map(|(id, _)| id).collect());
        Ok(Self { wanted, events, sessions: ids(sessions), items: ids(items), users: ids(users) })
    }
}

/// From the ids of a day to those of the window.
#[derive(Debug)]
enum Way {
    Same,
    /// Ids that no wanted row uses lead nowhere, and nobody asks for them.
    Other(Vec<u32>),
}

impl Way {
    fn lead(&self, id: u32) -> u32 {
        match self {
            Self::Same => id,
            Self::Other(ids) => ids[id as usize],
        }
    }
}

/// One dictionary of the strings that are used in any of the parts, and each part's way into it.
fn one_dictionary(parts: &[(&Arc<Dictionary>, Option<&[u32]>)]) -> (Arc<Dictionary>, Vec<Way>) {
    if let [(dictionary, None)] = parts {
        return (Arc::clone(dictionary), vec![Way::Same]);
    }
    let selected: Vec<Arc<Dictionary>> = parts
        .iter()
        .map(|(all, used)| used.map_or_else(|| Arc::clone(all), |used| Arc::new(all.select(used))))
        .collect();
    let strings: Vec<&Strings> = selected.iter().map(|dictionary| dictionary.strings()).collect();
    let (dictionary, from_selected) = union(&strings);
    let ways = parts.iter().zip(from_selected).map(|((all, used), ids)| {
        let Some(used) = used else { return Way::Other(ids) };
        let mut from_all = vec![0; all.len()];
        for (old, new) in used.iter().zip(ids) {
            from_all[*old as usize] = new;
        }
        Way::Other(from_all)
    });
    (Arc::new(dictionary), ways.collect())
}
