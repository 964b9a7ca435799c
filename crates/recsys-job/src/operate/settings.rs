//! `config show` and `config check`: the effective configuration, and the origin of each value.

use std::collections::BTreeMap;

use recsys_core::artifact::Kind;
use recsys_core::database::Driver;
use serde::Serialize;
use serde_json::Value;

use super::table;
use crate::config::{Config, ConfigError};
use crate::pipeline::database;
use crate::shell::cli::{CommonArgs, Flags};
use crate::shell::output::Output;

/// The commands of `recsys-pipelines config`.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting, its value, and where the value came from
    Show(CommonArgs),
    /// Check the configuration; exit code 2 says what is wrong with it
    Check(CommonArgs),
}

impl Flags for ConfigCommand {
    fn common(&self) -> &CommonArgs {
        let (Self::Show(flags) | Self::Check(flags)) = self;
        flags
    }
}

pub(crate) fn config(command: &ConfigCommand, driver: &dyn Driver) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show(flags) => show(flags),
        ConfigCommand::Check(flags) => check(flags, driver),
    }
}

#[derive(Debug, Serialize)]
struct Setting {
    value: Value,
    /// `default`, the config file, or the environment variable.
    origin: String,
}

fn show(flags: &CommonArgs) -> anyhow::Result<()> {
    let (config, origins) = Config::load_with_origins(flags.config.as_deref())?;
    let mut settings = BTreeMap::new();
    flatten("", config.to_value(), &mut |key, value| {
        let origin = origins.get(key).cloned().unwrap_or_else(|| "default".to_owned());
        settings.insert(key.to_owned(), Setting { value, origin });
    });
    let output = Output::new(flags.json);
    let mut table = table(["SETTING", "VALUE", "ORIGIN"]);
    for (key, Setting { value, origin }) in &settings {
        table.add_row([key, &value.to_string(), origin]);
    }
    output.line(table.trim_fmt());
    output.end(&settings, Ok(()))
}

fn check(flags: &CommonArgs, driver: &dyn Driver) -> anyhow::Result<()> {
    let config = Config::load(flags.config.as_deref())?;
    database::check(&config, driver)?;
    config.notify.check_environment()?;
    if config.artifact_kinds.contains(&Kind::ContentSim) && config.catalog.path.is_none() {
        return Err(ConfigError::CatalogMissing.into());
    }
    let output = Output::new(flags.json);
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
