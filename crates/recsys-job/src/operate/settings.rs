//! `config show` and `config check`: the effective configuration, and the origin of each value.

use std::collections::BTreeMap;

use recsys_core::artifact::Kind;
use recsys_core::database::Driver;
use serde::Serialize;
use serde_json::Value;

use super::table;
use crate::config::{Config, ConfigError};
use crate::pipeline::database;
use crate::shell::cli::ConfigJob;
use crate::shell::output::Output;

#[derive(Debug, Serialize)]
struct Setting {
    value: Value,
    /// `default`, the config file, or the environment variable.
    origin: String,
}

/// `recsys-pipelines config show`.
pub(crate) fn show(flags: &ConfigJob) -> anyhow::Result<()> {
    let (config, origins) = Config::load_with_origins(flags.common.config.as_deref())?;
    let mut settings = BTreeMap::new();
    flatten("", config.to_value(), &mut |key, value| {
        let origin = origins.get(key).cloned().unwrap_or_else(|| "default".to_owned());
        settings.insert(key.to_owned(), Setting { value, origin });
    });
    let output = Output::new(flags.common.json);
    let mut table = table(["SETTING", "VALUE", "ORIGIN"]);
    for (key, Setting { value, origin }) in &settings {
        table.add_row([key, &value.to_string(), origin]);
    }
    output.line(table.trim_fmt());
    output.end(&settings, Ok(()))
}

/// `recsys-pipelines config check`.
pub(crate) fn check(flags: &ConfigJob, driver: &dyn Driver) -> anyhow::Result<()> {
    let config = Config::load(flags.common.config.as_deref())?;
    database::check(&config, driver)?;
    config.notify.check_environment()?;
    if config.artifact_kinds.contains(&Kind::ContentSim) && config.catalog.path.is_none() {
        return Err(ConfigError::CatalogMissing.into());
    }
    let output = Output::new(flags.common.json);
    output.line("the configuration is valid");
    output.end(&serde_json::json!({"valid": true}), Ok(()))
}

fn flatten(prefix: &str, value: Value, visit: &mut impl FnMut(&str, Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&key, value, visit);
            }
        }
        value => visit(prefix, value),
    }
}
