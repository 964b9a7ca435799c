//! Destinations of the metrics.

use serde::{Deserialize, Serialize};

use super::address::parse_gateway;
use super::error::{ConfigError, refuse};

/// Destinations of the metrics. Metrics never change what a job does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Path of the file; `{binary}`, `{tenant}` and `{surface}` are filled in.
    pub file: Option<String>,
    /// URL of a Pushgateway: scheme, host, port and path only.
    pub push: Option<String>,
}

impl MetricsSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_no_path = |file: &String| file.trim().is_empty() || file.contains("://");
        let problem = "must be the path of a file; give one or leave it out";
        refuse(self.file.as_ref().is_some_and(is_no_path), "metrics.file", problem)?;
        match self.push.as_deref().map(parse_gateway) {
            Some(Err(problem)) => Err(ConfigError::Value { key: "metrics.push", problem }),
            _ => Ok(()),
        }
    }
}
