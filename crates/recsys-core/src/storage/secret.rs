//! A setting that is never shown.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text shown in place of a secret.
pub const HIDDEN: &str = "********";

/// A key or password. `Debug`, `Serialize` and errors about a wrong type do not reveal it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Secret {
    /// The secret itself, for the service that it belongs to.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;

        /// The library's own method would quote the value in its message.
        macro_rules! hidden {
            ($visit:ident: $type:ty) => {
                fn $visit<E: Error>(self, _: $type) -> Result<Secret, E> {
                    Err(E::invalid_type(Unexpected::Other("something else"), &self))
                }
            };
        }

        impl Visitor<'_> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            hidden!(visit_bool: bool);
            hidden!(visit_i64: i64);
            hidden!(visit_i128: i128);
            hidden!(visit_u64: u64);
            hidden!(visit_u128: u128);
            hidden!(visit_f64: f64);
        }

        // Not `deserialize_str`: its own message about a number would repeat the number.
        deserializer.deserialize_any(SecretVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = serde_json::from_str(r#""hunter2""#).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "******** Some(********)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""********""#);
        for wrong in ["4711", "-4711", "47.11", "true", "null", "47110000000000000000000"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(!error.contains("4711") && !error.contains("true"), "{error}");
        }
    }
}
