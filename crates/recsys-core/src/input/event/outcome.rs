//! The outcome: a line of JSON that says that an exposed item was clicked or converted.
//!
//! Outcomes share the row format of exposures: the type takes the place of the segment, and the value that of the
//! rank, as an integer with the same order. The session may be unknown. It is then empty, which never occurs in an
//! exposure and sorts first.

use serde::Deserialize;

use super::{Exposure, LineFault, Rules, Type, fault, raw_event, required, text, time, unknown_version};
use crate::encoding::json::{self, Text};

/// The type of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeType {
    /// The user clicked the item.
    Click,
    /// The user bought the item, or did whatever else counts as a conversion.
    Conversion,
}

impl OutcomeType {
    /// The name used in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Conversion => "conversion",
        }
    }
}

raw_event! {
    /// An outcome as parsed, unchecked.
    RawOutcome
    { ts, tenant, surface, user_id, session_id, request_id, item_id, event_type, }
    { v: i64 = Whole, value: f64 = Number, }
}

impl<'a> RawOutcome<'a> {
    /// Parses the JSON of one line.
    pub fn parse(line: &'a str) -> Result<Self, LineFault> {
        serde_json::from_str(line).map_err(|error| fault(line, &error, FIELDS))
    }

    /// Checks the event against the rules. `None` for an event of another tenant or surface.
    pub(crate) fn check(&self, rules: &Rules<'_>) -> Result<Option<Exposure<'_>>, LineFault> {
        if let Some(v) = self.v.filter(|v| *v != 1) {
            return Err(unknown_version(v));
        }
        if !rules.is_own(text(self.tenant.as_ref()), text(self.surface.as_ref()))? {
            return Ok(None);
        }
        let ts = time(text(self.ts.as_ref()))?;
        let item_id = rules.required_id("item_id", text(self.item_id.as_ref()))?;
        let event_type = match required("event_type", text(self.event_type.as_ref()))? {
            "click" => OutcomeType::Click,
            "conversion" => OutcomeType::Conversion,
            other => {
                let reason = format!("field `event_type` is {other:?}; it must be click or conversion");
                return Err(LineFault::new(reason));
            }
        };
        Ok(Some(Exposure {
            ts,
            session_id: rules.optional_id("session_id", text(self.session_id.as_ref()))?.unwrap_or_default(),
            item_id,
            user_id: rules.optional_id("user_id", text(self.user_id.as_ref()))?,
            request_id: rules.optional_id("request_id", text(self.request_id.as_ref()))?,
            segment: Some(event_type.as_str()),
            rank: Some(value_key(self.value)),
        }))
    }
}

/// Maps a value to an integer with the same order; absent sorts first, and -0 equals 0.
fn value_key(value: Option<f64>) -> i64 {
    let Some(value) = value else { return i64::MIN };
    let bits = if value == 0.0 { 0 } else { value.to_bits().cast_signed() };
    // Among negative floats, the greater one has the smaller bits.
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The inverse of [`value_key`].
pub(crate) fn value_of(key: i64) -> Option<f64> {
    if key == i64::MIN {
        return None;
    }
    let bits = if key < 0 { key ^ i64::MAX } else { key };
    Some(f64::from_bits(bits.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Scope, Surface, Tenant};
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    const GOOD: &str = r#"{"ts":"2026-01-01T08:00:00Z","tenant":" demo","surface":"home\t","item_id":" A\u0041 ","event_type":" click","value":2.50,"user_id":" ","request_id":null,"more":[{}]}"#;

    fn check(line: &str) -> Result<Option<(String, Option<f64>)>, String> {
        let scope = Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() };
        let raw = RawOutcome::parse(line).map_err(|fault| fault.reason)?;
        let event = raw.check(&Rules::new(&scope)).map_err(|fault| fault.reason)?;
        Ok(event.map(|event| {
            assert_eq!((event.session_id, event.user_id, event.request_id), ("", None, None));
            assert_eq!(event.segment, Some("click"));
            (event.item_id.to_owned(), value_of(event.rank.unwrap()))
        }))
    }

    #[test]
    fn text_is_trimmed_and_what_is_optional_may_be_absent() {
        assert_eq!(check(GOOD), Ok(Some(("AA".to_owned(), Some(2.5)))));
        assert_eq!(check(&GOOD.replace("2.50", "null")), Ok(Some(("AA".to_owned(), None))));
        assert_eq!(check(&GOOD.replace("{\"ts\"", "{\"v\":1,\"ts\"")), check(GOOD));
    }

    #[test]
    fn each_rule_names_its_field() {
        let with = |from: &str, to: &str| {
            let line = GOOD.replace(from, to);
            assert_ne!(line, GOOD);
            check(&line).unwrap_err()
        };
        assert_eq!(with("{\"ts\"", "{\"v\":2,\"ts\""), "field `v` is 2; only version 1 is known");
        assert_eq!(with("item_id", "item"), "field `item_id` is missing");
        assert_eq!(with("tenant", "tenants"), "field `tenant` is missing");
        assert_eq!(with("home\\t", ""), "field `surface` is empty");
        assert_eq!(with("event_type", "type"), "field `event_type` is missing");
        assert_eq!(with(" click", "view"), "field `event_type` is \"view\"; it must be click or conversion");
        assert_eq!(
            with(" click", "Click"),
            "field `event_type` is \"Click\"; it must be click or conversion"
        );
        assert!(with("08:00:00Z", "08:00:00").starts_with("field `ts`: "));
        let number = "it must be a number that a double can hold";
        assert_eq!(with("2.50", "1e400"), format!("field `value` is 1e400; {number}"));
        assert_eq!(with("2.50", "\"2.50\""), format!("field `value` is the string \"2.50\"; {number}"));
        assert!(with("2.50", "1,\"value\":2").starts_with("duplicate field `value`"));
    }

    #[test]
    fn a_foreign_outcome_is_set_aside_before_its_other_fields_are_judged() {
        assert_eq!(check(&GOOD.replace(" demo", "other").replace(" click", "view")), Ok(None));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn keys_compare_as_values_do(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert_eq!(value_key(Some(a)).cmp(&value_key(Some(b))), a.partial_cmp(&b).unwrap());
            prop_assert_eq!(value_of(value_key(Some(a))), Some(a));
            prop_assert!(value_key(None) < value_key(Some(a)));
        }
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(value_key(Some(-0.0)), value_key(Some(0.0)));
        assert_eq!(value_of(value_key(None)), None);
        assert!(value_key(Some(f64::MIN)) > i64::MIN);
    }
}
