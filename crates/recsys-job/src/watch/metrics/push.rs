//! Metrics for a Pushgateway, one group per tenant and surface.
//!
//! A POST replaces the metrics it names and keeps the others of the group, so a failed run does not erase the time of
//! the last success.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::run_metrics::Run;
use super::samples::{Sample, text};
use crate::config::{Request, parse_gateway};
use crate::watch::post::{PostError, send};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the push failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    /// The URL cannot be used.
    #[error("it {0}")]
    Url(&'static str),
    /// The samples cannot be encoded.
    #[error(transparent)]
    Text(#[from] prometheus::Error),
    /// The gateway did not accept them.
    #[error(transparent)]
    Post(#[from] PostError),
}

/// Pushes all samples, with one request per group.
pub(super) fn push(base: &str, run: &Run, samples: &[Sample]) -> Result<(), PushError> {
    let base = parse_gateway(base).map_err(PushError::Url)?;
    let mut scopes: Vec<_> = samples.iter().map(|sample| sample.scope.as_ref()).collect();
    scopes.sort_by_key(|scope| scope.map(|scope| (&scope.tenant, &scope.surface)));
    scopes.dedup();
    for scope in scopes {
        let mut group = vec!["metrics", "job", "recsys_pipelines", "binary", &run.binary];
        if let Some(scope) = scope {
            group.extend(["tenant", scope.tenant.as_str(), "surface", scope.surface.as_str()]);
        }
        let of_group = samples.iter().filter(|sample| sample.scope.as_ref() == scope);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
        let (url, body) = (below(&base, &group), text(run, of_group)?);
        send("the gateway of metrics.push", &Request { url, headers, body, timeout: TIMEOUT })?;
    }
    Ok(())
}

/// Appends path segments to a URL.
fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Cannot fail: a URL with a host has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_path_below_the_gateway() {
        let below = |base: &str| below(&base.parse().unwrap(), &["tenant", "a b/%", "x"]).to_string();
        assert_eq!(below("http://h:9091"), "http://h:9091/tenant/a%20b%2F%25/x");
        assert_eq!(below("http://h/gateway/"), "http://h/gateway/tenant/a%20b%2F%25/x");
    }
}
