//! The HTTP client of all buckets: it sends a request only to the host that the request is for, and corrects the status of
//! answers.
//!
//! The library's own client follows any redirect. To another host it omits the signature but still sends headers that a
//! service defines itself, such as Amazon's session token; a request for credentials would hand over what it
//! authenticates with. So only redirects to the same scheme, host and port are followed; any other counts as a refusal.
//!
//! The library decides by status alone: it retries after a server error and gives up after any other refusal. But
//! services report temporary failures with 4xx, and requests they will never support with 501. Such an answer is passed
//! on with a status that leads to the right decision; its own status goes into the body, where messages find it.

use async_trait::async_trait;
use jiff::SignedDuration;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Error};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, StatusCode, Url};

use super::bucket_error::{PASSING, STATUS, UNDONE, element};

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

/// Sends requests and corrects the status of their answers.
#[derive(Debug)]
struct Answers(Client);

#[async_trait]
impl HttpService for Answers {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.call(request).await?;
        let status = response.status();
        if !status.is_client_error() && status != StatusCode::NOT_IMPLEMENTED {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        let body = body.bytes().await?;
        let text = String::from_utf8_lossy(&body);
        let code = element(&text, "Code").unwrap_or_default();
        if status == StatusCode::NOT_IMPLEMENTED {
            parts.status = StatusCode::BAD_REQUEST;
        } else if UNDONE.contains(&code) || PASSING.contains(&code) {
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
        } else {
            return Ok(HttpResponse::from_parts(parts, body.into()));
        }
        let body = format!("{text}<{STATUS}>{status}</{STATUS}>");
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}
