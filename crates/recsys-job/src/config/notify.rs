//! Whom to tell that another manifest is current.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use recsys_core::storage::{HIDDEN, Secret};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::address::parse_url;
use super::error::ConfigError;
use super::template::Template;

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

/// What is sent to one tenant and surface, with all secrets in place. Not to be shown.
pub(crate) struct NotifyRequest {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// How long each try may take.
    pub(crate) timeout: Duration,
}

impl NotifySettings {
    /// Finds out whether every environment variable that the settings name has a value that can be used.
    pub(crate) fn check_environment(&self) -> Result<(), ConfigError> {
        self.request(("tenant", "surface")).map(drop)
    }

    /// The request for a tenant and surface, if one is to be sent.
    pub(crate) fn request(&self, of: (&str, &str)) -> Result<Option<NotifyRequest>, ConfigError> {
        let Some(url) = &self.url else { return Ok(None) };
        let fill = |key: &str, text: &str, escape| {
            let invalid =
                |problem: String| ConfigError::Invalid { origin: format!("setting {key}"), problem };
            let template = Template::parse(text).map_err(|problem| invalid(problem.to_owned()))?;
            template.fill(of, escape, |name| {
                std::env::var(name)
                    .map_err(|_| invalid(format!("environment variable {name} is not set, or not UTF-8")))
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
        Ok(Some(NotifyRequest { url, headers, body: body.unwrap_or_default(), timeout }))
    }

    /// Checks what can be checked without the values of environment variables.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let template = |key: &str, text: &str| match Template::parse(text) {
            Ok(_) => Ok(()),
            Err(problem) => {
                Err(ConfigError::Invalid { origin: format!("setting {key}"), problem: problem.to_owned() })
            }
        };
        let url = self.url.as_ref().map(SecretUrl::reveal);
        let body = self.body.as_ref().map(Secret::reveal);
        for (key, text) in [("notify.url", url), ("notify.body", body)] {
            text.map_or(Ok(()), |text| template(key, text))?;
        }
        for (name, value) in &self.headers {
            let key = format!("notify.headers.{name}");
            template(&key, value.reveal())?;
            header(&key, name, "")?;
        }
        if self.timeout_s == 0 {
            return Err(ConfigError::Value { key: "notify.timeout_s", problem: "must be at least 1" });
        }
        match url {
            Some(url) if !url.contains("${") => {
                // A hole may be where an address wants a name.
                let problem = parse_url(&url.replace(['{', '}'], "")).err();
                problem.map_or(Ok(()), |problem| Err(ConfigError::Value { key: "notify.url", problem }))
            }
            Some(_) => Ok(()),
            None if self.headers.is_empty() && self.body.is_none() => Ok(()),
            None => {
                Err(ConfigError::Value { key: "notify.url", problem: "is missing, and what to send is not" })
            }
        }
    }
}

fn header(key: &str, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let invalid = |problem: &str| ConfigError::Invalid {
        origin: format!("setting {key}"),
        problem: problem.to_owned(),
    };
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("is no name of an HTTP header"))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| invalid("has a value that no HTTP header can have, such as a line end"))?;
    // Not to be shown by whoever shows headers.
    value.set_sensitive(true);
    Ok((name, value))
}

/// The characters of a name that mean something in an address, or cannot stand in one.
fn escape_for_url(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A name as it stands between the quotes of JSON.
fn escape_for_json(name: &str) -> String {
    let quoted = serde_json::Value::from(name).to_string();
    quoted[1..quoted.len() - 1].to_owned()
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
