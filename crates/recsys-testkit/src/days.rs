//! The days of a test.

use recsys_core::canonical::{DayRows, EventReader, ReadCounts};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::input::lines::{LineFile, LinesError};

/// Reads the exposures of the days `first` to `last` with the default rules.
pub fn read_days(
    files: Vec<LineFile>,
    scope: &Scope,
    first: Day,
    last: Day,
    budget: &Budget,
) -> Result<(Vec<DayRows>, ReadCounts), LinesError> {
    EventReader::new(scope, budget).days(files, first, last)
}
