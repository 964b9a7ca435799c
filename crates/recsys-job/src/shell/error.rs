//! Errors of the jobs themselves, and the exit code of any error: it tells the orchestrator whether to try again.
//!
//! The errors of the libraries pass through as they are. Each says its class; one place walks the chain of causes to the first
//! error whose class is known.

use std::error::Error;
use std::io;

use recsys_core::canonical::CanonicalError;
use recsys_core::columnar::spill::BudgetExceeded;
use recsys_core::database::{CatalogWriteError, DatabaseError};
use recsys_core::domain::class::Class;
use recsys_core::domain::limit::LimitExceeded;
use recsys_core::domain::models::ModelError;
use recsys_core::domain::weights::TooHeavy;
use recsys_core::domain::window::{DayError, Window};
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
    NotMet { refused: Refused, others: String },
    /// The weights of a window's events add up to more than can be counted.
    #[error("window {window}")]
    Heavy { window: Window, source: TooHeavy },
    /// Standard output cannot be written, or the like.
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
    #[error("nothing is staged in {0}; run the builder jobs first")]
    NothingStaged(String),
    #[error("staged artifact {name} cannot be published: {problem}; build it again")]
    Unfit { name: String, problem: Unfit },
    /// What is there is not good enough: stale, damaged, refused before or wrong.
    #[error("{0}")]
    Refused(String),
}

impl JobError {
    /// What can be done about it.
    fn class(&self) -> Class {
        match self {
            Self::NothingStaged(_) | Self::Io(..) => Class::Transient,
            Self::Usage(_) => Class::Usage,
            Self::NotMet { .. } | Self::Refused(_) => Class::Refused,
            Self::Unfit { problem, .. } => problem.class(),
            Self::Heavy { .. } => Class::Limit,
        }
    }
}

/// The class of a failure, which its exit code tells: the outermost error of the chain whose class is known decides.
pub(crate) fn class(error: &anyhow::Error) -> Class {
    let known = if is_interruption(error) { None } else { error.chain().find_map(class_of) };
    known.unwrap_or(Class::Transient)
}

/// The exit code of a failure of a class: the list is `EXIT_CODES`.
pub(crate) fn exit_code(class: Class) -> u8 {
    match class {
        Class::Transient => 1,
        Class::Usage => 2,
        Class::Refused => 3,
        Class::Limit => 4,
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
            [BudgetExceeded, ConfigError, DatabaseError, DayError, Held, JobError, LimitExceeded, LookupError, ModelError, Refused,
             RootError, Stopped, TooHeavy, TooManyInvalid, Unfit]
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
        "BucketError",
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
        "ModelProblem",
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
        let limit =
            || LimitExceeded { limit: "x", value: 2, max: 1, place: String::new(), alternative: "".into() };
        let interrupted = || StoreError::from(Interrupted);
        let cases: Vec<(anyhow::Error, Class)> = vec![
            (lost().into(), Class::Transient),
            (RegistryError::Store(lost()).into(), Class::Transient),
            (RegistryError::Contended("x".into()).into(), Class::Transient),
            (RegistryError::Broken("x".into()).into(), Class::Usage),
            (RegistryError::Lost { name: "x".into(), scope: scope() }.into(), Class::Refused),
            (RegistryError::Unknown { name: "x".into(), source: lost() }.into(), Class::Transient),
            // The same command again would go back one step more.
            (
                RollbackError::Registry(RegistryError::Unknown { name: "x".into(), source: lost() }).into(),
                Class::Refused,
            ),
            (RollbackError::NoManifest("x".into()).into(), Class::Usage),
            (PublishError::Vanished("x".into()).into(), Class::Transient),
            (GarbageError::NoManifest("x".into()).into(), Class::Usage),
            (ClaimsError::Contended("x".into()).into(), Class::Transient),
            (BlobError::Elsewhere { uri: "x".into(), root: "y".into() }.into(), Class::Usage),
            (StagingError::Pointer("x".into()).into(), Class::Refused),
            (StagingError::Limit(limit()).into(), Class::Limit),
            (CatalogError::Missing("x".into()).into(), Class::Usage),
            (CatalogError::NothingLeft { name: "x".into(), namespace: "y".into() }.into(), Class::Refused),
            (TableError::Limit(limit()).into(), Class::Limit),
            (TableError::Store(lost()).into(), Class::Transient),
            (limit().into(), Class::Limit),
            (RawError::MissingRoot("x".into()).into(), Class::Usage),
            (RootError::NoBucket("x".into()).into(), Class::Usage),
            (RootError::Runtime(io::Error::other("no threads")).into(), Class::Transient),
            (ConfigError::DsnMissing.into(), Class::Usage),
            (JobError::Refused("x".into()).into(), Class::Refused),
            (JobError::Usage("x".into()).into(), Class::Usage),
            (JobError::NothingStaged("x".into()).into(), Class::Transient),
            // What a process leaves when it is told to stop is no refusal.
            (
                RollbackError::Registry(RegistryError::Unknown { name: "x".into(), source: interrupted() })
                    .into(),
                Class::Transient,
            ),
            (anyhow::Error::from(limit()).context("while it was built"), Class::Limit),
        ];
        for (error, expected) in cases {
            assert_eq!(class(&error), expected, "{error:#}");
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
