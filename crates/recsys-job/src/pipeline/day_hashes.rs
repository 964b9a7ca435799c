//! Which data of a day was judged: exposures, and the outcomes that count with them.

use recsys_core::canonical::{Canonical, PendingDay};
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::Day;
use recsys_core::encoding::hash::sha256;

use crate::pipeline::context::Context;

/// The SHA-256 of the canonical files of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DayHashes {
    /// Of no bytes where there are no exposures.
    pub(crate) exposures: String,
    /// None where there are no outcomes, and where they do not come with the exposures.
    pub(crate) outcomes: Option<String>,
}

impl DayHashes {
    /// Those of files that are not in place yet.
    pub(crate) fn pending(exposures: &PendingDay<'_>, outcomes: Option<&PendingDay<'_>>) -> Self {
        let outcomes = outcomes.map(|outcomes| outcomes.hash().to_owned());
        Self {
            exposures: exposures.hash().to_owned(),
            outcomes: outcomes.filter(|hash| *hash != sha256(b"")),
        }
    }

    /// Those of a day's files in `canonical`; none where it has no exposures.
    pub(crate) fn of(ctx: &Context, canonical: Canonical<'_>, day: Day) -> anyhow::Result<Option<Self>> {
        canonical.hash(day)?.map(|exposures| Self::with(ctx, canonical, day, exposures)).transpose()
    }

    /// The same where the hash of the exposures is known.
    pub(crate) fn with(
        ctx: &Context,
        canonical: Canonical<'_>,
        day: Day,
        exposures: String,
    ) -> anyhow::Result<Self> {
        let outcomes = if ctx.delivers_outcomes() { canonical.of(Stream::Outcomes).hash(day)? } else { None };
        Ok(Self { exposures, outcomes })
    }
}
