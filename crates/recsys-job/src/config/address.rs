//! Requests to services, and the URLs that they may go to.

use std::time::Duration;

use http::header::HeaderMap;
use url::Url;

/// A request. Never show it: it may hold secrets.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "nothing is sent"))]
pub(crate) struct Request {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Timeout per attempt.
    pub(crate) timeout: Duration,
}

/// Parses a URL for requests. Errors do not repeat the text, which may hold a secret.
pub(crate) fn parse_url(text: &str) -> Result<Url, &'static str> {
    if cfg!(not(feature = "http")) {
        return Err(
            "needs the feature `http`, which this program was built without; build it with `--features http`, \
                    or take the setting out",
        );
    }
    let url: Url = text.parse().map_err(|_| "is not a URL such as https://host:port/path")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password, which would be shown; give a header in its place");
    }
    Ok(url)
}

/// Parses the URL of a Pushgateway. It is shown with the settings, so it must not be able to hold a secret.
pub(crate) fn parse_gateway(text: &str) -> Result<Url, &'static str> {
    let is_bare = !text.contains(['@', '?', '#', '$', '{']);
    if is_bare {
        return parse_url(text);
    }
    Err("must be scheme, host, port and path alone; let a proxy add what a gateway asks for besides")
}
