//! `config show` and `config check`: the effective configuration, and the origin of each value.

use std::collections::BTreeMap;

use recsys_core::artifact::Kind;
use serde::Serialize;
use serde_json::Value;

use super::table;
use crate::config::{Config, ConfigError, Linked};
use crate::pipeline::database;
use crate::shell::cli::{CommonArgs, Flags};
use crate::shell::output::Output;
use crate::watch::metrics::Run;

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

pub(crate) fn config(command: &ConfigCommand, run: &Run) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show(flags) => show(flags, run.linked),
        ConfigCommand::Check(flags) => check(flags, run.linked),
    }
}

#[derive(Debug, Serialize)]
struct Setting {
    value: Value,
    /// `default`, the config file, or the environment variable.
    origin: String,
}

/// `recsys-pipelines config show`.
fn show(flags: &CommonArgs, linked: Linked) -> anyhow::Result<()> {
    let (config, layers) = Config::layered(flags.config.as_deref(), linked)?;
    // The empty path is the whole of it. By name, not by path: the name of a header may hold a dot.
    let set = layers.find_value("")?;
    let mut settings = BTreeMap::new();
    for (path, value) in config.settings().into_iter().filter(|(path, _)| config.has_effect(path)) {
        let set = path.iter().try_fold(&set, |section, name| section.as_dict()?.get(name));
        let layer = set.and_then(|set| layers.get_metadata(set.tag()));
        let origin = layer.map_or("default", |layer| &layer.name).to_owned();
        settings.insert(path.join("."), Setting { value, origin });
    }
    let output = Output::new(flags.json);
    let mut table = table(["SETTING", "VALUE", "ORIGIN"]);
    for (key, Setting { value, origin }) in &settings {
        table.add_row([key, &value.to_string(), origin]);
    }
    output.line(table.trim_fmt());
    output.end(&settings, Ok(()))
}

fn check(flags: &CommonArgs, linked: Linked) -> anyhow::Result<()> {
    let config = Config::load(flags.config.as_deref(), linked)?;
    database::check(&config, linked)?;
    // Every environment variable that the request names must have a usable value.
    config.notify.request(("tenant", "surface"))?;
    if config.artifact_kinds.contains(&Kind::ContentSim) && config.catalog.path.is_none() {
        return Err(ConfigError::CatalogMissing.into());
    }
    let output = Output::new(flags.json);
    output.line("the configuration is valid");
    output.end(&serde_json::json!({"valid": true}), Ok(()))
}
