//! Destinations of the metrics.

use serde::{Deserialize, Serialize};

use super::address::parse_gateway;
use super::error::ConfigError;

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
        if self.file.as_ref().is_some_and(|file| file.trim().is_empty() || file.contains("://")) {
            let problem = "must be the path of a file; give one or leave it out";
            return Err(ConfigError::Value { key: "metrics.file", problem });
        }
        let problem = self.push.as_ref().and_then(|push| parse_gateway(push).err());
        problem.map_or(Ok(()), |problem| Err(ConfigError::Value { key: "metrics.push", problem }))
    }
}
