//! Errors of the jobs themselves, and the exit code of any error: it tells the orchestrator whether to try again.
//!
//! The errors of the libraries pass through as they are. Each says its class; one place walks the chain of causes to the first
//! error whose class is known.

use std::error::Error;
use std::{fmt, io};

use recsys_core::artifact::Kind;
use recsys_core::canonical::CanonicalError;
use recsys_core::columnar::spill::BudgetExceeded;
use recsys_core::database::{CatalogWriteError, DatabaseError};
use recsys_core::domain::class::Class;
use recsys_core::domain::limit::LimitExceeded;
use recsys_core::domain::weights::TooHeavy;
use recsys_core::domain::window::{Day, DayError, Window, ranges};
use recsys_core::gate::Refused;
use recsys_core::input::catalog::CatalogError;
use recsys_core::input::lines::LinesError;
use recsys_core::input::quarantine::{Stopped, TooManyInvalid};
use recsys_core::input::raw::{self, RawError};
use recsys_core::publish::{
    BlobError, ClaimsError, GarbageError, Held, LookupError, PublishError, RegistryError, RollbackError,
    Unfit,
};
use recsys_core::staging::StagingError;
use recsys_core::storage::{self, RootError};
use recsys_core::table::events::TableError;
use recsys_core::threads::interrupt::{self, Interrupted};

use crate::config::ConfigError;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// Flags that make no sense together, or that name what is not there.
    #[error("{0}")]
    Usage(String),
    /// The same of a day without one event, where the raw events are of others.
    #[error("{refused}; the raw events have none of that tenant and surface{others}")]
    NotMet { refused: Refused, others: KnownScopes },
    /// The weights of a window's events add up to more than can be counted.
    #[error("window {window}")]
    Heavy { window: Window, source: TooHeavy },
    /// Standard output cannot be written, or the like.
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
    #[error(
        "{0} has not ended in UTC: what comes later would be missing; begin when it is over, or give --allow-open-day for a try"
    )]
    OpenDay(Day),
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
        window: Window,
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
    BuiltBefore { kind: Kind, window: Window, days: Vec<Day> },
    #[error("nothing is staged in {0}; run the builder jobs first")]
    NothingStaged(String),
    #[error("staged artifact {name} cannot be published: {problem}; build it again")]
    Unfit { name: String, problem: Unfit },
    /// The checkpoint knows of a publish, and the registry does not.
    #[error(
        "{checkpoint} says that {day} was published, and {manifest} does not exist: is registry_dir the one it was \
         published to? If so, name the days with --start; else correct registry_dir, or remove the checkpoint"
    )]
    NotPublished { checkpoint: String, day: Day, manifest: String },
    /// What is there is not good enough: stale, damaged or wrong.
    #[error("{0}")]
    Refused(String),
}

/// Tenants and surfaces that there are, for whoever has asked for another one.
#[derive(Debug, Default)]
pub(crate) struct KnownScopes(pub(crate) Vec<String>);

impl KnownScopes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names that a message lists.
const MOST_NAMES: usize = 10;

impl fmt::Display for KnownScopes {
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

impl JobError {
    /// What can be done about it.
    fn class(&self) -> Class {
        match self {
            Self::NothingStaged(_) | Self::Io(..) => Class::Transient,
            Self::Usage(_) | Self::NotIngested(_) => Class::Usage,
            Self::OpenDay(_)
            | Self::FutureDay(_)
            | Self::RefusedDays { .. }
            | Self::NotTaken(_)
            | Self::BuiltBefore { .. }
            | Self::NotMet { .. }
            | Self::NotPublished { .. }
            | Self::Refused(_) => Class::Refused,
            Self::Unfit { problem, .. } => problem.class(),
            Self::Heavy { .. } => Class::Limit,
        }
    }
}

/// What an orchestrator should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: runtime failure; trying again is safe and may help.
    Failure = 1,
    /// 2: usage or configuration; somebody must change the call.
    Usage = 2,
    /// 3: the data was refused; somebody must look at it.
    Refused = 3,
    /// 4: a limit was exceeded; somebody must raise it or find out why.
    Limit = 4,
}

/// The exit code of a failure: the outermost error of the chain whose class is known decides.
pub(crate) fn exit(error: &anyhow::Error) -> Exit {
    if is_interruption(error) {
        return Exit::Failure;
    }
    match error.chain().find_map(class_of) {
        None | Some(Class::Transient) => Exit::Failure,
        Some(Class::Usage) => Exit::Usage,
        Some(Class::Refused) => Exit::Refused,
        Some(Class::Limit) => Exit::Limit,
    }
}

/// Whether the process stopped because it was asked to.
pub(crate) fn is_interruption(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Interrupted>() || interrupt::is_cause(cause))
}

/// Hands the errors whose class is known to a macro: those that may have none of their own first.
macro_rules! each_error {
    ($with:ident) => {
        $with! {
            [CanonicalError, CatalogError, CatalogWriteError, GarbageError, BlobError, ClaimsError,
             LinesError, PublishError, RawError, RegistryError, RollbackError, StagingError, TableError]
            [BudgetExceeded, ConfigError, DatabaseError, DayError, Held, JobError, LimitExceeded, LookupError, Refused, RootError,
             Stopped, TooHeavy, TooManyInvalid, Unfit]
        }
    };
}

macro_rules! class_of {
    ([$($open:ident),*] [$($closed:ident),*]) => {
        /// The class of an error, if it is known.
        fn class_of(error: &(dyn Error + 'static)) -> Option<Class> {
            $(if let Some(error) = error.downcast_ref::<$open>() {
                return error.class();
            })*
            $(if let Some(error) = error.downcast_ref::<$closed>() {
                return Some(error.class());
            })*
            let error = error.downcast_ref::<io::Error>()?;
            storage::class_of(error).or_else(|| raw::class_of(error))
        }
    };
}

each_error!(class_of);

/// An error and its causes on one line.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use recsys_core::domain::id::{Scope, Surface, Tenant};
    use recsys_core::storage::StoreError;

    use super::*;

    macro_rules! names {
        ([$($open:ident),*] [$($closed:ident),*]) => {
            /// The errors whose class is known.
            const KNOWN: &[&str] = &[$(stringify!($open),)* $(stringify!($closed),)*];
        };
    }

    each_error!(names);

    /// Errors that never end a job by themselves: another error holds them, they lie in an I/O error, or they are of flags.
    const PARTS: &[&str] = &[
        "CorruptFile",
        "DocumentError",
        "Defect",
        "IdError",
        "IdentifierError",
        "InitError",
        "Interrupted",
        "DsnError",
        "ExceededBound",
        "LineError",
        "NoFraction",
        "NoShare",
        "NotADocument",
        "NotStarted",
        "PostgresError",
        "StoreError",
        "UnknownKind",
        "WindowTooLarge",
    ];

    /// The public error types of a crate, by the lines that derive them.
    fn errors(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                errors(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for derived in text.split("thiserror::Error").skip(1) {
                let of = derived.lines().find(|line| line.contains("struct ") || line.contains("enum "));
                if let Some(name) = of.filter(|of| of.starts_with("pub ")).and_then(|of| of.split(' ').nth(2))
                {
                    let end = name.find(|it: char| !it.is_alphanumeric()).unwrap_or(name.len());
                    found.insert(name[..end].to_owned());
                }
            }
        }
    }

    #[test]
    fn every_error_has_a_class_or_is_part_of_one_that_has() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = BTreeSet::new();
        for own in ["recsys-core", "recsys-job", "recsys-postgres"] {
            errors(&crates.join(own).join("src"), &mut found);
        }
        // It is not public.
        found.insert("JobError".to_owned());
        let known: BTreeSet<String> = KNOWN.iter().chain(PARTS).map(|name| (*name).to_owned()).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn the_outermost_error_that_has_a_class_decides_and_else_the_cause() {
        let store = |source| StoreError { action: "read", target: "x".to_owned(), source };
        let lost = || store(io::Error::other("gone"));
        let scope =
            || Box::new(Scope { tenant: Tenant::new("a").unwrap(), surface: Surface::new("b").unwrap() });
        let limit = || LimitExceeded { limit: "x", value: 2, max: 1, place: String::new(), alternative: "" };
        let interrupted = || StoreError::from(Interrupted);
        let cases: Vec<(anyhow::Error, Exit)> = vec![
            (lost().into(), Exit::Failure),
            (RegistryError::Store(lost()).into(), Exit::Failure),
            (RegistryError::Contended("x".into()).into(), Exit::Failure),
            (RegistryError::Broken("x".into()).into(), Exit::Usage),
            (RegistryError::Lost { name: "x".into(), scope: scope() }.into(), Exit::Refused),
            (RegistryError::Unknown { name: "x".into(), source: lost() }.into(), Exit::Failure),
            // The same command again would go back one step more.
            (
                RollbackError::Registry(RegistryError::Unknown { name: "x".into(), source: lost() }).into(),
                Exit::Refused,
            ),
            (RollbackError::NoManifest("x".into()).into(), Exit::Usage),
            (PublishError::Vanished("x".into()).into(), Exit::Failure),
            (GarbageError::NoManifest("x".into()).into(), Exit::Usage),
            (ClaimsError::Contended("x".into()).into(), Exit::Failure),
            (BlobError::Elsewhere { uri: "x".into(), root: "y".into() }.into(), Exit::Usage),
            (StagingError::Pointer("x".into()).into(), Exit::Refused),
            (StagingError::Limit(limit()).into(), Exit::Limit),
            (CatalogError::Missing("x".into()).into(), Exit::Usage),
            (CatalogError::NothingLeft { name: "x".into(), namespace: "y".into() }.into(), Exit::Refused),
            (TableError::Limit(limit()).into(), Exit::Limit),
            (TableError::Store(lost()).into(), Exit::Failure),
            (limit().into(), Exit::Limit),
            (RawError::MissingRoot("x".into()).into(), Exit::Usage),
            (RootError::NoBucket("x".into()).into(), Exit::Usage),
            (RootError::Runtime(io::Error::other("no threads")).into(), Exit::Failure),
            (ConfigError::DsnMissing.into(), Exit::Usage),
            (JobError::Refused("x".into()).into(), Exit::Refused),
            (JobError::Usage("x".into()).into(), Exit::Usage),
            (JobError::NothingStaged("x".into()).into(), Exit::Failure),
            // What a process leaves when it is told to stop is no refusal.
            (
                RollbackError::Registry(RegistryError::Unknown { name: "x".into(), source: interrupted() })
                    .into(),
                Exit::Failure,
            ),
            (anyhow::Error::from(limit()).context("while it was built"), Exit::Limit),
        ];
        for (error, expected) in cases {
            assert_eq!(exit(&error), expected, "{error:#}");
        }
    }

    #[test]
    fn each_cause_stands_in_the_line_once() {
        let source = io::Error::other("connection\nreset");
        let error = StoreError { action: "write", target: "x".to_owned(), source };
        let error = RegistryError::Unknown { name: "m".to_owned(), source: error };
        let line = "cannot tell whether m was changed; look at its `history` before anything is rolled back again: \
                    cannot write x: connection reset";
        assert_eq!(one_line(&error), line);
    }
}
