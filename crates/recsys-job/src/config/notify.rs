//! Request sent to the serving side when another manifest becomes current.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use recsys_core::storage::{HIDDEN, Secret};
use serde::{Deserialize, Serialize, Serializer};

use super::address::{Request, parse_url};
use super::error::{ConfigError, refuse};
use super::template::Template;

/// A request to the serving side after a swap. `{tenant}` and `{surface}` are filled in, and `${NAME}` from the
/// environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifySettings {
    /// Target of the request; nothing is sent unless set.
    pub url: Option<SecretUrl>,
    /// Headers. The values are secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Body, which may hold a secret; empty unless set.
    pub body: Option<Secret>,
    /// Timeout per attempt, in seconds.
    pub timeout_s: u32,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { url: None, headers: BTreeMap::new(), body: None, timeout_s: 5 }
    }
}

impl NotifySettings {
    /// The request for a tenant and surface, with all secrets filled in; none if `url` is not set.
    pub(crate) fn request(&self, of: (&str, &str)) -> Result<Option<Request>, ConfigError> {
        let Some(url) = &self.url else { return Ok(None) };
        let fill = |key: &str, text: &str, escape| {
            template(key, text)?.fill(of, escape, |name| {
                std::env::var(name).map_err(|_| {
                    ConfigError::setting(key, format!("environment variable {name} is not set, or not UTF-8"))
                })
            })
        };
        let filled = fill("notify.url", url.reveal(), escape_for_url)?;
        let url = parse_url(&filled).map_err(|problem| ConfigError::Value { key: "notify.url", problem })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let key = format!("notify.headers.{name}");
            let value = fill(&key, value.reveal(), str::to_owned)?;
            let (name, value) = header(&key, name, &value)?;
            headers.insert(name, value);
        }
        let body =
            self.body.as_ref().map(|body| fill("notify.body", body.reveal(), escape_for_json)).transpose()?;
        if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let timeout = Duration::from_secs(self.timeout_s.into());
        Ok(Some(Request { url, headers, body: body.unwrap_or_default(), timeout }))
    }

    /// Checks everything that does not depend on environment variables.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let url = self.url.as_ref().map(SecretUrl::reveal);
        let body = self.body.as_ref().map(Secret::reveal);
        for (key, text) in [("notify.url", url), ("notify.body", body)] {
            text.map(|text| template(key, text)).transpose()?;
        }
        for (name, value) in &self.headers {
            let key = format!("notify.headers.{name}");
            template(&key, value.reveal())?;
            header(&key, name, "")?;
        }
        refuse(self.timeout_s == 0, "notify.timeout_s", "must be at least 1")?;
        match url {
            // A placeholder may stand in the host, where braces would not parse.
            Some(url) if !url.contains("${") => match parse_url(&url.replace(['{', '}'], "")) {
                Ok(_) => Ok(()),
                Err(problem) => Err(ConfigError::Value { key: "notify.url", problem }),
            },
            Some(_) => Ok(()),
            None => {
                let has_more = !self.headers.is_empty() || self.body.is_some();
                refuse(has_more, "notify.url", "is missing, and what to send is not")
            }
        }
    }
}

fn template<'a>(key: &str, text: &'a str) -> Result<Template<'a>, ConfigError> {
    Template::parse(text).map_err(|problem| ConfigError::setting(key, problem))
}

fn header(key: &str, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| ConfigError::setting(key, "is no name of an HTTP header"))?;
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        ConfigError::setting(key, "has a value that no HTTP header can have, such as a line end")
    })?;
    // `http` hides the value in debug output.
    value.set_sensitive(true);
    Ok((name, value))
}

/// Percent-encodes a name for use in a URL.
fn escape_for_url(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Escapes a name for use inside a JSON string.
fn escape_for_json(name: &str) -> String {
    let quoted = serde_json::Value::from(name).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A URL whose path and query may hold a secret. Only scheme and host are shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    /// The full URL, for the request.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// The part that may be shown: nothing if the host itself may hold a secret.
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
