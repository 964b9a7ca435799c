//! Every way a job can fail, and the exit code that tells the orchestrator whether to try again.

use std::fmt;

use recsys_core::artifact::Kind;
use recsys_core::canonical::CanonicalError;
use recsys_core::columnar::spill::BudgetExceeded;
use recsys_core::counts::CountError;
use recsys_core::database::{CatalogWriteError, Class, DatabaseError};
use recsys_core::domain::limit::LimitExceeded;
use recsys_core::domain::weights::TooHeavy;
use recsys_core::domain::window::{Day, DayError, Window, ranges};
use recsys_core::encoding::json::error_in_words;
use recsys_core::gate::Refused;
use recsys_core::input::catalog::CatalogError;
use recsys_core::input::lines::LinesError;
use recsys_core::input::quarantine::{Stopped, TooManyInvalid};
use recsys_core::input::raw::{Broken, RawError, WindowTooLarge};
use recsys_core::publish::{
    BlobError, ClaimsError, GarbageError, Held, LookupError, PublishError, RegistryError, RollbackError,
    Unfit,
};
use recsys_core::staging::StagingError;
use recsys_core::storage::{RootError, StoreError, is_defect, is_refusal};
use recsys_core::threads::interrupt::{self, Interrupted};
use recsys_core::threads::parallel::NotStarted;

use crate::config::ConfigError;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Flags that make no sense together.
    #[error("{0}")]
    Usage(String),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A day outside the calendar.
    #[error(transparent)]
    Day(#[from] DayError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A place that cannot be used.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Raw events could not be opened.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// Raw events could not be read.
    #[error("{error}{advice}", error = .0, advice = advice(.0))]
    Lines(#[from] LinesError),
    /// Canonical data could not be read.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The catalogue could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A gate refused a day.
    #[error(transparent)]
    Gate(#[from] Refused),
    /// The same of a day without one event, where the raw events are of others.
    #[error("{refused}; the raw events have none of that tenant and surface{others}")]
    NotMet {
        /// What the gate says.
        refused: Refused,
        /// Whose they are.
        others: Known,
    },
    /// Too many raw lines are bad.
    #[error(transparent)]
    Invalid(#[from] TooManyInvalid),
    /// So many raw lines are bad that reading was stopped.
    #[error(transparent)]
    Stopped(Box<Stopped>),
    /// A limit was exceeded.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// What must be in memory as a whole does not fit.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
    /// The weights of a window's events add up to more than can be counted.
    #[error("window {window}: {source}")]
    Heavy {
        /// The window.
        window: Window,
        /// What they add up to.
        source: TooHeavy,
    },
    /// Staged artifacts could not be read or written.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
    /// A day was ingested again while a window that holds it was built.
    #[error("the canonical data of {0} changed while it was built from; run the job again")]
    Changed(Day),
    /// A day that was asked for has not ended.
    #[error(
        "{0} has not ended in UTC: what comes later would be missing; begin when it is over, or give --allow-open-day for a try"
    )]
    OpenDay(Day),
    /// A day was asked for that has not even begun.
    #[error("{0} has not begun in UTC; there is nothing of it to work on")]
    FutureDay(Day),
    /// A day is to be accepted of which there is no data that a gate has judged.
    #[error(
        "there is nothing of {0} to accept: it was not ingested; ingest it first, or correct --start and --end"
    )]
    NotIngested(Day),
    /// The raw data of a day was refused as it was read.
    #[error(
        "{0} is marked as refused: its raw data could not be taken (`job_ingest` says why), so there is nothing to judge or \
         to accept; put the data right, or raise the setting that refused it, and ingest the day again"
    )]
    NotTaken(Day),
    /// A window holds days that a gate has refused.
    #[error(
        "window {window} holds {}, which a gate has refused: put the data right and ingest it again, accept it by `job_validate \
         --accept REASON`, or {}",
        ranges(.days),
        if *.excluding {
            "name later days with --start: no window is built without its newest day"
        } else {
            "set validation.on_refused_day to exclude"
        }
    )]
    RefusedDays {
        /// The window.
        window: Window,
        /// The days.
        days: Vec<Day>,
        /// Whether windows are built without refused days where they can be.
        excluding: bool,
    },
    /// What is staged was built from data that a gate has refused since.
    #[error(
        "{kind} of the window {window} was built before a gate refused {}; build it again: it is then built without what was \
         refused",
        ranges(.days)
    )]
    BuiltBefore {
        /// The kind.
        kind: Kind,
        /// The window.
        window: Window,
        /// The days.
        days: Vec<Day>,
    },
    /// Nothing is staged where something should be.
    #[error("nothing is staged in {0}; run the builder jobs first")]
    NothingStaged(String),
    /// A staged artifact is not fit to be published.
    #[error("staged artifact {name} cannot be published: {source}; build it again")]
    Unfit {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: Unfit,
    },
    /// Publishing failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is nothing where the registry should be.
    #[error("registry {0} does not exist or is empty; set registry_dir or out_dir")]
    NoRegistry(String),
    /// A filter that lets nothing through.
    #[error("no manifest in registry {registry} is of that tenant or surface{known}")]
    NothingMatches {
        /// The registry.
        registry: String,
        /// What there is.
        known: Known,
    },
    /// There is nothing to show.
    #[error("{name} does not exist; nothing was published there{known}")]
    NoHistory {
        /// The manifest.
        name: String,
        /// What there is.
        known: Known,
    },
    /// The artifact has no such item or user.
    #[error("{0}")]
    NotListed(String),
    /// An operator holds what would have been published.
    #[error(transparent)]
    Held(#[from] Held),
    /// The checkpoint knows of a publish, and the registry does not.
    #[error(
        "{checkpoint} says that {day} was published, and {manifest} does not exist: is registry_dir the one it was \
         published to? If so, name the days with --start; else correct registry_dir, or remove the checkpoint"
    )]
    NotPublished {
        /// The checkpoint.
        checkpoint: String,
        /// Its day.
        day: Day,
        /// The manifest.
        manifest: String,
    },
    /// The hash does not name one manifest of the history.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The chain of the history ends before the manifest that is asked for.
    #[error("the manifest before {0:.12} is not in the history any more; name another one with --from")]
    Gap(String),
    /// Neither of two manifests names a kind.
    #[error("neither manifest names {0}; nothing to compare")]
    NoKind(Kind),
    /// A blob is not what its URI says.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Nothing was rolled back.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// Garbage could not be told or removed.
    #[error(transparent)]
    Garbage(#[from] GarbageError),
    /// Something is older than it may be, or missing.
    #[error("{0}")]
    Stale(String),
    /// A published blob is missing or damaged.
    #[error("{0}")]
    Damaged(String),
    /// The process was asked to stop, at a place where it can.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Signals cannot be watched.
    #[error("cannot watch for signals")]
    Signals(#[source] std::io::Error),
    /// The checkpoint is of a day that has not come.
    #[error(
        "checkpoint {name} says that {day} was published, which lies in the future: it is {today} here; correct the \
         clock, or write the last day published into it, as {{\"day\":\"{today}\"}}"
    )]
    FutureCheckpoint {
        /// The file.
        name: String,
        /// Its day.
        day: Day,
        /// The day here.
        today: Day,
    },
    /// The checkpoint cannot be read.
    #[error(
        "checkpoint {name} is not a checkpoint: {}; write the last day published into it, as {{\"day\":\"2026-01-31\"}}, \
         or remove it and say with --start where to begin",
        error_in_words(source)
    )]
    Checkpoint {
        /// The file.
        name: String,
        /// Where it departs from its schema.
        source: serde_json::Error,
    },
}

/// Tenants and surfaces that there are, for whoever has asked for another one.
#[derive(Debug, Default)]
pub struct Known(pub Vec<String>);

impl Known {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names that a message lists.
const MOST_NAMES: usize = 10;

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let shown = self.0.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        write!(f, "; there is {shown}")?;
        match self.0.len().saturating_sub(MOST_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl From<NotStarted> for JobError {
    fn from(error: NotStarted) -> Self {
        StoreError::from(error).into()
    }
}

impl From<CountError> for JobError {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Limit(exceeded) => Self::Limit(exceeded),
            CountError::Temporary(error) => Self::Store(error),
        }
    }
}

/// What to do about raw events that could not be read.
fn advice(error: &LinesError) -> &'static str {
    match error {
        LinesError::Line { fault, .. } if fault.is_of_file => "",
        LinesError::Line { .. } => "; correct the line or take it out",
        _ => "",
    }
}

/// What an orchestrator should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 1: runtime failure; trying again is safe and may help.
    Failure = 1,
    /// 2: usage or configuration; somebody must change the call.
    Usage = 2,
    /// 3: the data was refused; somebody must look at it.
    Refused = 3,
    /// 4: a limit was exceeded; somebody must raise it or find out why.
    Limit = 4,
}

impl JobError {
    /// Whether the process stopped because it was asked to.
    pub(crate) fn is_interruption(&self) -> bool {
        // A transparent error is not among its own causes.
        matches!(self, Self::Interrupted(_)) || interrupt::is_cause(self)
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> Exit {
        if self.is_interruption() {
            return Exit::Failure;
        }
        match self {
            Self::Root(RootError::Runtime(_))
            | Self::Config(ConfigError::Root { source: RootError::Runtime(_), .. })
            | Self::NothingStaged(_)
            | Self::Output(_)
            | Self::Interrupted(_)
            | Self::Signals(_)
            | Self::Changed(_) => Exit::Failure,
            Self::Usage(_) | Self::Config(_) | Self::Day(_) | Self::Raw(RawError::MissingRoot(_)) => {
                Exit::Usage
            }
            Self::Store(error) | Self::Raw(RawError::Store(error)) => store(error),
            Self::Lines(error) => lines(error),
            Self::Canonical(error) => match error {
                CanonicalError::Store(error) => store(error),
                CanonicalError::Lines(error) => lines(error),
                CanonicalError::Strangers { .. } | CanonicalError::NoOwner { .. } => Exit::Refused,
                CanonicalError::Owner { .. } => Exit::Usage,
            },
            Self::Catalog(error) => catalog(error),
            Self::Database(error) => match error.class {
                Class::Refusal => Exit::Usage,
                Class::Transient => Exit::Failure,
                Class::Data => Exit::Refused,
            },
            Self::Raw(RawError::Copies { .. })
            | Self::Gate(_)
            | Self::OpenDay(_)
            | Self::FutureDay(_)
            | Self::RefusedDays { .. }
            | Self::NotTaken(_)
            | Self::BuiltBefore { .. }
            | Self::NotMet { .. }
            | Self::Invalid(_)
            | Self::Stopped(_)
            | Self::Checkpoint { .. }
            | Self::FutureCheckpoint { .. }
            | Self::NotPublished { .. }
            | Self::Held(_)
            | Self::Stale(_)
            | Self::Damaged(_) => Exit::Refused,
            Self::Registry(error) => registry(error),
            Self::Root(_)
            | Self::NoRegistry(_)
            | Self::NoHistory { .. }
            | Self::NothingMatches { .. }
            | Self::NotListed(_)
            | Self::Lookup(_)
            | Self::Gap(_)
            | Self::NoKind(_)
            | Self::NotIngested(_) => Exit::Usage,
            Self::Blob(error) => blob(error),
            Self::Garbage(error) => match error {
                GarbageError::Registry(error) => registry(error),
                GarbageError::Claims(error) => claims(error),
                GarbageError::Store(error) => store(error),
                GarbageError::NoManifest(_) | GarbageError::OtherStore { .. } => Exit::Usage,
                GarbageError::Gap { .. } | GarbageError::Unrecorded { .. } => Exit::Refused,
            },
            Self::Rollback(error) => match error {
                // Done or not: the same command again would go back one step more.
                RollbackError::Registry(RegistryError::Unknown { .. }) => Exit::Refused,
                RollbackError::Registry(error) => registry(error),
                RollbackError::Blob(error) => blob(error),
                RollbackError::Overtaken(_) | RollbackError::Vanished(_) => Exit::Failure,
                RollbackError::NoManifest(_)
                | RollbackError::TooFar { .. }
                | RollbackError::Lookup(_)
                | RollbackError::NoKind { .. } => Exit::Usage,
            },
            Self::Limit(_) | Self::Memory(_) | Self::Heavy { .. } => Exit::Limit,
            Self::Staging(error) => match error {
                StagingError::Store(error) => store(error),
                StagingError::Pointer(_) | StagingError::Dangling { .. } => Exit::Refused,
                StagingError::Limit(_) => Exit::Limit,
            },
            Self::Unfit { source, .. } => unfit(source),
            Self::Publish(error) => match error {
                PublishError::Store(error) => store(error),
                PublishError::Vanished(_) => Exit::Failure,
                PublishError::Blob { source, .. } => unfit(source),
                PublishError::Registry(error) => registry(error),
                PublishError::Empty { .. }
                | PublishError::EmptyFirst { .. }
                | PublishError::Changed { .. }
                | PublishError::TopChanged { .. } => Exit::Refused,
                PublishError::UnknownCurrent { .. }
                | PublishError::Incomparable { .. }
                | PublishError::SegmentSwitch { .. } => Exit::Usage,
            },
        }
    }
}

impl From<CatalogWriteError> for JobError {
    fn from(error: CatalogWriteError) -> Self {
        match error {
            CatalogWriteError::Catalog(error) => Self::Catalog(error),
            CatalogWriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Credentials, policies and names of buckets do not heal by trying again, and what was put in the place of a document
/// does not go away; networks and disks may heal.
fn store(error: &StoreError) -> Exit {
    read(&error.source)
}

fn catalog(error: &CatalogError) -> Exit {
    match error {
        CatalogError::Store(error) => store(error),
        CatalogError::Missing(_) | CatalogError::Format(_) => Exit::Usage,
        CatalogError::NoItemColumn { .. }
        | CatalogError::NoTags { .. }
        | CatalogError::Row { .. }
        | CatalogError::Duplicate { .. }
        | CatalogError::NothingLeft { .. } => Exit::Refused,
        CatalogError::Limit(_) | CatalogError::Memory(_) => Exit::Limit,
    }
}

fn read(error: &std::io::Error) -> Exit {
    if is_refusal(error) {
        Exit::Usage
    } else if is_defect(error) || Broken::is_cause(error) {
        Exit::Refused
    } else if let Some(window) = WindowTooLarge::of(error) {
        if window.is_final() { Exit::Refused } else { Exit::Limit }
    } else {
        Exit::Failure
    }
}

fn lines(error: &LinesError) -> Exit {
    match error {
        LinesError::Read { source, .. } => read(source),
        LinesError::Temporary(error) => store(error),
        LinesError::Line { .. } | LinesError::Hopeless { .. } => Exit::Refused,
        LinesError::Memory(_) => Exit::Limit,
    }
}

fn blob(error: &BlobError) -> Exit {
    match error {
        BlobError::Store(error) => store(error),
        BlobError::Elsewhere { .. } => Exit::Usage,
        BlobError::Missing { .. } | BlobError::Damaged { .. } | BlobError::Other { .. } => Exit::Refused,
    }
}

fn claims(error: &ClaimsError) -> Exit {
    match error {
        ClaimsError::Store(error) => store(error),
        ClaimsError::Leased { .. }
        | ClaimsError::Claimed { .. }
        | ClaimsError::Replaced(_)
        | ClaimsError::Contended(_) => Exit::Failure,
        ClaimsError::Document { .. } | ClaimsError::ManyClaims { .. } => Exit::Refused,
    }
}

fn registry(error: &RegistryError) -> Exit {
    match error {
        RegistryError::Store(error) => store(error),
        RegistryError::Claims(error) => claims(error),
        RegistryError::Unknown { .. }
        | RegistryError::Unsettled(_)
        | RegistryError::Dropped(_)
        | RegistryError::Contended(_) => Exit::Failure,
        RegistryError::Unconditional(_) | RegistryError::Broken(_) => Exit::Usage,
        RegistryError::Document { .. }
        | RegistryError::Stranger { .. }
        | RegistryError::OtherRecord(_)
        | RegistryError::ChangedEntry(_)
        | RegistryError::Future { .. }
        | RegistryError::Lost { .. }
        | RegistryError::Begun { .. } => Exit::Refused,
    }
}

fn unfit(error: &Unfit) -> Exit {
    match error {
        Unfit::Limit(_) => Exit::Limit,
        Unfit::Document(_) | Unfit::Name { .. } | Unfit::Key { .. } | Unfit::Content(_) => Exit::Refused,
    }
}

/// An error and its causes on one line.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some messages already speak of their cause.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace(['\n', '\r'], " ")
}
