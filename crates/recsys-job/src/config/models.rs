//! Checks the models, and says where a setting at fault comes from.

use figment::Figment;
use recsys_core::artifact::Kind;
use recsys_core::domain::models::{ModelError, ModelKind, ResolvedModel};

use super::Config;
use super::error::ConfigError;

/// Refuses models that cannot be used.
pub(super) fn check(config: &Config, layers: &Figment) -> Result<(), ConfigError> {
    config.models.check().map_err(|error| invalid(layers, &error))?;
    let filtered = ModelKind::ALL.iter().find(|kind| config.models.of(**kind).filters_items());
    match filtered {
        Some(kind) if config.catalog.path.is_none() => {
            let key = format!("models.{kind}.filters");
            let problem = format!(
                "{key} is about items of the catalogue, and catalog.path is missing; set catalog.path, or take the \
                 filters out"
            );
            Err(ConfigError::Invalid { origin: origin(layers, &key), problem })
        }
        _ => Ok(()),
    }
}

impl Config {
    /// The model of a kind; none for a baseline.
    pub(crate) fn model(&self, kind: Kind) -> Result<Option<ResolvedModel>, ModelError> {
        kind.of_model().map_or(Ok(None), |kind| self.models.of(kind).resolve(kind))
    }

    /// Whether a setting has an effect: most of those of a model depend on its scorer.
    pub(crate) fn has_effect(&self, path: &[String]) -> bool {
        let [section, of, below @ ..] = path else { return true };
        let kind = ModelKind::ALL.iter().find(|kind| section == "models" && of == kind.as_str());
        kind.is_none_or(|kind| self.models.of(*kind).takes(&below.join(".")))
    }

    /// Whether a kind is built from outcomes, too.
    pub(crate) fn counts_outcomes(&self, kind: Kind) -> bool {
        let by_weight = kind.weighs() && self.weights.count_outcomes();
        by_weight || kind.of_model().is_some_and(|kind| self.models.of(kind).counts_outcomes())
    }
}

fn invalid(layers: &Figment, error: &ModelError) -> ConfigError {
    ConfigError::Invalid { origin: origin(layers, &error.setting), problem: error.to_string() }
}

/// What sets `key`.
fn origin(layers: &Figment, key: &str) -> String {
    layers.find_metadata(key).map_or("configuration", |layer| &layer.name).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What a file with this content makes of the configuration.
    fn loaded(content: &Value) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, content.to_string()).unwrap();
        Config::load(Some(&path), crate::config::Linked::default())
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "config.json"))
    }

    #[test]
    fn a_model_that_makes_no_sense_is_refused_with_its_origin() {
        for (models, error) in [
            (
                json!({"cooc": {"scorer": "cosine", "delta": 1}}),
                "config file config.json: models.cooc.delta is a setting of",
            ),
            (
                json!({"implicit": {"scorer": "llr", "basis": {"events": []}}}),
                "config file config.json: models.implicit.basis.events is empty",
            ),
            (
                json!({"popularity": {"half_life_days": 0}}),
                "config file config.json: models.popularity.half_life_days is 0; it must be a number above 0",
            ),
            (
                json!({"cooc": {"scorer": "cosine", "filters": {"tags_none": ["x"]}}}),
                "config file config.json: models.cooc.filters is about items of the catalogue, and catalog.path is \
                 missing; set catalog.path, or take the filters out",
            ),
            (
                json!({"cooc": {"scorer": "bm25"}}),
                "config file config.json: models.cooc.scorer: unknown value `bm25`; expected one of count, cosine, \
                 jaccard, lift, conditional, llr, degree_normalised, local_ridge, sequential_rules, session_ridge",
            ),
            (
                json!({"cooc": {"scorer": "local_rigde"}}),
                "config file config.json: models.cooc.scorer: unknown value `local_rigde`; did you mean `local_ridge`?",
            ),
            (
                json!({"cooc": {"shrnk": 1}}),
                "config file config.json: unknown key `models.cooc.shrnk`; did you mean `shrink`?",
            ),
            (
                json!({"implicit": {"basis": ["session"]}}),
                "config file config.json: models.implicit.basis must be a section with keys of its own",
            ),
            (
                json!({"implicit": {"max_neighbors": -1}}),
                "config file config.json: models.implicit.max_neighbors is -1; it must be a whole number of 0 or more",
            ),
        ] {
            let refused = loaded(&json!({"models": models})).unwrap_err();
            assert!(refused.starts_with(error), "{refused}");
        }
        let filters = json!({"scorer": "cosine", "filters": {"tags_none": ["x"]}});
        let config = json!({"models": {"cooc": filters}, "catalog": {"path": "shop.csv"}});
        assert_eq!(loaded(&config).unwrap().models.cooc.filters.tags_none, ["x"]);
    }

    #[test]
    fn outcomes_are_read_for_the_kinds_that_count_them() {
        let kinds = |config: &Value| {
            let config = loaded(config).unwrap();
            Kind::ALL.iter().copied().filter(|kind| config.counts_outcomes(*kind)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&json!({})), []);
        assert_eq!(kinds(&json!({"weights": {"click": 1}})), [Kind::Popularity, Kind::Implicit]);
        let bought = json!({"scorer": "cosine", "basis": {"unit": "request", "events": ["conversion"]}});
        assert_eq!(kinds(&json!({"models": {"cooc": bought}})), [Kind::Cooc]);
        let seen = json!({"scorer": "cosine", "basis": {"events": ["exposure"]}});
        assert_eq!(kinds(&json!({"models": {"session_seq": bought, "implicit": seen}})), [Kind::SessionSeq]);
    }
}
