//! POST requests to services, with bounded time and retries.
//!
//! URL and headers may hold secrets, so errors contain neither; callers name the setting instead.

#[cfg(feature = "http")]
use std::{io, time::Duration};

#[cfg(feature = "http")]
use backon::{ExponentialBuilder, Retryable};
#[cfg(feature = "http")]
use http::StatusCode;
#[cfg(feature = "http")]
use recsys_core::threads::{interrupt, silence::Silence};
#[cfg(feature = "http")]
use reqwest::{Client, redirect::Policy};

use crate::config::Request;

/// Retries after a transient error.
#[cfg(feature = "http")]
const RETRIES: usize = 2;

/// Why a request failed.
#[cfg(feature = "http")]
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("cannot prepare a request")]
    Setup(#[from] io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// No connection, or it broke off.
    #[error("cannot be reached")]
    Connection(#[source] reqwest::Error),
    #[error("answered {0}")]
    Status(StatusCode),
}

#[cfg(feature = "http")]
impl PostError {
    /// Whether the same request may succeed the next time.
    fn is_transient(&self) -> bool {
        match self {
            Self::Setup(_) => false,
            Self::Timeout(_) | Self::Connection(_) => true,
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
        }
    }
}

/// Sends a request to a service, which messages call `to`. Tries up to two times more, unless the process was asked to
/// stop.
#[cfg(feature = "http")]
pub(crate) fn send(to: &'static str, request: &Request) -> Result<(), PostError> {
    let Request { url, headers, body, timeout } = request;
    // Fails after the first call in a process, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Never follow redirects: the headers are for the configured host only.
    let client = Client::builder().timeout(*timeout).redirect(Policy::none()).build();
    let client = client.map_err(|error| PostError::Connection(error.without_url()))?;
    let attempt = async || {
        let request = client.post(url.clone()).headers(headers.clone());
        let answer = request.body(body.clone()).send().await.map_err(|error| {
            if error.is_timeout() {
                PostError::Timeout(*timeout)
            } else {
                PostError::Connection(error.without_url())
            }
        })?;
        if answer.status().is_success() { Ok(()) } else { Err(PostError::Status(answer.status())) }
    };
    let delays = ExponentialBuilder::default().with_jitter().with_min_delay(Duration::from_millis(200));
    let worth_it = |error: &PostError| error.is_transient() && interrupt::check().is_ok();
    let attempts = attempt.retry(delays.with_max_times(RETRIES)).sleep(tokio::time::sleep).when(worth_it);
    let tries = u32::try_from(RETRIES + 1).unwrap_or(u32::MAX);
    let longest = timeout.saturating_mul(tries);
    runtime.block_on(Silence::default().watch(to, longest, attempts))
}

/// Error of every request in a build without the `http` feature.
#[cfg(not(feature = "http"))]
#[derive(Debug, thiserror::Error)]
#[error("this program was built without the feature `http`")]
pub(crate) struct PostError;

/// Always fails. Never called in practice: without the feature, the configuration rejects every URL.
#[cfg(not(feature = "http"))]
pub(crate) fn send(_to: &'static str, _request: &Request) -> Result<(), PostError> {
    Err(PostError)
}
