//! The events that a model is made from: what occurs together, and what each user has.
//!
//! Exposures and outcomes are in one table, with one numbering of items, users and sessions. Both are read from the days as
//! often as they are needed.

use super::events::{Chosen, EventTable, TableError, Wanted};
use super::window_days::WindowDays;
use crate::domain::limit::Limits;
use crate::domain::models::{EventType, ModelKind, ResolvedModel, Unit};
use crate::domain::weights::Weights;
use crate::input::event::OutcomeType;
use crate::storage::StoreError;

/// The events of a model.
#[derive(Debug)]
pub struct BasisTable {
    /// Counts what each user has: an event that is only there for what occurs together weighs 0.
    pub(crate) table: EventTable,
    unit: Unit,
    /// Of each part of the table: whether its events make units, and how many days before the last of the window it is.
    parts: Vec<(bool, u32)>,
    /// Whether the order of the table is that of time.
    is_in_order: bool,
    /// What outcomes without a session have as theirs.
    no_session: Option<u32>,
}

/// An event that makes a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitEvent<'a> {
    pub(crate) item: u32,
    /// `id + 1`, or 0 if unknown.
    pub(crate) user: u32,
    /// An outcome may have none.
    pub(crate) session: Option<u32>,
    pub(crate) request: Option<&'a str>,
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    /// Days before the last of the window.
    pub(crate) age_days: u32,
}

impl BasisTable {
    /// The events that `model` is made from. For `implicit`, what a user has is weighed by `weights`; for `session_seq` it
    /// is what makes the units.
    ///
    /// # Errors
    /// The events exceed one of `limits`, or a temporary file cannot be read.
    pub fn new(
        model: &ResolvedModel,
        kind: ModelKind,
        weights: Weights,
        days: &WindowDays<'_>,
        limits: &Limits,
    ) -> Result<Self, TableError> {
        let (mut chosen, mut parts) = (Vec::new(), Vec::new());
        let types = &model.basis.events;
        for event in [EventType::Exposure, EventType::Click, EventType::Conversion] {
            let is_together = types.contains(&event);
            let weight = match kind {
                ModelKind::Cooc => 0,
                ModelKind::SessionSeq => u64::from(is_together),
                ModelKind::Implicit => match event {
                    EventType::Exposure => weights.exposure,
                    EventType::Click => weights.click,
                    EventType::Conversion => weights.conversion,
                },
            };
            if !is_together && weight == 0 {
                continue;
            }
            let of_type = match event {
                EventType::Exposure => days.exposures,
                _ => days.outcomes,
            };
            for day in of_type {
                let wanted = match event {
                    EventType::Exposure => Wanted::new(day, days.segment),
                    EventType::Click => Wanted::of_type(day, OutcomeType::Click),
                    EventType::Conversion => Wanted::of_type(day, OutcomeType::Conversion),
                };
                chosen.push(Chosen { day, wanted, weight });
                parts.push((is_together, days.age(day)));
            }
        }
        let mut table = EventTable::of(chosen, true, limits)?;
        if kind == ModelKind::Implicit {
            table.cap = weights.cap_per_user_item;
        }
        let no_session = table.sessions.find("");
        Ok(Self { table, unit: model.basis.unit, parts, is_in_order: types.len() == 1, no_session })
    }

    /// What makes a unit.
    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    /// Whether [`for_each_of_units`](Self::for_each_of_units) passes the events in the order of time.
    pub(crate) fn is_in_order(&self) -> bool {
        self.is_in_order
    }

    /// Calls `take` with each event that makes a unit: by type, then in canonical order.
    pub(crate) fn for_each_of_units<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(UnitEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (part, (is_together, age_days)) in self.table.days.iter().zip(&self.parts) {
            if !*is_together {
                continue;
            }
            let start = part.rows.day.start_ns();
            part.rows.for_each_event(|event| {
                if !part.wanted.takes(event.segment) {
                    return Ok(());
                }
                let session = part.sessions.as_ref().map(|sessions| sessions.map(event.session));
                take(UnitEvent {
                    item: part.items.map(event.item),
                    user: event.user.checked_sub(1).map_or(0, |user| part.users.map(user) + 1),
                    session: session.filter(|session| Some(*session) != self.no_session),
                    request: event.request,
                    time: start + event.time,
                    age_days: *age_days,
                })
            })?;
        }
        Ok(())
    }
}
