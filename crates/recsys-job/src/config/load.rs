//! Reads the configuration and explains what is wrong with it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use figment::error::{Actual, Kind as FigmentKind};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use recsys_core::encoding::json::expected_in_words;
use recsys_core::storage::{LocalStore, Store};

use super::error::{ConfigError, ENV_PREFIX};
use super::json::Json;
use super::yaml::Yaml;
use super::{Config, Linked, RawSource, look_alike, models};

impl Config {
    /// Reads the file, if one is given, and the environment.
    pub fn load(path: Option<&Path>, linked: Linked) -> Result<Self, ConfigError> {
        Ok(Self::layered(path, linked)?.0)
    }

    /// Like [`Self::load`]; also returns the layers. The metadata of every value that is not a default names its origin.
    pub(crate) fn layered(path: Option<&Path>, linked: Linked) -> Result<(Self, Figment), ConfigError> {
        let mut layers = Figment::new();
        if let Some(path) = path {
            let text = read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            let origin = format!("config file {}", path.display());
            layers = match path.extension().and_then(OsStr::to_str) {
                Some("json") => with(layers, linked, Layer(origin, Json::string(&text)))?,
                Some("yaml" | "yml") => with(layers, linked, Layer(origin, Yaml::string(&text)))?,
                Some("toml") => with(layers, linked, Layer(origin, Toml::string(&text)))?,
                _ => return Err(ConfigError::Format(path.to_owned())),
            };
        }
        look_alike::check()?;
        layers = with_environment(layers, linked)?;
        let config: Self = layers.extract().map_err(|error| invalid(&error))?;
        config.check()?;
        models::check(&config, &layers)?;
        Ok((config, layers))
    }
}

/// The defaults as figment sees them: they tell sections from values, and text from numbers.
fn defaults() -> Value {
    Value::serialize(Config::default()).unwrap_or_else(|_| Dict::new().into())
}

/// A layer and the name of its origin.
struct Layer<P>(String, P);

impl<P: Provider> Provider for Layer<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        self.1.data()
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
/// If the setting takes text, the value stays text even if it looks like a number. Otherwise it is parsed as a number,
/// boolean or list.
fn with_environment(mut layers: Figment, linked: Linked) -> Result<Figment, ConfigError> {
    let defaults = defaults();
    for (name, text) in std::env::vars_os() {
        let (name, upper) = (name.to_string_lossy(), name.to_string_lossy().to_ascii_uppercase());
        let Some(key) = upper.strip_prefix(ENV_PREFIX) else { continue };
        let key = key.to_ascii_lowercase().replace("__", ".");
        if key.split('.').any(str::is_empty) {
            return Err(ConfigError::variable(&name, "the name of a key is missing between its underscores"));
        }
        let text = text.to_str().ok_or_else(|| ConfigError::variable(&name, "the value is not UTF-8"))?;
        let mut value = Value::from(text);
        // A default of text is enough: what is wrong with another text is for the setting to say.
        let takes_text = matches!(defaults.find_ref(&key), Some(Value::String(..)))
            || Figment::from(Serialized::default(&key, &value)).extract::<Config>().is_ok();
        if !takes_text {
            let Ok(parsed) = text.parse();
            value = parsed;
        }
        let layer = Layer(format!("environment variable {upper}"), Serialized::default(&key, value));
        layers = with(layers, linked, layer)?;
    }
    Ok(layers)
}

/// Adds a layer. What it makes of the configuration must be valid: a later layer must not hide an error of this one.
fn with(layers: Figment, linked: Linked, layer: Layer<impl Provider>) -> Result<Figment, ConfigError> {
    let origin = layer.0.clone();
    let layers = layers.merge(layer);
    // The empty path is the whole of it.
    if let Ok(all) = layers.find_value("")
        && let Some(key) = not_a_section("", &all, &defaults())
    {
        let problem = format!("{key} must be a section with keys of its own");
        return Err(ConfigError::Invalid { origin, problem });
    }
    let config: Config = layers.extract().map_err(|error| invalid(&error))?;
    check_inputs(&config.raw_source, linked).map_err(|problem| ConfigError::Invalid { origin, problem })?;
    Ok(layers)
}

/// Refuses the name of an input, or a section of one, that is not linked.
fn check_inputs(RawSource { r#type, sections, .. }: &RawSource, linked: Linked) -> Result<(), String> {
    let inputs: Vec<&str> = linked.inputs.iter().map(|input| input.name()).collect();
    let types = [&["fs", "s3", "minio"], &inputs[..]].concat();
    if !types.contains(&r#type.as_str()) {
        return Err(format!("raw_source.type: unknown value `{type}`{}", suggestion(r#type, &types)));
    }
    let keys = [&["type", "dir", "s3"], &inputs[..]].concat();
    let unknown = sections.keys().find(|key| !keys.contains(&key.as_str()));
    unknown.map_or(Ok(()), |key| Err(format!("unknown key `raw_source.{key}`{}", suggestion(key, &keys))))
}

/// Finds a key that should be a section but is not. Serde would read a list as the section's fields in order, and an
/// error about a bad value would quote it, secret or not.
fn not_a_section(key: &str, value: &Value, default: &Value) -> Option<String> {
    let defaults = default.as_dict()?;
    let Some(fields) = value.as_dict() else { return Some(key.to_owned()) };
    fields.iter().find_map(|(name, value)| {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        not_a_section(&key, value, defaults.get(name)?)
    })
}

/// The error in the words of an operator, with the origin that the metadata name.
fn invalid(error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let problem = match &error.kind {
        FigmentKind::UnknownField(name, expected) => {
            format!("unknown key `{key}`{}", suggestion(name, expected))
        }
        FigmentKind::UnknownVariant(name, expected) => {
            format!("{key}: unknown value `{name}`{}", suggestion(name, expected))
        }
        FigmentKind::InvalidType(found, expected) | FigmentKind::InvalidValue(found, expected) => {
            format!("{key} is {}; it must be {}", found_in_words(found), expected_in_words(expected))
        }
        kind if key.is_empty() => without_excerpt(&kind.to_string()),
        kind => format!("{key}: {kind}"),
    };
    let origin = error.metadata.as_ref().map_or("configuration", |layer| &layer.name);
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
