//! Why there is no usable configuration.

use std::io;
use std::path::PathBuf;

use recsys_core::database::DatabaseError;
use recsys_core::storage::RootError;

/// The prefix of the environment variables that override the file.
pub(super) const ENV_PREFIX: &str = "RECSYS_PIPELINES__";

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file's extension says nothing.
    #[error("cannot tell the format of config file {}; name it .json, .yaml, .yml or .toml", .0.display())]
    Format(PathBuf),
    /// A key or value is wrong.
    #[error("{origin}: {problem}")]
    Invalid {
        /// The file, or the environment.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// A value that no job can work with.
    #[error("setting {key} {problem}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Settings of a bucket that cannot be used.
    #[error("setting {key}: {problem}")]
    S3 {
        /// The section.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A place that cannot be used.
    #[error("setting {key}: {source}")]
    Root {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        source: RootError,
    },
    /// A DSN that cannot be understood.
    #[error("setting {key}: {source}")]
    Dsn {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        source: DatabaseError,
    },
    /// Nobody said which database to write to.
    #[error("setting db.dsn is missing; set it in the config file or as {ENV_PREFIX}DB__DSN")]
    DsnMissing,
    /// Nobody said where raw events are.
    #[error("setting raw_events_dir is missing; set it in the config file or as {ENV_PREFIX}RAW_EVENTS_DIR")]
    RawDirMissing,
    /// Nobody said where the catalogue is.
    #[error(
        "setting catalog.path is missing: there is no catalogue to read; set it, or name a file with --input where there is such a flag"
    )]
    CatalogMissing,
}
