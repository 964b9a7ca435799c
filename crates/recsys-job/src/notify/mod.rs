//! Telling the serving side that another manifest is current, so that it need not wait for its caches to age.
//!
//! A notification is about a manifest and not about the process that swapped it: `notified/<tenant>/<surface>.json` in
//! the registry names the last manifest that the serving side was told of. Whoever publishes and finds another one
//! current tells it, whether or not it swapped itself. So a notification that failed, or that a crash cut off, is made
//! up for by the next publish, and one that arrived is not repeated.
//!
//! What is published is published: nothing here fails a job.

pub(crate) mod template;

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use recsys_core::id::Scope;
use recsys_core::publish::Manifest;
use recsys_core::storage::{Condition, Secret, Store, StoreError};
use serde::{Deserialize, Serialize};

use self::template::Template;
use crate::config::{ConfigError, NotifySettings, SecretUrl};
use crate::error::one_line;
use crate::metrics;
use crate::post::{Post, parse_url};
use crate::step::{Counts, Step};

/// The characters of a name that mean something in an address, or cannot stand in one.
fn escape_for_url(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A name as it stands between the quotes of JSON.
fn escape_for_json(name: &str) -> String {
    let quoted = serde_json::Value::from(name).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What was told last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notified {
    v: u8,
    /// The hash of the manifest.
    manifest: String,
}

/// What tells the serving side, with all secrets in place.
pub(crate) struct Notifier {
    post: Post,
    scope: Scope,
}

/// Nothing of the request, which may hold secrets anywhere.
impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notifier({})", self.scope)
    }
}

impl Notifier {
    /// The notifier of the settings, if they have one. Looks up every environment variable that they name.
    pub(crate) fn configured(settings: &NotifySettings, scope: &Scope) -> Result<Option<Self>, ConfigError> {
        let post = post_of(settings, (scope.tenant.as_str(), scope.surface.as_str()))?;
        Ok(post.map(|post| Self { post, scope: scope.clone() }))
    }

    /// Tells that `current` is the manifest, unless that was told before.
    pub(crate) fn tell(&self, registry: &dyn Store, current: &Manifest) {
        let key = format!("notified/{}.json", self.scope.prefix());
        let told = Notified { v: 1, manifest: current.hash() };
        match last_told(registry, &key) {
            Ok(last) if last.as_ref() == Some(&told.manifest) => return,
            Ok(_) => {}
            // Told twice is better than not at all.
            Err(error) => tracing::warn!(error = one_line(&error), "cannot tell what was notified of before"),
        }
        let step = Step::go_on(&self.scope, "notify", &told.manifest[..12]);
        let sent = self.post.send();
        metrics::record(|record| record.add_notification(sent.is_err()));
        if let Err(error) = sent {
            tracing::warn!(
                error = one_line(&error),
                "the service of notify.url was not notified; the next publish tries again"
            );
            return;
        }
        step.end(Counts::default());
        let mut bytes = serde_json::to_vec(&told).unwrap_or_default();
        bytes.push(b'\n');
        if let Err(error) = registry.put(&key, &bytes, Condition::Always) {
            tracing::warn!(
                error = one_line(&error),
                "cannot note what was notified of; it may be told again"
            );
        }
    }
}

/// Finds out whether every environment variable that the settings name has a value that can be used.
pub(crate) fn check_environment(settings: &NotifySettings) -> Result<(), ConfigError> {
    post_of(settings, ("tenant", "surface")).map(drop)
}

/// The request for a tenant and surface, if one is to be sent.
fn post_of(settings: &NotifySettings, of: (&str, &str)) -> Result<Option<Post>, ConfigError> {
    let Some(url) = &settings.url else { return Ok(None) };
    let fill = |key: &str, text: &str, escape| {
        let invalid = |problem: String| ConfigError::Invalid { origin: format!("setting {key}"), problem };
        let template = Template::parse(text).map_err(|problem| invalid(problem.to_owned()))?;
        template.fill(of, escape, |name| {
            std::env::var(name)
                .map_err(|_| invalid(format!("environment variable {name} is not set, or not UTF-8")))
        })
    };
    let filled = fill("notify.url", url.reveal(), escape_for_url)?;
    let url = parse_url(&filled).map_err(|problem| ConfigError::Value { key: "notify.url", problem })?;
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let key = format!("notify.headers.{name}");
        let value = fill(&key, value.reveal(), str::to_owned)?;
        let (name, value) = header(&key, name, &value)?;
        headers.insert(name, value);
    }
    let body =
        settings.body.as_ref().map(|body| fill("notify.body", body.reveal(), escape_for_json)).transpose()?;
    if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let timeout = Duration::from_secs(settings.timeout_s.into());
    let to = "the service of notify.url";
    Ok(Some(Post { to, url, headers, body: body.unwrap_or_default(), timeout }))
}

/// The hash of the manifest that was told last. What cannot be understood says nothing.
fn last_told(registry: &dyn Store, key: &str) -> Result<Option<String>, StoreError> {
    let bytes = registry.read(key)?;
    let told: Option<Notified> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(told.map(|told| told.manifest))
}

/// Checks what can be checked without the values of environment variables.
pub(crate) fn check(settings: &NotifySettings) -> Result<(), ConfigError> {
    let template = |key: &str, text: &str| match Template::parse(text) {
        Ok(_) => Ok(()),
        Err(problem) => {
            Err(ConfigError::Invalid { origin: format!("setting {key}"), problem: problem.to_owned() })
        }
    };
    let url = settings.url.as_ref().map(SecretUrl::reveal);
    let body = settings.body.as_ref().map(Secret::reveal);
    for (key, text) in [("notify.url", url), ("notify.body", body)] {
        text.map_or(Ok(()), |text| template(key, text))?;
    }
    for (name, value) in &settings.headers {
        let key = format!("notify.headers.{name}");
        template(&key, value.reveal())?;
        header(&key, name, "")?;
    }
    if settings.timeout_s == 0 {
        return Err(ConfigError::Value { key: "notify.timeout_s", problem: "must be at least 1" });
    }
    match url {
        Some(url) if !url.contains("${") => {
            // A hole may be where an address wants a name.
            let problem = parse_url(&url.replace(['{', '}'], "")).err();
            problem.map_or(Ok(()), |problem| Err(ConfigError::Value { key: "notify.url", problem }))
        }
        Some(_) => Ok(()),
        None if settings.headers.is_empty() && settings.body.is_none() => Ok(()),
        None => Err(ConfigError::Value { key: "notify.url", problem: "is missing, and what to send is not" }),
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
