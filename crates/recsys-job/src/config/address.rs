//! Addresses of services that are told something.

use url::Url;

/// An address that requests can be sent to. What is wrong with one is said without it.
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

/// The address of a Pushgateway, which is shown where settings are: it has no place for a secret.
pub(crate) fn parse_gateway(text: &str) -> Result<Url, &'static str> {
    let is_bare = !text.contains(['@', '?', '#', '$', '{']);
    if is_bare {
        return parse_url(text);
    }
    Err("must be scheme, host, port and path alone; let a proxy add what a gateway asks for besides")
}
