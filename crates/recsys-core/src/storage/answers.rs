//! Answers of a service as the library must understand them.
//!
//! The library decides by the status alone whether a request is tried again: after a server error it is, after any other
//! refusal it is not. Services say in their own ways that a request may pass the next time, and with 501 that it never
//! will. Such an answer goes on with a status that leads to the right decision, and with its own status in the body, from
//! where messages take it.

use async_trait::async_trait;
use object_store::client::{HttpError, HttpRequest, HttpResponse, HttpService};
use reqwest::{Client, StatusCode};

use super::fault::{PASSING, STATUS, UNDONE, element};

/// Sends requests, and hands on their answers.
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
