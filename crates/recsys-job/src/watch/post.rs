//! A POST to a service that is told something: bounded in time and tries, and its address stays out of messages.
//!
//! The address and the headers may hold secrets, so neither is in an error; whoever calls names the setting instead.

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

/// How often a request that may succeed the next time is tried again.
#[cfg(feature = "http")]
const RETRIES: usize = 2;

/// What is sent, and where. Not to be shown.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "nothing is sent"))]
pub(crate) struct Post {
    /// What messages call the service.
    pub(crate) to: &'static str,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// How long each try may take.
    pub(crate) timeout: Duration,
}

/// Why it did not arrive.
#[cfg(feature = "http")]
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// There is no client.
    #[error("cannot prepare a request")]
    Setup(#[from] io::Error),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// There is no connection, or it broke off.
    #[error("cannot be reached")]
    Connection(#[source] reqwest::Error),
    /// It was not accepted.
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
    /// Sends it, up to three times. A process that was asked to stop tries once.
    pub(crate) fn send(&self) -> Result<(), PostError> {
        // Only the first call of a process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Elsewhere than at the address that was set, nobody is to see the headers.
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
        runtime.block_on(Silence::default().told(self.to, longest, attempts))
    }
}

/// Why nothing arrives of a program that was built without HTTP.
#[cfg(not(feature = "http"))]
#[derive(Debug, thiserror::Error)]
#[error("this program was built without the feature `http`")]
pub(crate) struct PostError;

#[cfg(not(feature = "http"))]
impl Post {
    /// Sends nothing. The configuration refuses every address before.
    #[expect(clippy::unused_self, reason = "called as the one that sends")]
    pub(crate) fn send(&self) -> Result<(), PostError> {
        Err(PostError)
    }
}
