//! From settings as they are written to a model without gaps.

use super::error::{ModelError, ModelProblem};
use super::kind::ModelKind;
use super::names::{EventType, ScorerName, Side, Unit};
use super::range::{CANDIDATES, COUNT, LAST_ITEMS, Numbers, PAIRS, WINDOW, Whole};
use super::resolved::{Basis, ResolvedModel, Scorer};
use super::settings::{Model, Models, PopularityModel};
use super::table::SETTINGS;

impl Models {
    /// Refuses settings that cannot be used.
    pub fn check(&self) -> Result<(), ModelError> {
        self.popularity.half_life()?;
        ModelKind::ALL.iter().try_for_each(|kind| self.of(*kind).resolve(*kind).map(drop))
    }
}

impl PopularityModel {
    /// Days after which an event weighs half; none if all weigh the same.
    pub fn half_life(&self) -> Result<Option<f64>, ModelError> {
        Section("popularity").number_if_set("half_life_days", self.half_life_days, Numbers::Above0)
    }
}

impl Model {
    /// The model with every gap filled; none for the scorer `count`, the baseline of the kind.
    pub fn resolve(&self, kind: ModelKind) -> Result<Option<ResolvedModel>, ModelError> {
        self.check_belonging(kind)?;
        let section = Section(kind.as_str());
        let Some(scorer) = self.resolve_scorer(&section)? else { return Ok(None) };
        let basis = self.resolve_basis(kind, &section)?;
        let neighbors_of = match kind {
            ModelKind::Cooc | ModelKind::SessionSeq => Side::Row,
            ModelKind::Implicit => Side::Column,
        };
        let max_neighbors = match kind {
            ModelKind::Cooc => None,
            _ => Some(section.whole("max_neighbors", self.max_neighbors, 200, COUNT)?),
        };
        Ok(Some(ResolvedModel {
            scorer,
            basis,
            neighbors_of: self.neighbors_of.unwrap_or(neighbors_of),
            max_neighbors,
            max_rows: section.whole_if_set("max_rows", self.max_rows, COUNT)?,
            exclude_seen: self.exclude_seen.unwrap_or(true),
            last_items: section.whole("last_items", self.last_items, 10, LAST_ITEMS)?,
            decay: section.number_if_set("decay", self.decay, Numbers::Above0)?,
            own_weight: section.number("own_weight", self.own_weight, 0.0, Numbers::UpTo(1))?,
            filters: self.filters.clone(),
            fill: self.fill,
        }))
    }

    /// Refuses settings of other kinds or scorers.
    fn check_belonging(&self, kind: ModelKind) -> Result<(), ModelError> {
        for setting in SETTINGS.iter().filter(|setting| (setting.is_set)(self)) {
            let problem = if !setting.kinds.contains(&kind) {
                ModelProblem::OtherKind { kind, of: setting.kinds, instead: setting.instead }
            } else if setting.scorers.contains(&self.scorer) {
                continue;
            } else if self.scorer == ScorerName::Count {
                ModelProblem::Baseline { kind }
            } else {
                ModelProblem::OtherScorer { kind, scorer: self.scorer, of: setting.scorers }
            };
            return Err(Section(kind.as_str()).error(setting.name, problem));
        }
        Ok(())
    }

    fn resolve_scorer(&self, section: &Section) -> Result<Option<Scorer>, ModelError> {
        let shrink = || section.number("shrink", self.shrink, 0.0, Numbers::AtLeast0);
        let power = |name, power, default| section.number(name, power, default, Numbers::UpTo(2));
        let part = |name, part, default| section.number(name, part, default, Numbers::UpTo(1));
        let candidates = || section.whole("candidates", self.candidates, 100, CANDIDATES);
        let ridge = || section.number("ridge", self.ridge, 100.0, Numbers::Above0);
        let dropout = || section.number("dropout", self.dropout, 0.5, Numbers::Below1);
        Ok(Some(match self.scorer {
            ScorerName::Count => return Ok(None),
            ScorerName::Cosine => Scorer::Cosine { shrink: shrink()? },
            ScorerName::Jaccard => Scorer::Jaccard { shrink: shrink()? },
            ScorerName::Lift => Scorer::Lift { shrink: shrink()? },
            ScorerName::Conditional => Scorer::Conditional { shrink: shrink()? },
            ScorerName::Llr => Scorer::Llr,
            ScorerName::DegreeNormalised => Scorer::DegreeNormalised {
                a: power("a", self.a, 0.0)?,
                b: power("b", self.b, 0.25)?,
                c: power("c", self.c, 0.75)?,
                row_norm: self.row_norm.unwrap_or_default(),
            },
            ScorerName::LocalRidge => {
                Scorer::LocalRidge { candidates: candidates()?, ridge: ridge()?, dropout: dropout()? }
            }
            ScorerName::SequentialRules => Scorer::SequentialRules {
                window: section.whole("window", self.window, 10, WINDOW)?,
                backward: part("backward", self.backward, 0.0)?,
                delta: section.number_if_set("delta", self.delta, Numbers::Above0)?,
                row_power: part("row_power", self.row_power, 1.0)?,
            },
            ScorerName::SessionRidge => Scorer::SessionRidge {
                candidates: candidates()?,
                ridge: ridge()?,
                dropout: dropout()?,
                // With a greater one the sums of long sessions would be too large for integers.
                delta: section.number("delta", self.delta, 1.0, Numbers::Above0UpTo(100))?,
            },
        }))
    }

    fn resolve_basis(&self, kind: ModelKind, section: &Section) -> Result<Basis, ModelError> {
        let basis = &self.basis;
        let unit = match kind {
            ModelKind::Cooc | ModelKind::SessionSeq => Unit::Session,
            ModelKind::Implicit => Unit::User,
        };
        let mut events = basis.events.clone().unwrap_or_else(|| vec![EventType::Exposure]);
        if events.is_empty() {
            return Err(section.error("basis.events", ModelProblem::NoEvents));
        }
        events.sort_unstable();
        events.dedup();
        let half_life_days =
            section.number_if_set("basis.half_life_days", basis.half_life_days, Numbers::Above0)?;
        let max_items = section.whole("basis.max_items", basis.max_items, 1000, PAIRS)?;
        Ok(Basis { unit: basis.unit.unwrap_or(unit), events, half_life_days, max_items })
    }
}

/// The name of a section under `models`. It reads numbers, and names the setting of one that is out of range.
struct Section(&'static str);

impl Section {
    fn error(&self, name: &str, problem: ModelProblem) -> ModelError {
        ModelError { setting: format!("models.{}.{name}", self.0), problem }
    }

    fn number(
        &self,
        name: &str,
        value: Option<f64>,
        default: f64,
        allowed: Numbers,
    ) -> Result<f64, ModelError> {
        Ok(self.number_if_set(name, value, allowed)?.unwrap_or(default))
    }

    fn number_if_set(
        &self,
        name: &str,
        value: Option<f64>,
        allowed: Numbers,
    ) -> Result<Option<f64>, ModelError> {
        match value {
            Some(number) if !allowed.contain(number) => {
                // Large and small numbers as they are written, and without the fraction of whole ones.
                let value = format!("{number:?}").trim_end_matches(".0").to_owned();
                Err(self.error(name, ModelProblem::Range { value, range: allowed.to_string() }))
            }
            value => Ok(value),
        }
    }

    fn whole(
        &self,
        name: &str,
        value: Option<usize>,
        default: usize,
        allowed: Whole,
    ) -> Result<usize, ModelError> {
        Ok(self.whole_if_set(name, value, allowed)?.unwrap_or(default))
    }

    fn whole_if_set(
        &self,
        name: &str,
        value: Option<usize>,
        allowed: Whole,
    ) -> Result<Option<usize>, ModelError> {
        match value {
            Some(number) if !allowed.contains(number) => {
                let (value, range) = (number.to_string(), allowed.to_string());
                Err(self.error(name, ModelProblem::Range { value, range }))
            }
            value => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::names::{Fill, RowNorm};
    use super::*;
    use crate::domain::class::Class;
    use crate::domain::filters::Filters;

    fn resolved(kind: ModelKind, settings: &Value) -> Result<Option<ResolvedModel>, String> {
        let model: Model = serde_json::from_value(settings.clone()).unwrap();
        model.resolve(kind).map_err(|error| error.to_string())
    }

    fn some(kind: ModelKind, settings: &Value) -> ResolvedModel {
        resolved(kind, settings).unwrap().unwrap()
    }

    #[test]
    fn without_settings_every_kind_is_its_baseline() {
        for kind in ModelKind::ALL {
            assert_eq!(resolved(*kind, &json!({})), Ok(None));
            assert_eq!(resolved(*kind, &json!({"scorer": "count", "filters": {}, "basis": {}})), Ok(None));
        }
        assert_eq!(Models::default().check(), Ok(()));
        assert_eq!(Models::default().popularity.half_life(), Ok(None));
    }

    #[test]
    fn every_scorer_has_its_defaults() {
        for (name, scorer) in [
            ("cosine", Scorer::Cosine { shrink: 0.0 }),
            ("jaccard", Scorer::Jaccard { shrink: 0.0 }),
            ("lift", Scorer::Lift { shrink: 0.0 }),
            ("conditional", Scorer::Conditional { shrink: 0.0 }),
            ("llr", Scorer::Llr),
            (
                "degree_normalised",
                Scorer::DegreeNormalised { a: 0.0, b: 0.25, c: 0.75, row_norm: RowNorm::None },
            ),
            ("local_ridge", Scorer::LocalRidge { candidates: 100, ridge: 100.0, dropout: 0.5 }),
            (
                "sequential_rules",
                Scorer::SequentialRules { window: 10, backward: 0.0, delta: None, row_power: 1.0 },
            ),
            (
                "session_ridge",
                Scorer::SessionRidge { candidates: 100, ridge: 100.0, dropout: 0.5, delta: 1.0 },
            ),
        ] {
            for kind in ModelKind::ALL {
                assert_eq!(some(*kind, &json!({"scorer": name})).scorer, scorer);
            }
        }
    }

    #[test]
    fn every_kind_has_its_defaults() {
        let model = |unit, neighbors_of, max_neighbors| ResolvedModel {
            scorer: Scorer::Llr,
            basis: Basis { unit, events: vec![EventType::Exposure], half_life_days: None, max_items: 1000 },
            neighbors_of,
            max_neighbors,
            max_rows: None,
            exclude_seen: true,
            last_items: 10,
            decay: None,
            own_weight: 0.0,
            filters: Filters::default(),
            fill: None,
        };
        let llr = json!({"scorer": "llr"});
        assert_eq!(some(ModelKind::Cooc, &llr), model(Unit::Session, Side::Row, None));
        assert_eq!(some(ModelKind::Implicit, &llr), model(Unit::User, Side::Column, Some(200)));
        assert_eq!(some(ModelKind::SessionSeq, &llr), model(Unit::Session, Side::Row, Some(200)));
    }

    #[test]
    fn what_is_set_is_taken() {
        let basis = json!({"unit": "request", "events": ["conversion", "click", "conversion"],
            "half_life_days": 7, "max_items": 2});
        let filters = json!({"available_only": true, "tags_none": ["18+"]});
        let settings = json!({"scorer": "sequential_rules", "window": 1000, "backward": 1, "delta": 0.5,
            "row_power": 0, "basis": basis, "neighbors_of": "column", "max_neighbors": 1, "last_items": 1,
            "decay": 2.5, "own_weight": 1, "filters": filters, "fill": "popularity"});
        let model = ResolvedModel {
            scorer: Scorer::SequentialRules { window: 1000, backward: 1.0, delta: Some(0.5), row_power: 0.0 },
            basis: Basis {
                unit: Unit::Request,
                events: vec![EventType::Click, EventType::Conversion],
                half_life_days: Some(7.0),
                max_items: 2,
            },
            neighbors_of: Side::Column,
            max_neighbors: Some(1),
            max_rows: None,
            exclude_seen: true,
            last_items: 1,
            decay: Some(2.5),
            own_weight: 1.0,
            filters: Filters {
                available_only: true,
                tags_none: vec!["18+".to_owned()],
                ..Filters::default()
            },
            fill: Some(Fill::Popularity),
        };
        assert_eq!(some(ModelKind::SessionSeq, &settings), model);
        let seen = json!({"scorer": "cosine", "exclude_seen": false, "shrink": 20});
        let model = some(ModelKind::Implicit, &seen);
        assert!(!model.exclude_seen && model.scorer == Scorer::Cosine { shrink: 20.0 });
        let rows = json!({"scorer": "degree_normalised", "max_rows": 5, "a": 2, "row_norm": "l1"});
        let model = some(ModelKind::Cooc, &rows);
        assert_eq!(model.max_rows, Some(5));
        let scorer = Scorer::DegreeNormalised { a: 2.0, b: 0.25, c: 0.75, row_norm: RowNorm::L1 };
        assert_eq!(model.scorer, scorer);
    }

    #[test]
    fn settings_of_other_scorers_and_kinds_are_refused() {
        use ModelKind::{Cooc, Implicit, SessionSeq};
        for (kind, settings, error) in [
            (
                Cooc,
                json!({"scorer": "cosine", "delta": 2}),
                "models.cooc.delta is a setting of sequential_rules and session_ridge; the scorer is cosine: take \
                 the setting out, or set models.cooc.scorer to what it is for",
            ),
            (
                SessionSeq,
                json!({"scorer": "llr", "shrink": 2}),
                "models.session_seq.shrink is a setting of cosine, jaccard, lift and conditional; the scorer is llr: \
                 take the setting out, or set models.session_seq.scorer to what it is for",
            ),
            (
                Implicit,
                json!({"scorer": "llr", "row_norm": "none"}),
                "models.implicit.row_norm is a setting of degree_normalised; the scorer is llr: take the setting \
                 out, or set models.implicit.scorer to what it is for",
            ),
            (
                Cooc,
                json!({"scorer": "cosine", "exclude_seen": true}),
                "models.cooc.exclude_seen is a setting of implicit; take it out of models.cooc",
            ),
            (
                Cooc,
                json!({"max_neighbors": 10}),
                "models.cooc.max_neighbors is a setting of implicit and session_seq; take it out of models.cooc, \
                 whose neighbours limits.max_neighbors_per_item cuts",
            ),
            (
                Implicit,
                json!({"scorer": "llr", "own_weight": 0}),
                "models.implicit.own_weight is a setting of session_seq; take it out of models.implicit",
            ),
            (
                Implicit,
                json!({"ridge": 5}),
                "models.implicit.ridge has no effect with the scorer count, which has no settings; set \
                 models.implicit.scorer to another one, or take the setting out",
            ),
            (
                SessionSeq,
                json!({"scorer": "count", "filters": {"catalog_only": true}}),
                "models.session_seq.filters.catalog_only has no effect with the scorer count, which has no settings; \
                 set models.session_seq.scorer to another one, or take the setting out",
            ),
        ] {
            assert_eq!(resolved(kind, &settings), Err(error.to_owned()));
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        use ModelKind::{Cooc, Implicit, SessionSeq};
        let (above_0, to_1) = ("a number above 0", "a number from 0 to 1");
        let (to_2, to_1000) = ("a number from 0 to 2", "a whole number from 1 to 1000");
        let (below_1, any) = ("a number of 0 or more, and below 1", "a whole number of 1 or more");
        for (kind, scorer, setting, values, range) in [
            (Cooc, "cosine", "shrink", json!([-0.5]), "a number of 0 or more"),
            (Cooc, "degree_normalised", "a", json!([-1, 2.5]), to_2),
            (Cooc, "degree_normalised", "b", json!([-1, 2.5]), to_2),
            (Cooc, "degree_normalised", "c", json!([-1, 2.5]), to_2),
            (Implicit, "local_ridge", "candidates", json!([0, 1001]), to_1000),
            (Implicit, "local_ridge", "ridge", json!([0, -1]), above_0),
            (Implicit, "local_ridge", "dropout", json!([-0.1, 1]), below_1),
            (SessionSeq, "sequential_rules", "window", json!([0, 1001]), to_1000),
            (SessionSeq, "sequential_rules", "backward", json!([-1, 2]), to_1),
            (SessionSeq, "sequential_rules", "delta", json!([0]), above_0),
            (SessionSeq, "session_ridge", "delta", json!([0, -1e300, 101]), "a number above 0, up to 100"),
            (SessionSeq, "sequential_rules", "row_power", json!([-1, 1.5]), to_1),
            (SessionSeq, "llr", "decay", json!([0, -1]), above_0),
            (SessionSeq, "llr", "own_weight", json!([-1, 1.5]), to_1),
            (SessionSeq, "llr", "last_items", json!([0, 1001]), to_1000),
            (SessionSeq, "llr", "max_neighbors", json!([0]), any),
            (Cooc, "llr", "max_rows", json!([0]), any),
        ] {
            for value in values.as_array().unwrap() {
                let shown = value.to_string().replace("e+", "e");
                assert_eq!(
                    resolved(kind, &json!({"scorer": scorer, setting: value})),
                    Err(format!("models.{kind}.{setting} is {shown}; it must be {range}"))
                );
            }
        }
        for (setting, value, range) in
            [("half_life_days", 0, above_0), ("max_items", 1, "a whole number of 2 or more")]
        {
            assert_eq!(
                resolved(Cooc, &json!({"scorer": "llr", "basis": {setting: value}})),
                Err(format!("models.cooc.basis.{setting} is {value}; it must be {range}"))
            );
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (number, shown) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
            let popularity = PopularityModel { half_life_days: Some(number) };
            let error = Models { popularity, ..Models::default() }.check().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("models.popularity.half_life_days is {shown}; it must be a number above 0")
            );
            assert_eq!(error.class(), Class::Usage);
            let ridge = Model { scorer: ScorerName::LocalRidge, ridge: Some(number), ..Model::default() };
            let shrink = Model { scorer: ScorerName::Lift, shrink: Some(number), ..Model::default() };
            let power = Model { scorer: ScorerName::DegreeNormalised, b: Some(number), ..Model::default() };
            // A setting that has no effect is refused for that, whatever it is.
            let unused = Model { decay: Some(number), ..Model::default() };
            for model in [ridge, shrink, power, unused] {
                assert!(model.resolve(ModelKind::SessionSeq).is_err(), "{model:?}");
            }
        }
    }

    #[test]
    fn an_empty_list_of_events_is_refused() {
        let settings = json!({"scorer": "cosine", "basis": {"events": []}});
        assert_eq!(
            resolved(ModelKind::Implicit, &settings),
            Err("models.implicit.basis.events is empty; name at least one of exposure, click and conversion, or leave \
                 it out"
                .to_owned())
        );
    }

    #[test]
    fn outcomes_count_where_the_basis_of_a_model_names_them() {
        let counts = |settings: Value| serde_json::from_value::<Model>(settings).unwrap().counts_outcomes();
        assert!(!counts(json!({})));
        assert!(!counts(json!({"scorer": "llr"})));
        assert!(!counts(json!({"scorer": "llr", "basis": {"events": ["exposure"]}})));
        assert!(!counts(json!({"basis": {"events": ["click"]}})));
        assert!(counts(json!({"scorer": "llr", "basis": {"events": ["exposure", "click"]}})));
        assert!(counts(json!({"scorer": "llr", "basis": {"events": ["conversion"]}})));
    }

    #[test]
    fn each_kind_is_shown_with_the_settings_that_it_has() {
        let shown = serde_json::to_value(Models::default()).unwrap();
        let has = |kind: &str, setting: &str| shown[kind].get(setting).is_some();
        for (setting, [cooc, implicit, session_seq]) in [
            ("scorer", [true, true, true]),
            ("delta", [true, true, true]),
            ("max_rows", [true, false, false]),
            ("max_neighbors", [false, true, true]),
            ("exclude_seen", [false, true, false]),
            ("own_weight", [false, false, true]),
        ] {
            assert_eq!(has("cooc", setting), cooc, "{setting}");
            assert_eq!(has("implicit", setting), implicit, "{setting}");
            assert_eq!(has("session_seq", setting), session_seq, "{setting}");
        }
        assert_eq!(shown["popularity"], json!({"half_life_days": null}));
        assert_eq!(serde_json::from_value::<Models>(shown).unwrap(), Models::default());
        let settings = json!({"scorer": "cosine"});
        let model: Model = serde_json::from_value(settings).unwrap();
        assert!(model.takes("scorer") && model.takes("shrink") && model.takes("basis.unit"));
        assert!(!model.takes("ridge") && !Model::default().takes("shrink"));
    }
}
