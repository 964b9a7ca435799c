//! Environment variables that look like settings but are not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Config;
use super::error::{ConfigError, ENV_PREFIX};

/// Prefix of the variables, letters only.
const PREFIX: &str = "RECSYSPIPELINES";

/// Allowed edit distance from the prefix.
const TYPOS: usize = 2;

/// Rejects variables that would be settings with the right case, separators and spelling of the prefix; they would be
/// ignored silently. Other variables with a similar prefix are left alone: Kubernetes sets some for each service.
pub(super) fn check() -> Result<(), ConfigError> {
    let known: Vec<_> =
        Config::default().settings().iter().map(|(path, value)| variable(path, value)).collect();
    let mut names = BTreeMap::new();
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if name.to_uppercase().starts_with(ENV_PREFIX)
            && let Some(other) = names.insert(name.to_uppercase(), name.to_owned())
        {
            let problem = format!("it is the same setting as {other}, and both are set; keep one of them");
            return Err(ConfigError::variable(name, problem));
        }
        if let Some(meant) = meant(name, &known) {
            return Err(ConfigError::variable(name, format!("it is not read; did you mean {meant}?")));
        }
    }
    Ok(())
}

/// The name of a setting's variable, without the prefix. A map with free keys ends in `__`.
fn variable(path: &[String], value: &Value) -> String {
    let end = if value.is_object() { "__" } else { "" };
    path.join("__").to_uppercase() + end
}

/// The setting that `name` was meant to be: one with the same letters and digits.
fn meant(name: &str, known: &[String]) -> Option<String> {
    let is_read = |setting: &String| {
        let rest = name.to_uppercase().strip_prefix(ENV_PREFIX).map(str::to_owned);
        rest.is_some_and(|rest| {
            rest == *setting || (setting.ends_with("__") && rest.starts_with(setting.as_str()))
        })
    };
    if known.iter().any(is_read) {
        return None;
    }
    let letters = letters(name);
    let lengths = PREFIX.len() - TYPOS..=PREFIX.len() + TYPOS;
    let splits = lengths.filter_map(|length| letters.split_at_checked(length));
    let begins = splits.filter(|(prefix, _)| strsim::damerau_levenshtein(prefix, PREFIX) <= TYPOS);
    begins.map(|(_, own)| own).find_map(|own| {
        known.iter().find_map(|setting| {
            let same = self::letters(setting);
            if setting.ends_with("__") {
                let kind = own.strip_prefix(&same).filter(|kind| !kind.is_empty())?;
                return Some(format!("{ENV_PREFIX}{setting}{kind}"));
            }
            (own == same).then(|| format!("{ENV_PREFIX}{setting}"))
        })
    })
}

/// Upper-case letters and digits only: case and separators are easily mistaken.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_with_other_underscores_is_told_from_one_of_somebody_else() {
        let known = ["OUT_DIR", "DB__DSN", "WINDOW_DAYS__"].map(str::to_owned);
        for (name, setting) in [
            ("RECSYS_PIPELINES_OUT_DIR", Some("RECSYS_PIPELINES__OUT_DIR")),
            ("RECSYS_PIPELINE__OUT_DIR", Some("RECSYS_PIPELINES__OUT_DIR")),
            ("recsys_pipelines_db_dsn", Some("RECSYS_PIPELINES__DB__DSN")),
            ("RECSYS_PIPELINES_WINDOW_DAYS__COOC", Some("RECSYS_PIPELINES__WINDOW_DAYS__COOC")),
            ("RECSYS__PIPELINES__OUT_DIR", Some("RECSYS_PIPELINES__OUT_DIR")),
            ("RECSYSPIPELINES-OUT-DIR", Some("RECSYS_PIPELINES__OUT_DIR")),
            ("RECSYS_PIPELINES__DB_DSN", Some("RECSYS_PIPELINES__DB__DSN")),
            ("RECSYS_PIPLINES__OUT_DIR", Some("RECSYS_PIPELINES__OUT_DIR")),
            ("RECYSS_PIPELINES_OUT_DIR", Some("RECSYS_PIPELINES__OUT_DIR")),
            ("RECSYS_PIPELINES__OUT_DIR", None),
            ("recsys_pipelines__out_dir", None),
            ("RECSYS_PIPELINES__WINDOW_DAYS__COOC", None),
            ("RECSYS_PIPELINES__UNKNOWN", None),
            ("RECSYS_PIPELINES_WINDOW_DAYS", None),
            ("RECSYS_PIPELINES_SERVICE_HOST", None),
            ("RECSYS_PIPELINES_PORT_80_TCP", None),
            ("OUT_DIR", None),
            ("RECSYS_OUT_DIR", None),
        ] {
            assert_eq!(meant(name, &known).as_deref(), setting, "{name}");
        }
    }
}
