//! Reads the configuration and explains what is wrong with it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use figment::error::{Actual, Kind as FigmentKind};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Provider};
use recsys_core::encoding::json::expected_in_words;
use recsys_core::storage::{LocalStore, Store};

use super::error::{ConfigError, ENV_PREFIX};
use super::json::Json;
use super::yaml::Yaml;
use super::{Config, look_alike};

impl Config {
    /// Reads the file, if one is given, and the environment.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Ok(Self::load_with_origins(path)?.0)
    }

    /// Like [`Self::load`]; also returns the origin of every setting that is not a default.
    pub fn load_with_origins(path: Option<&Path>) -> Result<(Self, BTreeMap<String, String>), ConfigError> {
        let mut origins = BTreeMap::new();
        let mut layers = Figment::new();
        if let Some(path) = path {
            let text = read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            let origin = format!("config file {}", path.display());
            layers = match path.extension().and_then(OsStr::to_str) {
                Some("json") => with(layers, Json::string(&text), &origin)?,
                Some("yaml" | "yml") => with(layers, Yaml::string(&text), &origin)?,
                Some("toml") => with(layers, Toml::string(&text), &origin)?,
                _ => return Err(ConfigError::Format(path.to_owned())),
            };
            note_origins(&layers, &origin, &mut origins);
        }
        look_alike::check()?;
        layers = with_environment(layers, &mut origins)?;
        let config: Self = layers.extract().map_err(|error| invalid("configuration", &error))?;
        config.check()?;
        Ok((config, origins))
    }
}

/// Reads the file through the local store: it must be a regular file, within the size limit for documents.
fn read(path: &Path) -> io::Result<String> {
    let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let name = name.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let read = LocalStore::new(folder).and_then(|store| store.read(name)).map_err(|error| error.source)?;
    let bytes = read.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "No such file"))?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Adds each environment variable as a layer of its own.
///
/// If the setting is a string, the value stays text even if it looks like a number. Otherwise it is parsed as a number,
/// boolean or list.
fn with_environment(
    mut layers: Figment,
    origins: &mut BTreeMap<String, String>,
) -> Result<Figment, ConfigError> {
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { continue };
        let problem = if name[ENV_PREFIX.len()..].split("__").any(str::is_empty) {
            "the name of a key is missing between its underscores"
        } else if value.to_str().is_none() {
            "the value is not UTF-8"
        } else {
            continue;
        };
        let origin = format!("environment variable {name}");
        return Err(ConfigError::Invalid { origin, problem: problem.to_owned() });
    }
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    for (key, text) in Env::prefixed(ENV_PREFIX).split("__").iter() {
        let key = key.as_str();
        let origin = format!("environment variable {ENV_PREFIX}{}", key.replace('.', "__").to_uppercase());
        let parsed = || text.parse().unwrap_or_else(|never: Infallible| match never {});
        let fits = |value: &Value| Figment::from((key, value.clone())).extract::<Config>().is_ok();
        let text = Value::from(text.as_str());
        let value = match defaults.find_value(key) {
            Ok(Value::String(..)) => text,
            // No default to tell the type by: use text if the setting accepts text.
            Ok(Value::Empty(..)) if fits(&text) => text,
            _ => parsed(),
        };

        layers = with(layers, (key, value), &origin)?;
        origins.insert(key.to_owned(), origin);
    }
    Ok(layers)
}

/// Records `origin` for every setting in `layer`.
fn note_origins(layer: &Figment, origin: &str, origins: &mut BTreeMap<String, String>) {
    fn note(prefix: &str, dict: &Dict, origin: &str, origins: &mut BTreeMap<String, String>) {
        for (name, value) in dict {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Dict(_, fields) => note(&key, fields, origin, origins),
                _ => drop(origins.insert(key, origin.to_owned())),
            }
        }
    }
    for dict in layer.data().unwrap_or_default().values() {
        note("", dict, origin, origins);
    }
}

/// Adds a layer. It is validated on its own first, so that an error can name its origin.
fn with(layers: Figment, layer: impl Provider, origin: &str) -> Result<Figment, ConfigError> {
    let alone = Figment::from(layer);
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    for dict in alone.data().unwrap_or_default().values() {
        if let Some(key) = not_a_section("", dict, &defaults) {
            let problem = format!("{key} must be a section with keys of its own");
            return Err(ConfigError::Invalid { origin: origin.to_owned(), problem });
        }
    }
    alone.extract::<Config>().map_err(|error| invalid(origin, &error))?;
    Ok(layers.merge(alone))
}

/// Finds a key that should be a section but is not. Serde would read a list as the section's fields in order, and an
/// error about a bad value would quote it, secret or not.
fn not_a_section(prefix: &str, dict: &Dict, defaults: &Figment) -> Option<String> {
    dict.iter().find_map(|(name, value)| {
        let key = format!("{prefix}{name}");
        match (defaults.find_value(&key), value.as_dict()) {
            (Ok(Value::Dict(..)), Some(dict)) => not_a_section(&format!("{key}."), dict, defaults),
            (Ok(Value::Dict(..)), None) => Some(key),
            _ => None,
        }
    })
}

fn invalid(origin: &str, error: &figment::Error) -> ConfigError {
    let key = |name: &str| {
        let mut path = error.path.clone();
        if path.last().is_none_or(|last| last != name) {
            path.push(name.to_owned());
        }
        path.join(".")
    };
    let problem = match &error.kind {
        FigmentKind::UnknownField(name, expected) => {
            format!("unknown key `{}`{}", key(name), suggestion(name, expected))
        }
        FigmentKind::UnknownVariant(name, expected) => {
            let place = error.path.join(".");
            format!("{place}: unknown value `{name}`{}", suggestion(name, expected))
        }
        FigmentKind::InvalidType(found, expected) | FigmentKind::InvalidValue(found, expected) => {
            let place = error.path.join(".");
            let place = if place.is_empty() { "it" } else { &place };
            format!("{place} is {}; it must be {}", found_in_words(found), expected_in_words(expected))
        }
        kind if error.path.is_empty() => without_excerpt(&kind.to_string()),
        kind => format!("{}: {kind}", error.path.join(".")),
    };
    ConfigError::Invalid { origin: origin.to_owned(), problem }
}

/// The value found, in JSON terms.
fn found_in_words(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Str(value) => format!("the string {value:?}"),
        Actual::Unit => "null".to_owned(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// Drops the excerpt of the file from a parser's message: it may hold a secret.
fn without_excerpt(message: &str) -> String {
    let is_excerpt = |line: &&str| {
        line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).starts_with('|')
    };
    let lines: Vec<&str> = message.lines().filter(|line| !is_excerpt(line)).collect();
    lines.join(" ")
}

fn suggestion(name: &str, expected: &[&str]) -> String {
    let distance = |candidate: &&&str| strsim::damerau_levenshtein(name, candidate);
    match expected.iter().min_by_key(distance) {
        Some(nearest) if strsim::damerau_levenshtein(name, nearest) <= nearest.len().div_ceil(2) => {
            format!("; did you mean `{nearest}`?")
        }
        _ => format!("; expected one of {}", expected.join(", ")),
    }
}
