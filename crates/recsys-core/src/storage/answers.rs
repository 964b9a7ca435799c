//! Corrects the status of answers, so that `object_store` retries the right requests.
//!
//! The library decides by status alone: it retries after a server error and gives up after any other refusal. But
//! services report temporary failures with 4xx, and requests they will never support with 501. Such an answer is passed
//! on with a status that leads to the right decision; its own status goes into the body, where messages find it.

use async_trait::async_trait;
use object_store::client::{HttpError, HttpRequest, HttpResponse, HttpService};
use reqwest::{Client, StatusCode};

use super::bucket_error::{PASSING, STATUS, UNDONE, element};

/// Sends requests and corrects the status of their answers.
#[derive(Debug)]
pub(super) struct Answers(pub(super) Client);

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
