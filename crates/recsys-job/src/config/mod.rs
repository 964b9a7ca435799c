//! Configuration: a file, overridden by environment variables, overridden by flags.

mod load;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use recsys_core::artifact::Kind;
use recsys_core::catalog::CatalogFormat;
use recsys_core::gate::Validation;
use recsys_core::limit::Limits;
use serde::{Deserialize, Serialize};

pub use load::ConfigError;

/// Every setting. Paths are relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where folders that are not set go.
    pub out_dir: String,
    /// Where raw events are, unless `raw_source.dir` says otherwise.
    pub raw_events_dir: Option<String>,
    /// Where canonical data goes.
    pub canonical_dir: Option<String>,
    /// Where checkpoints go.
    pub checkpoint_dir: Option<String>,
    /// Where artifacts are staged.
    pub artifacts_dir: Option<String>,
    /// Where blobs go, unless `object_store.dir` says otherwise.
    pub object_store_dir: Option<String>,
    /// Where records, history and manifests go.
    pub registry_dir: Option<String>,
    /// Where raw events come from.
    pub raw_source: Source,
    /// Where blobs go.
    pub object_store: Source,
    /// The kinds that `run` builds.
    pub artifact_kinds: Vec<Kind>,
    /// Days in the window of a kind; 1 unless set.
    pub window_days: BTreeMap<Kind, NonZeroU32>,
    /// The catalogue that `content_sim` is built from.
    pub catalog: CatalogSettings,
    /// What a day must look like.
    pub validation: Validation,
    /// What a run may hold.
    pub limits: Limits,
}

/// A place that can be of several types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// The type.
    pub r#type: SourceType,
    /// The folder.
    pub dir: Option<String>,
}

/// The types of places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// The local file system.
    #[default]
    Fs,
}

/// Where the catalogue is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSettings {
    /// The file.
    pub path: Option<String>,
    /// Its format; by its extension unless set.
    pub format: Option<CatalogFormat>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            out_dir: ".out".to_owned(),
            raw_events_dir: None,
            canonical_dir: None,
            checkpoint_dir: None,
            artifacts_dir: None,
            object_store_dir: None,
            registry_dir: None,
            raw_source: Source::default(),
            object_store: Source::default(),
            artifact_kinds: vec![Kind::Popularity, Kind::Cooc],
            window_days: BTreeMap::new(),
            catalog: CatalogSettings::default(),
            validation: Validation::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    fn below_out_dir(&self, set: Option<&String>, name: &str) -> String {
        set.cloned().unwrap_or_else(|| format!("{}/{name}", self.out_dir.trim_end_matches('/')))
    }

    /// Where raw events are.
    pub fn raw_dir(&self) -> Result<String, ConfigError> {
        let dir = self.raw_source.dir.as_ref().or(self.raw_events_dir.as_ref());
        dir.cloned().ok_or(ConfigError::RawDirMissing)
    }

    /// Where canonical data goes.
    pub fn canonical_dir(&self) -> String {
        self.below_out_dir(self.canonical_dir.as_ref(), "canonical")
    }

    /// Where checkpoints go.
    pub fn checkpoint_dir(&self) -> String {
        self.below_out_dir(self.checkpoint_dir.as_ref(), "checkpoints")
    }

    /// Where artifacts are staged.
    pub fn artifacts_dir(&self) -> String {
        self.below_out_dir(self.artifacts_dir.as_ref(), "artifacts")
    }

    /// Where blobs go.
    pub fn object_store_dir(&self) -> String {
        let dir = self.object_store.dir.as_ref().or(self.object_store_dir.as_ref());
        self.below_out_dir(dir, "objects")
    }

    /// Where records, history and manifests go.
    pub fn registry_dir(&self) -> String {
        self.below_out_dir(self.registry_dir.as_ref(), "registry")
    }

    /// Every setting with its value; folders that are not set are where they default to.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        let mut effective = self.clone();
        effective.canonical_dir = Some(self.canonical_dir());
        effective.checkpoint_dir = Some(self.checkpoint_dir());
        effective.artifacts_dir = Some(self.artifacts_dir());
        effective.object_store_dir = Some(self.object_store_dir());
        effective.registry_dir = Some(self.registry_dir());
        serde_json::to_value(effective).unwrap_or_default()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let dirs = [
            ("out_dir", Some(&self.out_dir)),
            ("raw_events_dir", self.raw_events_dir.as_ref()),
            ("canonical_dir", self.canonical_dir.as_ref()),
            ("checkpoint_dir", self.checkpoint_dir.as_ref()),
            ("artifacts_dir", self.artifacts_dir.as_ref()),
            ("object_store_dir", self.object_store_dir.as_ref()),
            ("registry_dir", self.registry_dir.as_ref()),
            ("raw_source.dir", self.raw_source.dir.as_ref()),
            ("object_store.dir", self.object_store.dir.as_ref()),
            ("catalog.path", self.catalog.path.as_ref()),
        ];
        for (key, dir) in dirs {
            let problem = match dir {
                Some(dir) if dir.trim().is_empty() => "is empty; give a path or leave it out",
                Some(dir) if dir.contains("://") => "is a URL; give a path of the local file system",
                _ => continue,
            };
            return Err(ConfigError::Value { key, problem });
        }
        if self.artifact_kinds.is_empty() {
            let problem = "is empty; name at least one kind";
            return Err(ConfigError::Value { key: "artifact_kinds", problem });
        }
        let kinds = &self.artifact_kinds;
        if (1..kinds.len()).any(|at| kinds[..at].contains(&kinds[at])) {
            return Err(ConfigError::Value { key: "artifact_kinds", problem: "names a kind twice" });
        }
        Ok(())
    }
}
