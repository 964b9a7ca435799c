//! The HTTP client of all buckets: it sends a request only to the host that the request is for.
//!
//! The library's own client follows any redirect. To another host it omits the signature but still sends headers that a
//! service defines itself, such as Amazon's session token; a request for credentials would hand over what it
//! authenticates with. So only redirects to the same scheme, host and port are followed; any other counts as a refusal.

use jiff::SignedDuration;
use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::{ClientOptions, Error};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Url};

use super::answers::Answers;

/// Redirects followed per request.
const MAX_REDIRECTS: usize = 10;

/// Makes clients that stay on a request's host: for buckets, and for the sources of their credentials.
#[derive(Debug)]
pub(super) struct SameHost;

impl HttpConnector for SameHost {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let duration = |key| {
            let text = options.get_config_value(&key)?;
            text.parse().ok().map(|duration: SignedDuration| duration.unsigned_abs())
        };
        let is_set = |key| options.get_config_value(&key).as_deref() == Some("true");
        let mut builder = Client::builder()
            .user_agent(concat!("recsys-pipelines/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(stay))
            .https_only(!is_set(ClientConfigKey::AllowHttp));
        if is_set(ClientConfigKey::Http1Only) {
            builder = builder.http1_only();
        }
        if let Some(timeout) = duration(ClientConfigKey::ConnectTimeout) {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(timeout) = duration(ClientConfigKey::ReadTimeout) {
            builder = builder.read_timeout(timeout);
        }
        let client = builder.build();
        let failed = |error| Error::Generic { store: "HTTP client", source: Box::new(error) };
        Ok(HttpClient::new(Answers(client.map_err(failed)?)))
    }
}

/// Follows a redirect to the same scheme, host and port.
fn stay(attempt: Attempt<'_>) -> Action {
    let origin =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let stays = attempt.previous().first().is_some_and(|first| origin(first) == origin(attempt.url()));
    if stays && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
}
