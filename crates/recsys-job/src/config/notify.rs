//! Whom to tell that another manifest is current.

use std::collections::BTreeMap;
use std::fmt;

use recsys_core::storage::{HIDDEN, Secret};
use serde::{Deserialize, Serialize, Serializer};

/// A request to the serving side after a swap. `{tenant}` and `{surface}` are filled in, and `${NAME}` from the
/// environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifySettings {
    /// Where it goes. Nobody is told unless set.
    pub url: Option<SecretUrl>,
    /// Its headers, whose values are secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Its body, which may hold a secret; empty unless set.
    pub body: Option<Secret>,
    /// Seconds after which a try without an answer has failed.
    pub timeout_s: u32,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { url: None, headers: BTreeMap::new(), body: None, timeout_s: 5 }
    }
}

/// An address whose path and query may hold a secret. It is shown as scheme and host.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    /// The address itself, for the request.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// What may be seen of it: nothing where the host cannot be told from a secret.
    fn shown(&self) -> String {
        let url = self.reveal();
        let Some((scheme @ ("http" | "https"), rest)) = url.split_once("://") else {
            return HIDDEN.to_owned();
        };
        let host = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_plain) {
            return HIDDEN.to_owned();
        }
        let rest = if host.len() == rest.len() { String::new() } else { format!("/{HIDDEN}") };
        format!("{scheme}://{host}{rest}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_scheme_and_host_are_shown() {
        for (url, shown) in [
            ("https://cache:8443", "https://cache:8443"),
            ("https://[::1]:8443/", "https://[::1]:8443/********"),
            ("https://cache.shop/hunter2/{tenant}", "https://cache.shop/********"),
            ("https://cache?token=hunter2", "https://cache/********"),
            ("https://cache\\hunter2", "https://cache/********"),
            ("https://${HOST}/x", "********"),
            ("https://{tenant}.shop/x", "********"),
            ("https://me:hunter2@cache/x", "********"),
            ("${NOTIFY_URL}", "********"),
            ("hunter2", "********"),
            ("https://", "********"),
        ] {
            let url = SecretUrl(url.to_owned().into());
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }
}
