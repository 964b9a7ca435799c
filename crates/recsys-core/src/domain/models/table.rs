//! Which setting belongs to which kinds and scorers.

use super::kind::ModelKind::{self, Cooc, Implicit, SessionSeq};
use super::names::ScorerName::{
    self, Conditional, Cosine, DegreeNormalised, Jaccard, Lift, LocalRidge, SequentialRules, SessionRidge,
};
use super::settings::Model;

/// A setting of a model besides the scorer.
pub(super) struct Setting {
    /// Its path below the model.
    pub(super) name: &'static str,
    pub(super) kinds: &'static [ModelKind],
    pub(super) scorers: &'static [ScorerName],
    pub(super) is_set: fn(&Model) -> bool,
    /// What does the same for the kinds without it, as the end of an error; or empty.
    pub(super) instead: &'static str,
}

/// A setting of some scorers, for all kinds.
const fn of_scorers(
    name: &'static str,
    scorers: &'static [ScorerName],
    is_set: fn(&Model) -> bool,
) -> Setting {
    Setting { name, kinds: ModelKind::ALL, scorers, is_set, instead: "" }
}

/// A setting of some kinds, with every scorer but the baseline.
const fn of_kinds(name: &'static str, kinds: &'static [ModelKind], is_set: fn(&Model) -> bool) -> Setting {
    Setting { name, kinds, scorers: ScorerName::MODELS, is_set, instead: "" }
}

const ALL: &[ModelKind] = ModelKind::ALL;
const ADDED_UP: &[ModelKind] = &[Implicit, SessionSeq];
const SHRUNK: &[ScorerName] = &[Cosine, Jaccard, Lift, Conditional];
const NORMALISED: &[ScorerName] = &[DegreeNormalised];
const RIDGES: &[ScorerName] = &[LocalRidge, SessionRidge];
const RULES: &[ScorerName] = &[SequentialRules];
const SEQUENCES: &[ScorerName] = &[SequentialRules, SessionRidge];

/// Every setting besides the scorer, in the order of [`Model`].
pub(super) const SETTINGS: &[Setting] = &[
    of_scorers("shrink", SHRUNK, |model| model.shrink.is_some()),
    of_scorers("a", NORMALISED, |model| model.a.is_some()),
    of_scorers("b", NORMALISED, |model| model.b.is_some()),
    of_scorers("c", NORMALISED, |model| model.c.is_some()),
    of_scorers("row_norm", NORMALISED, |model| model.row_norm.is_some()),
    of_scorers("candidates", RIDGES, |model| model.candidates.is_some()),
    of_scorers("ridge", RIDGES, |model| model.ridge.is_some()),
    of_scorers("dropout", RIDGES, |model| model.dropout.is_some()),
    of_scorers("window", RULES, |model| model.window.is_some()),
    of_scorers("backward", RULES, |model| model.backward.is_some()),
    of_scorers("delta", SEQUENCES, |model| model.delta.is_some()),
    of_scorers("row_power", RULES, |model| model.row_power.is_some()),
    of_kinds("basis.unit", ALL, |model| model.basis.unit.is_some()),
    of_kinds("basis.events", ALL, |model| model.basis.events.is_some()),
    of_kinds("basis.half_life_days", ALL, |model| model.basis.half_life_days.is_some()),
    of_kinds("basis.max_items", ALL, |model| model.basis.max_items.is_some()),
    of_kinds("neighbors_of", ALL, |model| model.neighbors_of.is_some()),
    Setting {
        instead: ", whose neighbours limits.max_neighbors_per_item cuts",
        ..of_kinds("max_neighbors", ADDED_UP, |model| model.max_neighbors.is_some())
    },
    of_kinds("max_rows", &[Cooc], |model| model.max_rows.is_some()),
    of_kinds("exclude_seen", &[Implicit], |model| model.exclude_seen.is_some()),
    of_kinds("last_items", &[SessionSeq], |model| model.last_items.is_some()),
    of_kinds("decay", &[SessionSeq], |model| model.decay.is_some()),
    of_kinds("own_weight", &[SessionSeq], |model| model.own_weight.is_some()),
    of_kinds("filters.catalog_only", ALL, |model| model.filters.catalog_only),
    of_kinds("filters.available_only", ALL, |model| model.filters.available_only),
    of_kinds("filters.tags_any", ALL, |model| !model.filters.tags_any.is_empty()),
    of_kinds("filters.tags_none", ALL, |model| !model.filters.tags_none.is_empty()),
    of_kinds("fill", ADDED_UP, |model| model.fill.is_some()),
];

impl Model {
    /// Whether the setting with this path below the model has an effect with the scorer.
    pub fn takes(&self, path: &str) -> bool {
        let mut named = SETTINGS.iter().filter(|setting| setting.name == path);
        path == "scorer" || named.any(|setting| setting.scorers.contains(&self.scorer))
    }
}

/// Whether a kind has a setting or section of this name directly below its model.
pub(super) fn has_key(kind: ModelKind, key: &str) -> bool {
    let first = |setting: &&Setting| setting.name.split('.').next() == Some(key);
    key == "scorer" || SETTINGS.iter().filter(first).any(|setting| setting.kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Paths of the values of a section.
    fn paths(prefix: &str, value: &Value) -> BTreeSet<String> {
        let Some(fields) = value.as_object() else { return BTreeSet::from([prefix.to_owned()]) };
        let below = |(name, value): (&String, &Value)| {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            paths(&path, value)
        };
        fields.iter().flat_map(below).collect()
    }

    #[test]
    fn every_setting_of_a_model_is_in_the_table() {
        let mut model = paths("", &serde_json::to_value(Model::default()).unwrap());
        assert!(model.remove("scorer"));
        let table: Vec<String> = SETTINGS.iter().map(|setting| setting.name.to_owned()).collect();
        assert_eq!(table.iter().cloned().collect::<BTreeSet<_>>(), model);
        assert_eq!(table.len(), model.len(), "a setting is there twice");
    }

    /// A value that each setting can have, other than its default.
    fn value(name: &str) -> Value {
        match name {
            "row_norm" => "l1".into(),
            "basis.unit" => "request".into(),
            "basis.events" => vec!["click"].into(),
            "neighbors_of" => "row".into(),
            "exclude_seen" | "filters.catalog_only" | "filters.available_only" => true.into(),
            "filters.tags_any" | "filters.tags_none" => vec!["red"].into(),
            "fill" => "popularity".into(),
            _ => 1.into(),
        }
    }

    #[test]
    fn each_setting_is_seen_where_it_is_set_and_nowhere_else() {
        for setting in SETTINGS {
            let mut written = value(setting.name);
            for part in setting.name.rsplit('.') {
                written = serde_json::json!({ part: written });
            }
            let model: Model = serde_json::from_value(written).unwrap();
            let seen: Vec<_> = SETTINGS.iter().filter(|other| (other.is_set)(&model)).collect();
            assert!(seen.len() == 1 && seen[0].name == setting.name, "{}", setting.name);
            assert!(!(setting.is_set)(&Model::default()), "{}", setting.name);
        }
    }
}
