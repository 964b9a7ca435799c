//! The table that every builder reads.
//!
//! It has three columns in canonical order, session, item and user, with an entry for each exposure of the window and
//! segment. Ids are dense and in byte order of their strings. The columns are not copied: each builder reads them
//! from the days in chunks, as often as it needs.
//!
//! For weighted counting there is a second table, of the exposures and outcomes with a weight above 0, grouped by
//! weight. It only has sessions if these are needed to tell users without an id apart, and its order is arbitrary.

use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;

use super::window_days::WindowDays;
use crate::canonical::{DayRows, EventColumns, Names};
use crate::columnar::csr::Csr;
use crate::columnar::dictionary::{Dictionary, Strings, union};
use crate::columnar::spill::BudgetExceeded;
use crate::domain::class::Class;
use crate::domain::fading::{ONE, faded};
use crate::domain::id::Segment;
use crate::domain::limit::{Limit, LimitExceeded, Limits};
use crate::domain::weights::{TooHeavy, Weights, check_sum};
use crate::domain::window::Day;
use crate::input::event::OutcomeType;
use crate::storage::StoreError;

/// A whole event, where weights fade.
const WHOLE: NonZeroU64 = NonZeroU64::new(ONE as u64).expect("above zero");

/// The events of a window as columns.
#[derive(Debug, Default)]
pub struct EventTable {
    pub(super) days: Vec<DayPart>,
    len: usize,
    pub(crate) sessions: Arc<Dictionary>,
    pub(crate) items: Arc<Dictionary>,
    pub(crate) users: Arc<Dictionary>,
    /// The table of weighted events, if weights differ from the default.
    weighed: Option<Box<EventTable>>,
    /// The maximum that the events of one user count for one item.
    pub(crate) cap: Option<NonZeroU64>,
    /// The table whose weights fade with the age of events, if they do.
    faded: Option<Box<EventTable>>,
    items_of_users: Mutex<Option<Arc<Csr>>>,
}

/// The events of one day with one weight.
#[derive(Debug)]
pub(super) struct DayPart {
    pub(super) rows: DayRows,
    pub(super) wanted: Wanted,
    weight: u64,
    /// `None` if the table has no sessions.
    pub(super) sessions: Option<IdMap>,
    pub(super) items: IdMap,
    pub(super) users: IdMap,
}

/// Why the table of a window cannot be built, or counted.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The window exceeds a limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The total weight is too large to be counted exactly.
    #[error(transparent)]
    Heavy(#[from] TooHeavy),
    /// The distinct strings of its days take more memory than there is for them.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
    /// A canonical or temporary file cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A day was ingested again while a window that holds it was built.
    #[error("the canonical data of {0} changed while it was built from; run the job again")]
    Changed(Day),
}

impl TableError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Limit(_) | Self::Heavy(_) | Self::Memory(_) => Some(Class::Limit),
            Self::Store(_) => None,
            Self::Changed(_) => Some(Class::Transient),
        }
    }
}

/// Some events of the same weight. The user is `id + 1`, or 0 if unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) weight: u64,
    /// Empty in a table of weighted events, unless there is a cap per user.
    pub(crate) session: &'a [u32],
    pub(crate) item: &'a [u32],
    pub(crate) user: &'a [u32],
}

impl EventTable {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A table of the exposures of `days`, which must be in order. With a `segment`, takes those of that segment or
    /// of none.
    ///
    /// # Errors
    /// The window exceeds one of `limits`, or a temporary file cannot be read.
    pub fn new(days: &[&DayRows], segment: Option<&Segment>, limits: &Limits) -> Result<Self, TableError> {
        let chosen = days.iter().map(|day| Chosen { day, wanted: Wanted::new(day, segment), weight: 1 });
        Self::of(chosen.collect(), true, limits)
    }

    /// Sets weights for the kinds of artifact that use them, and the events to be weighted.
    ///
    /// An outcome has no segment, so it counts for every segment, like an exposure without one.
    ///
    /// # Errors
    /// The events exceed one of `limits`, their total weight is too large to be exact, or a temporary file cannot be read.
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
        let chosen = weighted(weights, exposures, outcomes, segment);
        self.weighed = Some(Box::new(Self { cap, ..Self::of(chosen, cap.is_some(), limits)? }));
        Ok(())
    }

    /// Lets weights fade with their age in `popularity`: half is left after `half_life_days`, counted from `last`.
    ///
    /// # Errors
    /// As those of [`weigh`](Self::weigh), which must have been called with the same weights and events.
    pub fn fade(
        &mut self,
        half_life_days: f64,
        weights: Weights,
        days: &WindowDays<'_>,
        limits: &Limits,
    ) -> Result<(), TableError> {
        let mut chosen = weighted(weights, days.exposures, days.outcomes, days.segment);
        for part in &mut chosen {
            part.weight *= u64::from(faded(half_life_days, days.age(part.day)));
        }
        // In the parts of a whole event.
        let cap = weights.cap_per_user_item.map(|cap| cap.saturating_mul(WHOLE));
        self.faded = Some(Box::new(Self { cap, ..Self::of(chosen, cap.is_some(), limits)? }));
        Ok(())
    }

    /// The table whose weights fade, if they do; its items are those of [`weighed`](Self::weighed).
    pub(crate) fn faded(&self) -> Option<&Self> {
        self.faded.as_deref()
    }

    /// A table of one day with weights and sessions, for the gate.
    pub(crate) fn of_day(
        weights: Weights,
        exposures: &DayRows,
        outcomes: Option<&DayRows>,
        limits: &Limits,
    ) -> Result<Self, TableError> {
        let chosen = weighted(weights, &[exposures], outcomes.as_slice(), None);
        Self::of(chosen, true, limits)
    }

    /// The table for kinds that use weights: the one made by [`weigh`](Self::weigh), or this one if there is none.
    pub(crate) fn weighed(&self) -> &Self {
        self.weighed.as_deref().unwrap_or(self)
    }

    /// Whether every event counts exactly 1.
    pub(crate) fn counts_ones(&self) -> bool {
        self.cap.is_none() && self.days.iter().all(|part| part.weight == 1)
    }

    pub(super) fn of(
        chosen: Vec<Chosen<'_>>,
        has_sessions: bool,
        limits: &Limits,
    ) -> Result<Self, TableError> {
        let used: Vec<Used> = chosen.iter().map(Used::new).collect::<Result<_, _>>()?;
        let len = used.iter().map(|used| used.events).sum();
        limits.check(Limit::EventsPerRun, len)?;
        check_sum(used.iter().zip(&chosen).map(|(used, chosen)| (used.events, chosen.weight)))?;

        let column = |number: usize, dictionary: fn(&Names) -> &Arc<Dictionary>| {
            let ids = used.iter().map(|used| used.ids.as_ref().map(|ids| &ids[number][..]));
            let dictionaries = chosen.iter().map(|part| dictionary(&part.day.names));
            merged_dictionary(&dictionaries.zip(ids).collect::<Vec<_>>())
        };
        let (sessions, session_maps) = if has_sessions {
            let (sessions, maps) = column(0, |names| &names.sessions);
            (sessions, maps.into_iter().map(Some).collect())
        } else {
            (Arc::default(), chosen.iter().map(|_| None).collect::<Vec<_>>())
        };
        limits.check(Limit::SessionsPerRun, sessions.len())?;
        let (items, item_maps) = column(1, |names| &names.items);
        limits.check(Limit::DistinctItemsPerRun, items.len())?;
        let (users, user_maps) = column(2, |names| &names.users);
        limits.check(Limit::UsersPerRun, users.len())?;

        let maps = session_maps.into_iter().zip(item_maps).zip(user_maps);
        let parts = chosen.into_iter().zip(maps).map(|(part, ((sessions, items), users))| {
            let Chosen { day, wanted, weight } = part;
            DayPart { rows: day.clone(), wanted, weight, sessions, items, users }
        });
        Ok(Self { days: parts.collect(), len, sessions, items, users, ..Self::default() })
    }

    /// The items of each user's events, in order; group 0 holds the events without a user, group `id + 1` those of
    /// user `id`. Built on first use and kept, because several kinds need them. `None` if they would take more than
    /// `share` bytes.
    pub(crate) fn items_of_users(&self, share: usize) -> Result<Option<Arc<Csr>>, StoreError> {
        let count = self.users.len() + 1;
        // Counts per item are 32-bit.
        if Csr::bytes(count, self.len) > share || u32::try_from(self.len).is_err() {
            return Ok(None);
        }
        let mut made = self.items_of_users.lock();
        let groups = match &*made {
            Some(groups) => groups,
            None => made.insert(Arc::new(Csr::new(count, |take| {
                self.for_each(|events| {
                    take(events.user, events.item);
                    Ok::<_, StoreError>(())
                })
            })?)),
        };
        Ok(Some(Arc::clone(groups)))
    }

    /// Calls `take` with all events in order, in chunks.
    pub(crate) fn for_each<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Events<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut session, mut item, mut user) = (Vec::new(), Vec::new(), Vec::new());
        self.days.iter().try_for_each(|day| {
            day.rows.for_each(|columns| {
                let weight = day.weight;
                if day.is_unchanged() {
                    let EventColumns { session, item, user, .. } = columns;
                    return take(Events { weight, session, item, user });
                }
                session.clear();
                item.clear();
                user.clear();
                for row in day.wanted.rows(columns.segment) {
                    if let Some(sessions) = &day.sessions {
                        session.push(sessions.map(columns.session[row]));
                    }
                    item.push(day.items.map(columns.item[row]));
                    user.push(columns.user[row].checked_sub(1).map_or(0, |id| day.users.map(id) + 1));
                }
                take(Events { weight, session: &session, item: &item, user: &user })
            })
        })
    }
}

impl DayPart {
    fn is_unchanged(&self) -> bool {
        let maps = self.sessions.iter().chain([&self.items, &self.users]);
        matches!(self.wanted, Wanted::All) && maps.into_iter().all(|map| matches!(map, IdMap::Same))
    }
}

/// The rows with a weight above 0.
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
    // Drop weight 0 entirely, so that neither its items nor its users appear.
    shown.chain(came).filter(|chosen| chosen.weight > 0).collect()
}

/// Some rows of a day and their common weight.
pub(super) struct Chosen<'a> {
    pub(super) day: &'a DayRows,
    pub(super) wanted: Wanted,
    pub(super) weight: u64,
}

/// A filter on the rows of a day.
#[derive(Debug)]
pub(super) enum Wanted {
    All,
    /// Rows without a segment, and those of this one if it occurs in the day.
    Segment(Option<u32>),
    /// Outcomes of this type, if it occurs in the day. Outcomes have the type in the place of the segment.
    Type(Option<u32>),
}

impl Wanted {
    pub(super) fn new(day: &DayRows, segment: Option<&Segment>) -> Self {
        match segment {
            None => Self::All,
            Some(segment) => Self::Segment(day.names.segments.find(segment.as_str()).map(|id| id + 1)),
        }
    }

    pub(super) fn of_type(day: &DayRows, outcome: OutcomeType) -> Self {
        Self::Type(day.names.segments.find(outcome.as_str()).map(|id| id + 1))
    }

    /// The indexes of the matching rows.
    fn rows(&self, segments: &[u32]) -> impl Iterator<Item = usize> {
        segments.iter().enumerate().filter(|(_, segment)| self.takes(**segment)).map(|(row, _)| row)
    }

    pub(super) fn takes(&self, of_row: u32) -> bool {
        match self {
            Self::All => true,
            Self::Segment(segment) => of_row == 0 || Some(of_row) == *segment,
            Self::Type(outcome) => Some(of_row) == *outcome,
        }
    }
}

/// The wanted rows, and the ids of sessions, items and users that they use; `None` means all ids of the day.
struct Used {
    events: usize,
    ids: Option<[Vec<u32>; 3]>,
}

impl Used {
    fn new(&Chosen { day, ref wanted, .. }: &Chosen<'_>) -> Result<Self, StoreError> {
        if matches!(wanted, Wanted::All) {
            return Ok(Self { events: day.len(), ids: None });
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
        let ids = |used: Vec<bool>| (0..).zip(used).filter(|(_, used)| *used).map(|(id, _)| id).collect();
        Ok(Self { events, ids: Some([sessions, items, users].map(ids)) })
    }
}

/// Maps ids of a day to ids of the window.
#[derive(Debug)]
pub(super) enum IdMap {
    Same,
    /// Indexed by old id. Entries of ids that no wanted row uses are meaningless.
    Other(Vec<u32>),
}

impl IdMap {
    pub(super) fn map(&self, id: u32) -> u32 {
        match self {
            Self::Same => id,
            Self::Other(ids) => ids[id as usize],
        }
    }
}

/// Merges the used strings of all parts into one dictionary. Returns it with the id map of each part.
fn merged_dictionary(parts: &[(&Arc<Dictionary>, Option<&[u32]>)]) -> (Arc<Dictionary>, Vec<IdMap>) {
    if let [(dictionary, None)] = parts {
        return (Arc::clone(dictionary), vec![IdMap::Same]);
    }
    let selected: Vec<Arc<Dictionary>> = parts
        .iter()
        .map(|(all, used)| used.map_or_else(|| Arc::clone(all), |used| Arc::new(all.select(used))))
        .collect();
    let strings: Vec<&Strings> = selected.iter().map(|dictionary| dictionary.strings()).collect();
    let (dictionary, from_selected) = union(&strings);
    let maps = parts.iter().zip(from_selected).map(|((all, used), ids)| {
        let Some(used) = used else { return IdMap::Other(ids) };
        let mut from_all = vec![0; all.len()];
        for (old, new) in used.iter().zip(ids) {
            from_all[*old as usize] = new;
        }
        IdMap::Other(from_all)
    });
    (Arc::new(dictionary), maps.collect())
}
