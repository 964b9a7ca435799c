//! S3 servers that redirect requests elsewhere or keep a client busy forever.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use recsys_testkit::inbox::{Inbox, Request, Response};
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::shop::SCOPE;
use serde_json::json;

const TOKEN: &str = "a-session-token-that-nobody-else-may-see";

/// A sandbox with a registry at `registry_dir` and short timeouts.
fn sandbox(registry_dir: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let storage = json!({"timeout_s": 1, "retry_timeout_s": 0});
    let config = json!({"out_dir": "out", "registry_dir": registry_dir, "storage": storage});
    sandbox.write("config.json", config.to_string());
    sandbox
}

/// Runs a command and fails if it does not end by itself.
fn bounded(sandbox: &Sandbox, line: &str, environment: &[(&str, &str)]) -> Finished {
    sandbox.run_bounded("recsys-pipelines", &format!("{line} --config config.json"), environment)
}

/// The same with an S3 bucket at `endpoint`.
fn of_s3(line: &str, endpoint: &str) -> Finished {
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", TOKEN),
    ];
    bounded(&sandbox("s3://bucket/registry"), line, &environment)
}

/// A server that redirects everything, and its target.
fn redirecting() -> (Inbox, Inbox) {
    let other = Inbox::start(&[Response::Status(200)]);
    (Inbox::start(&[Response::RedirectTo(other.address())]), other)
}

fn lines(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.line.as_str()).collect()
}

#[test]
fn a_request_of_s3_goes_to_no_other_host() {
    let (server, other) = redirecting();
    for line in [format!("status {SCOPE}"), "status".to_owned()] {
        let parts = [server.url(), "answered 307".to_owned(), "to which no request is sent".to_owned()];
        of_s3(&line, &server.url()).fails(2, &parts.each_ref().map(String::as_str));
        let asked = server.take();
        assert!(
            asked.iter().all(|request| request.header("x-amz-security-token") == Some(TOKEN)),
            "{asked:?}"
        );
        assert_eq!((asked.len(), other.take()), (1, vec![]), "{line}");
    }
}

#[test]
fn a_redirect_on_the_same_host_is_followed() {
    let server = Inbox::start(&[Response::Redirect, Response::Status(404)]);
    of_s3(&format!("status {SCOPE}"), &server.url());
    let asked = server.take();
    assert_eq!(lines(&asked)[1..], ["GET /elsewhere"], "{asked:?}");
}

#[test]
fn a_request_of_azure_goes_to_no_other_host() {
    let (server, other) = redirecting();
    let environment = [("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", &server.url())];
    let finished = bounded(&sandbox("az://container/registry"), &format!("status {SCOPE}"), &environment);
    finished.fails(2, &["Azure Blob Storage answered 307", "to which no request is sent"]);
    assert_eq!((server.take().len(), other.take()), (1, vec![]));
}

#[test]
fn a_request_for_credentials_goes_to_no_other_host() {
    let (server, other) = redirecting();
    let sandbox = sandbox("s3://bucket/registry");
    let token = sandbox.write("token", TOKEN);
    // Nothing listens there, and no request is sent before there are credentials.
    let bucket = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let uri = format!("{}/credentials", server.url());
    let environment = [
        ("AWS_ENDPOINT_URL", bucket.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let finished = bounded(&sandbox, &format!("status {SCOPE}"), &environment);
    assert!(finished.code == Some(2) && !finished.stderr.contains(TOKEN), "{finished:#?}");
    let asked = server.take();
    assert_eq!(lines(&asked), ["GET /credentials"]);
    assert_eq!(asked[0].header("authorization"), Some(TOKEN));
    assert_eq!(other.take(), []);
}

#[test]
fn an_answer_in_another_language_is_said_to_be_that() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"));
        }
    });
    of_s3(&format!("status {SCOPE}"), &url).fails(2, &[&url, "does not speak HTTP as it should"]);
}

#[test]
fn an_answer_that_drips_has_an_end() {
    let slow = "comes with less than 1024 bytes a second";
    let server = Inbox::start(&[Response::DripBody]);
    of_s3(&format!("status {SCOPE}"), &server.url()).fails(1, &["/demo/home/manifest.json", slow]);
    // A listing consists of several answers, each read as a whole.
    of_s3("status", &server.url()).fails(1, &["cannot list s3://bucket/registry", "did not answer in time"]);
    let server = Inbox::start(&[Response::DripHead]);
    of_s3(&format!("status {SCOPE}"), &server.url()).fails(1, &["did not answer in time"]);
    of_s3("status", &server.url()).fails(1, &["did not answer in time"]);
}

#[test]
fn a_listing_without_end_is_refused() {
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>\
                <Contents><Key>registry/current/demo/home/manifest.json</Key><Size>1</Size>\
                <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>";
    let server = Inbox::start(&[Response::Body(page)]);
    let again = "it comes to \"current/demo/home/manifest.json\" again";
    of_s3("status", &server.url())
        .fails(2, &["cannot list s3://bucket/registry/current", "without end", again]);
    // Pages without keys never end.
    let empty = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>\
                 </ListBucketResult>";
    let server = Inbox::start(&[Response::Body(empty)]);
    of_s3("status", &server.url()).fails(1, &["cannot list s3://bucket/registry", "did not answer in time"]);
}

#[test]
fn a_document_of_a_bucket_is_bounded() {
    let body: &'static str = Box::leak(" ".repeat(2 << 20).into_boxed_str());
    let server = Inbox::start(&[Response::Body(body)]);
    let parts = ["/demo/home/manifest.json", "it has 2097152 bytes, and such a document has at most 1048576"];
    of_s3(&format!("status {SCOPE}"), &server.url()).fails(3, &parts);
}
