//! Decides when to stop reading because the day will be refused whatever follows.

use crate::domain::share::Share;

/// Limits on bad lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Maximum size of the quarantine file in bytes: `validation.max_quarantine_bytes`.
    pub max_bytes: u64,
    /// Maximum share of bad lines: `validation.max_invalid_ratio`.
    pub max_ratio: Share,
}

/// The limit that bad lines have exceeded.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ExceededBound {
    /// The bad lines take more bytes than allowed.
    #[error("the invalid lines take more than {max_bytes} bytes")]
    Bytes {
        /// The allowed bytes.
        max_bytes: u64,
    },
    /// So many lines are bad that the rest cannot bring the share down to the limit.
    #[error("{invalid} of {lines} lines are invalid, and the rest cannot bring that down to {max}")]
    Ratio {
        /// Number of bad lines so far.
        invalid: u64,
        /// Number of lines so far.
        lines: u64,
        /// The allowed share of bad lines.
        max: Share,
    },
}

impl ExceededBound {
    /// The name of the gate, which is also that of the setting.
    pub fn gate(self) -> &'static str {
        match self {
            Self::Bytes { .. } => "max_quarantine_bytes",
            Self::Ratio { .. } => "max_invalid_ratio",
        }
    }
}

/// Size of a chunk of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) bytes: u64,
    /// Number of lines that break no rule, without blank ones.
    pub(crate) good: u64,
}

/// How much of the files has been read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The length of all files together, if known.
    pub(super) total_bytes: Option<u64>,
    /// The total of all finished chunks.
    pub(super) seen: Seen,
}

impl Progress {
    pub(super) fn add(&mut self, seen: Seen) {
        self.seen.bytes += seen.bytes;
        self.seen.good += seen.good;
    }

    /// An upper bound for the final number of good lines. `None` if the length of a file is unknown or has changed
    /// since it was looked up.
    pub(super) fn most_good_lines(&self) -> Option<u64> {
        let rest = self.total_bytes?.checked_sub(self.seen.bytes)?;
        Some(self.seen.good + rest.div_ceil(LEAST_LINE.len() as u64))
    }
}

/// The shortest line that breaks no rule. Foreign events need tenant and surface, too, and neither may be empty.
const LEAST_LINE: &str = r#"{"tenant":"a","surface":"b"}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Scope, Surface, Tenant};
    use crate::input::event::{RawExposure, RawOutcome, Rules};

    #[test]
    fn a_line_that_is_no_longer_than_the_least_one_can_be_good() {
        let scope = Scope { tenant: Tenant::new("t").unwrap(), surface: Surface::new("s").unwrap() };
        assert_eq!(RawOutcome::parse(LEAST_LINE).unwrap().check(&Rules::new(&scope)), Ok(None));
        for byte in 0..LEAST_LINE.len() {
            let shorter = format!("{}{}", &LEAST_LINE[..byte], &LEAST_LINE[byte + 1..]);
            let is_good = |raw: RawOutcome<'_>| raw.check(&Rules::new(&scope)).is_ok();
            assert!(!RawOutcome::parse(&shorter).is_ok_and(is_good), "{shorter}");
            let is_good = |raw: RawExposure<'_>| raw.check(&Rules::new(&scope)).is_ok();
            assert!(!RawExposure::parse(&shorter).is_ok_and(is_good), "{shorter}");
        }
    }

    #[test]
    fn what_was_read_counts_as_it_is_and_the_rest_as_well_as_it_can() {
        let mut progress = Progress { total_bytes: Some(2800), ..Progress::default() };
        assert_eq!(progress.most_good_lines(), Some(100));
        progress.add(Seen { bytes: 1400, good: 3 });
        assert_eq!(progress.most_good_lines(), Some(53));
        progress.add(Seen { bytes: 1400, good: 7 });
        assert_eq!(progress.most_good_lines(), Some(10));
        // The file has grown in the meantime.
        progress.add(Seen { bytes: 1, good: 0 });
        assert_eq!(progress.most_good_lines(), None);
        assert_eq!(Progress::default().most_good_lines(), None);
    }
}
