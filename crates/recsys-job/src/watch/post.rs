//! POST requests to services, with bounded time and retries.
//!
//! URL and headers may hold secrets, so errors contain neither; callers name the setting instead.

#[cfg(feature = "http")]
use std::io;
use std::time::Duration;

#[cfg(feature = "http")]
use backon::{ExponentialBuilder, Retryable};
#[cfg(feature = "http")]
use http::StatusCode;
use http::header::HeaderMap;
#[cfg(feature = "http")]
use recsys_core::threads::interrupt;
#[cfg(feature = "http")]
use recsys_core::threads::silence::Silence;
#[cfg(feature = "http")]
use reqwest::{Client, redirect::Policy};
use url::Url;

/// Retries after a transient error.
#[cfg(feature = "http")]
const RETRIES: usize = 2;

/// A request. Never show it: it may hold secrets.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "nothing is sent"))]
pub(crate) struct Post {
    /// Name of the service in messages.
    pub(crate) to: &'static str,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Timeout per attempt.
    pub(crate) timeout: Duration,
}

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

#[cfg(feature = "http")]
impl Post {
    /// Sends the request, with up to two retries; no retries once the process was asked to stop.
    pub(crate) fn send(&self) -> Result<(), PostError> {
        // Fails after the first call in a process, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Never follow redirects: the headers are for the configured host only.
        let client = Client::builder().timeout(self.timeout).redirect(Policy::none()).build();
        let client = client.map_err(|error| PostError::Connection(error.without_url()))?;
        let attempt = async || {
            let request = client.post(self.url.clone()).headers(self.headers.clone());
            let answer = request.body(self.body.clone()).send().await.map_err(|error| {
                if error.is_timeout() {
                    PostError::Timeout(self.timeout)
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
        let longest = self.timeout.saturating_mul(tries);
        runtime.block_on(Silence::default().watch(self.to, longest, attempts))
    }
}

/// Error of every request in a build without the `http` feature.
#[cfg(not(feature = "http"))]
#[derive(Debug, thiserror::Error)]
#[error("this program was built without the feature `http`")]
pub(crate) struct PostError;

#[cfg(not(feature = "http"))]
impl Post {
    /// Always fails. Never called in practice: without the feature, the configuration rejects every URL.
    #[expect(clippy::unused_self, reason = "called as the one that sends")]
    pub(crate) fn send(&self) -> Result<(), PostError> {
        Err(PostError)
    }
}
