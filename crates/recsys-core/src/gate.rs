//! Gates: what a day must look like before anything is built from it.

use serde::{Deserialize, Serialize};

use crate::window::Day;

/// What a day must look like. Each field is the setting of the same name under `validation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// The least number of events a day may have. An empty day is suspicious; 0 allows it.
    pub min_events: u64,
}

impl Default for Validation {
    fn default() -> Self {
        Self { min_events: 1 }
    }
}

/// A gate that refused a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The day has too few events.
    #[error(
        "gate min_events refused {day}: {events} events, at least {min_events} expected{found}; \
         if the day is right, lower validation.min_events"
    )]
    MinEvents {
        /// The day.
        day: Day,
        /// The events it has.
        events: u64,
        /// The events it should have at least.
        min_events: u64,
        /// What was found in its place, as ` (…)`, or empty.
        found: String,
    },
    /// There are no raw events any more, but there were when the day was ingested before.
    #[error(
        "gate min_events refused {day}: there are no raw events, and {canonical} would be erased; \
         if that is right, set validation.min_events to 0"
    )]
    Erasure {
        /// The day.
        day: Day,
        /// The canonical file.
        canonical: String,
    },
}

impl Validation {
    /// Judges a day by its canonical events. `found` says what else there was, when that is known.
    pub fn check(&self, day: Day, events: usize, found: Option<String>) -> Result<(), Refused> {
        let (events, min_events) = (events as u64, self.min_events);
        if events < min_events {
            let found = found.map(|found| format!(" ({found})")).unwrap_or_default();
            return Err(Refused::MinEvents { day, events, min_events, found });
        }
        Ok(())
    }
}
