//! JSON as a configuration format.

use std::collections::HashSet;
use std::fmt;

use figment::providers::Format;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// JSON that rejects duplicate keys at any depth; serde would drop one of the two sections.
pub(super) struct Json;

impl Format for Json {
    type Error = serde_json::Error;

    const NAME: &'static str = "JSON";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
        serde_json::from_str::<NoDuplicates>(text)?;
        serde_json::from_str(text)
    }
}

/// Accepts any value without duplicate keys.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// Accepts a value without keys.
macro_rules! scalar {
    ($visit:ident: $type:ty) => {
        fn $visit<E: Error>(self, _: $type) -> Result<Self, E> {
            Ok(self)
        }
    };
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self, M::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(M::Error::custom(format_args!("key `{key}` is there twice")));
            }
            keys.insert(key);
            map.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Self, S::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    scalar!(visit_bool: bool);
    scalar!(visit_i64: i64);
    scalar!(visit_u64: u64);
    scalar!(visit_f64: f64);
    scalar!(visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_named_with_its_line() {
        for (text, key) in [
            ("{\"a\": 1,\n\"a\": 2}", "a"),
            ("{\"b\": {\"c\": [],\n\"c\": null}}", "c"),
            ("{\"d\": [1, {\"e\": true,\n\"\\u0065\": 1.5}]}", "e"),
        ] {
            let error = Json::from_str::<serde_json::Value>(text).unwrap_err().to_string();
            assert!(
                error.contains(&format!("key `{key}` is there twice")) && error.contains("line 2"),
                "{error}"
            );
        }
        let text = "{\"a\": {\"b\": 1}, \"c\": {\"b\": -1}, \"d\": [{\"b\": 2}, {\"b\": 3}, \"b\", \"b\"]}";
        assert!(Json::from_str::<serde_json::Value>(text).is_ok());
    }
}
