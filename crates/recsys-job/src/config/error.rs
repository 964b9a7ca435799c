//! Errors of the configuration.

use std::io;
use std::path::PathBuf;

use recsys_core::database::DatabaseError;
use recsys_core::domain::class::Class;
use recsys_core::storage::RootError;

/// Prefix of the environment variables that override the file.
pub(super) const ENV_PREFIX: &str = "RECSYS_PIPELINES__";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file {}", path.display())]
    Read {
        /// Path of the config file.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The file's extension names no known format.
    #[error("cannot tell the format of config file {}; name it .json, .yaml, .yml or .toml", .0.display())]
    Format(PathBuf),
    /// A key is unknown, or a value has the wrong type or form.
    #[error("{origin}: {problem}")]
    Invalid {
        /// The file, environment variable or setting at fault.
        origin: String,
        /// Problem with the key or value.
        problem: String,
    },
    /// A value is out of range, empty or missing.
    #[error("setting {key} {problem}")]
    Value {
        /// Name of the setting.
        key: &'static str,
        /// Problem with the value, as the end of a sentence.
        problem: &'static str,
    },
    /// A folder or URL cannot be opened.
    #[error("setting {key}")]
    Root {
        /// Name of the setting.
        key: &'static str,
        /// Problem with the folder or URL.
        source: RootError,
    },
    /// A DSN cannot be parsed.
    #[error("setting {key}")]
    Dsn {
        /// Name of the setting.
        key: &'static str,
        /// Problem with the DSN.
        source: DatabaseError,
    },
    /// A DSN is set, and no driver is linked.
    #[error(
        "setting {0}: this program was built without the feature `postgres`, which a DSN needs; build it with `--features postgres`, or take the DSN out"
    )]
    NoDriver(&'static str),
    /// `db.dsn` is required and not set.
    #[error("setting db.dsn is missing; set it in the config file or as {ENV_PREFIX}DB__DSN")]
    DsnMissing,
    /// `raw_events_dir` is required and not set.
    #[error("setting raw_events_dir is missing; set it in the config file or as {ENV_PREFIX}RAW_EVENTS_DIR")]
    RawDirMissing,
    /// `catalog.path` is required and not set.
    #[error(
        "setting catalog.path is missing: there is no catalogue to read; set it, or name a file with --input where there is such a flag"
    )]
    CatalogMissing,
}

impl ConfigError {
    /// The value of the setting `key` has a wrong form.
    pub(super) fn setting(key: &str, problem: impl Into<String>) -> Self {
        Self::Invalid { origin: format!("setting {key}"), problem: problem.into() }
    }

    /// The environment variable `name` cannot be read as a setting.
    pub(super) fn variable(name: &str, problem: impl Into<String>) -> Self {
        Self::Invalid { origin: format!("environment variable {name}"), problem: problem.into() }
    }

    /// What can be done about it.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Root { source, .. } => source.class(),
            _ => Class::Usage,
        }
    }
}

/// Refuses the setting `key` if its value is wrong.
pub(super) fn refuse(is_wrong: bool, key: &'static str, problem: &'static str) -> Result<(), ConfigError> {
    if is_wrong { Err(ConfigError::Value { key, problem }) } else { Ok(()) }
}
