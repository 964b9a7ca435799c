//! The table that every builder reads.
//!
//! Three columns in canonical order, one entry for each exposure of the window and segment: which session,
//! which item, which user. Ids are dense and in the byte order of the strings they stand for. The columns
//! are not copied: they are read from the days as often as a builder asks for them, some events at a time.
//!
//! Where events are weighed, a second table stands beside it: of the exposures and outcomes whose weight is
//! not 0, each type by itself with its weight. It has no sessions unless they tell users apart that have no id, and its
//! order means nothing.

use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::canonical::{Columns, DayRows, Names};
use crate::columnar::csr::Groups;
use crate::columnar::dictionary::{Dictionary, Strings, union};
use crate::domain::id::Segment;
use crate::domain::limit::{LimitExceeded, Limits};
use crate::domain::weights::{TooHeavy, Weights, check_sum};
use crate::input::event::OutcomeType;
use crate::storage::StoreError;

/// The events of a window, column by column.
#[derive(Debug, Default)]
pub struct EventTable {
    days: Vec<Part>,
    len: usize,
    pub(crate) sessions: Arc<Dictionary>,
    pub(crate) items: Arc<Dictionary>,
    pub(crate) users: Arc<Dictionary>,
    /// The table of weighted events, where they count otherwise than these do.
    weighed: Option<Box<EventTable>>,
    /// The most that the events of one user count for one item.
    pub(crate) cap: Option<NonZeroU64>,
    items_of_users: Mutex<Option<Arc<Groups>>>,
}

/// The events of one day, of one weight.
#[derive(Debug)]
struct Part {
    rows: DayRows,
    wanted: Wanted,
    weight: u64,
    /// None where sessions do not count.
    sessions: Option<Way>,
    items: Way,
    users: Way,
}

/// Why no table can be made of a window.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It holds more than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// Its events weigh more than can be counted.
    #[error(transparent)]
    Heavy(#[from] TooHeavy),
    /// A temporary file cannot be read.
    #[error(transparent)]
    Temporary(#[from] StoreError),
}

/// Some events of the same weight: which session, item and user (0 when unknown, `id + 1` for the user `id`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) weight: u64,
    /// Empty in a table of weighted events, unless what one user counts has a cap.
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

    /// Takes the exposures of `days`, which must be in order, whose segment is `segment` or absent; without a
    /// segment, all of them.
    ///
    /// # Errors
    /// When the window holds more than `limits` allow.
    pub fn new(days: &[&DayRows], segment: Option<&Segment>, limits: &Limits) -> Result<Self, TableError> {
        let chosen = days.iter().map(|day| Chosen { day, wanted: Wanted::new(day, segment), weight: 1 });
        Self::of(chosen.collect(), Sessions::Count, limits)
    }

    /// Lets the events of `exposures` and `outcomes` count by their weights in the kinds that weigh events.
    ///
    /// An outcome has no segment, so it counts for every one, as an exposure without a segment does.
    ///
    /// # Errors
    /// When both together hold more than `limits` allow, or weigh more than can be counted exactly.
    pub fn weigh(
        &mut self,
        weights: Weights,
        exposures: &[&DayRows],
        outcomes: &[&DayRows],
        segment: Option<&Segment>,
        limits: &Limits,
    ) -> Result<(), TableError> {
        if weights.are_plain() {
            return Ok(());
        }
        let cap = weights.cap_per_user_item;
        let sessions = if cap.is_some() { Sessions::Count } else { Sessions::Ignore };
        let chosen = weighted(weights, exposures, outcomes, segment);
        self.weighed = Some(Box::new(Self { cap, ..Self::of(chosen, sessions, limits)? }));
        Ok(())
    }

    /// The events of a day with their weights and sessions, for whoever judges the day.
    pub(crate) fn of_day(
        weights: Weights,
        exposures: &DayRows,
        outcomes: Option<&DayRows>,
        limits: &Limits,
    ) -> Result<Self, TableError> {
        let chosen = weighted(weights, &[exposures], outcomes.as_slice(), None);
        Self::of(chosen, Sessions::Count, limits)
    }

    /// The table that kinds take which weigh events: this one, unless [`weigh`](Self::weigh) made another.
    pub(crate) fn weighed(&self) -> &Self {
        self.weighed.as_deref().unwrap_or(self)
    }

    /// Whether each event counts one.
    pub(crate) fn counts_ones(&self) -> bool {
        self.cap.is_none() && self.days.iter().all(|part| part.weight == 1)
    }

    fn of(chosen: Vec<Chosen<'_>>, of_sessions: Sessions, limits: &Limits) -> Result<Self, TableError> {
        let used: Vec<Used> = chosen.iter().map(Used::new).collect::<Result<_, _>>()?;
        let len = used.iter().map(|used| used.events).sum();
        limits.check("max_events_per_run", limits.max_events_per_run, len)?;
        check_sum(used.iter().zip(&chosen).map(|(used, chosen)| (used.events, chosen.weight)))?;

        let column = |dictionary: fn(&Names) -> &Arc<Dictionary>, ids: fn(&Used) -> Option<&[u32]>| {
            let parts = chosen.iter().zip(&used).map(|(part, used)| (dictionary(&part.day.names), ids(used)));
            one_dictionary(&parts.collect::<Vec<_>>())
        };
        let (sessions, session_ways) = match of_sessions {
            Sessions::Count => {
                let (sessions, ways) = column(|names| &names.sessions, |used| used.sessions.as_deref());
                (sessions, ways.into_iter().map(Some).collect())
            }
            Sessions::Ignore => (Arc::default(), chosen.iter().map(|_| None).collect::<Vec<_>>()),
        };
        limits.check("max_sessions_per_run", limits.max_sessions_per_run, sessions.len())?;
        let (items, item_ways) = column(|names| &names.items, |used| used.items.as_deref());
        limits.check("max_distinct_items_per_run", limits.max_distinct_items_per_run, items.len())?;
        let (users, user_ways) = column(|names| &names.users, |used| used.users.as_deref());
        limits.check("max_users_per_run", limits.max_users_per_run, users.len())?;

        let ways = session_ways.into_iter().zip(item_ways).zip(user_ways);
        let parts = chosen.into_iter().zip(ways).map(|(part, ((sessions, items), users))| {
            let Chosen { day, wanted, weight } = part;
            Part { rows: day.clone(), wanted, weight, sessions, items, users }
        });
        Ok(Self {
            days: parts.collect(),
            len,
            sessions,
            items,
            users,
            weighed: None,
            cap: None,
            items_of_users: Mutex::default(),
        })
    }

    /// The items of each user's events, in order; group 0 is of those whose user is unknown, and group `id + 1` of the
    /// user `id`. They are made when they are first asked for, because more than one kind does; none when they would take
    /// more than `share` bytes.
    pub(crate) fn items_of_users(&self, share: usize) -> Result<Option<Arc<Groups>>, StoreError> {
        let count = self.users.len() + 1;
        // A count of an item is a number of 32 bits.
        if Groups::bytes(count, self.len) > share || u32::try_from(self.len).is_err() {
            return Ok(None);
        }
        let mut made = self.items_of_users.lock();
        let groups = match &*made {
            Some(groups) => groups,
            None => made.insert(Arc::new(Groups::new(count, |take| {
                self.for_each(|events| {
                    take(events.user, events.item);
                    Ok::<_, StoreError>(())
                })
            })?)),
        };
        Ok(Some(Arc::clone(groups)))
    }

    /// Calls `take` with all events, in order, some at a time.
    pub(crate) fn for_each<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Events<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut session, mut item, mut user) = (Vec::new(), Vec::new(), Vec::new());
        self.days.iter().try_for_each(|day| {
            day.rows.for_each(|columns| {
                let weight = day.weight;
                if day.is_as_it_is() {
                    let Columns { session, item, user, .. } = columns;
                    return take(Events { weight, session, item, user });
                }
                session.clear();
                item.clear();
                user.clear();
                for row in day.wanted.rows(columns.segment) {
                    if let Some(sessions) = &day.sessions {
                        session.push(sessions.lead(columns.session[row]));
                    }
                    item.push(day.items.lead(columns.item[row]));
                    user.push(columns.user[row].checked_sub(1).map_or(0, |id| day.users.lead(id) + 1));
                }
                take(Events { weight, session: &session, item: &item, user: &user })
            })
        })
    }
}

impl Part {
    fn is_as_it_is(&self) -> bool {
        let ways = self.sessions.iter().chain([&self.items, &self.users]);
        matches!(self.wanted, Wanted::All) && ways.into_iter().all(|way| matches!(way, Way::Same))
    }
}

/// Whether a table has a column of sessions.
#[derive(Clone, Copy)]
enum Sessions {
    Count,
    Ignore,
}

/// The rows that count, by their weights.
fn weighted<'a>(
    weights: Weights,
    exposures: &[&'a DayRows],
    outcomes: &[&'a DayRows],
    segment: Option<&Segment>,
) -> Vec<Chosen<'a>> {
    let shown = exposures.iter().map(|day| {
        let wanted = Wanted::new(day, segment);
        Chosen { day, wanted, weight: weights.exposure }
    });
    let came = outcomes.iter().flat_map(|day| {
        let of_type =
            |outcome: OutcomeType, weight| Chosen { day, wanted: Wanted::of_type(day, outcome), weight };
        [of_type(OutcomeType::Click, weights.click), of_type(OutcomeType::Conversion, weights.conversion)]
    });
    // What counts nothing is not there: neither its items nor its users.
    shown.chain(came).filter(|chosen| chosen.weight > 0).collect()
}

/// Some rows of a day, and what each of them counts.
struct Chosen<'a> {
    day: &'a DayRows,
    wanted: Wanted,
    weight: u64,
}

/// Which rows of a day are taken.
#[derive(Debug)]
enum Wanted {
    All,
    /// Rows without a segment, and those with this one if the day knows it.
    Segment(Option<u32>),
    /// Outcomes of this type if the day knows it. The type is where exposures have the segment.
    Type(Option<u32>),
}

impl Wanted {
    fn new(day: &DayRows, segment: Option<&Segment>) -> Self {
        match segment {
            None => Self::All,
            Some(segment) => Self::Segment(day.names.segments.find(segment.as_str()).map(|id| id + 1)),
        }
    }

    fn of_type(day: &DayRows, outcome: OutcomeType) -> Self {
        Self::Type(day.names.segments.find(outcome.as_str()).map(|id| id + 1))
    }

    /// The places of the rows that belong to it.
    fn rows(&self, segments: &[u32]) -> impl Iterator<Item = usize> {
        segments.iter().enumerate().filter(|(_, segment)| self.takes(**segment)).map(|(row, _)| row)
    }

    fn takes(&self, of_row: u32) -> bool {
        match self {
            Self::All => true,
            Self::Segment(segment) => of_row == 0 || Some(of_row) == *segment,
            Self::Type(outcome) => Some(of_row) == *outcome,
        }
    }
}

/// What the wanted rows of a day use. A segment uses only some of a day's strings; without one it is all.
struct Used {
    events: usize,
    sessions: Option<Vec<u32>>,
    items: Option<Vec<u32>>,
    users: Option<Vec<u32>>,
}

impl Used {
    fn new(&Chosen { day, ref wanted, .. }: &Chosen<'_>) -> Result<Self, StoreError> {
        if matches!(wanted, Wanted::All) {
            return Ok(Self { events: day.len(), sessions: None, items: None, users: None });
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
        Ok(Self { events, sessions: ids(sessions), items: ids(items), users: ids(users) })
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
