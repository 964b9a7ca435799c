//! An HTTP server that records requests and gives scripted answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::proxy::read_head;

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method, path and query, as in `POST /a/b?c`.
    pub line: String,
    /// Headers in order, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// Value of the first header called `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// How to answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// This status, without a body.
    Status(u16),
    /// A 307 redirect to another path on this server.
    Redirect,
    /// A 307 redirect to another server.
    RedirectTo(SocketAddr),
    /// Status 200 with this body.
    Body(&'static str),
    /// Status 200 with a long body, sent at a few bytes per second.
    DripBody,
    /// A head sent at a few bytes per second.
    DripHead,
    /// No answer until the client gives up.
    Never,
}

/// Delay before each byte of a dripped answer.
const DRIP: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct InboxState {
    requests: Mutex<Vec<Request>>,
    /// Answers in order; the last one is repeated.
    answers: Mutex<Vec<Response>>,
}

/// A running server; it lives as long as the process.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<InboxState>,
    address: SocketAddr,
}

impl Inbox {
    /// Starts a server that gives `answers` in order, then repeats the last one.
    pub fn start(answers: &[Response]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(InboxState { answers: Mutex::new(answers.to_vec()), ..InboxState::default() });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&server);
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { shared, address }
    }

    /// URL of the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes the requests received since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock())
    }

    /// Replaces the remaining answers.
    pub fn answer(&self, answers: &[Response]) {
        *self.shared.answers.lock() = answers.to_vec();
    }
}

/// Headers that make an answer look like an object of a bucket.
const OF_DOCUMENT: &str = "ETag: \"any\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

/// Sends byte by byte until the client is gone.
fn drip(mut stream: &TcpStream, bytes: &[u8]) {
    for byte in bytes {
        thread::sleep(DRIP);
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
    }
}

impl InboxState {
    fn serve(&self, mut stream: &TcpStream) {
        let mut received = Vec::new();
        let Ok(Some(end)) = read_head(stream, &mut received) else { return };
        let mut body = received.split_off(end);
        let head = String::from_utf8(received).unwrap();
        let mut lines = head.lines();
        let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
        let missing = length - body.len();
        stream.take(missing as u64).read_to_end(&mut body).unwrap();
        let answer = {
            // Both locks are held, so that answers follow the order of the requests.
            let mut requests = self.requests.lock();
            requests.push(Request { line, headers, body: String::from_utf8(body).unwrap() });
            let mut answers = self.answers.lock();
            if answers.len() > 1 { answers.remove(0) } else { answers[0] }
        };
        let (status, more, body) = match answer {
            Response::Status(status) => (status, String::new(), ""),
            Response::Redirect => (307, "Location: /elsewhere\r\n".to_owned(), ""),
            Response::RedirectTo(address) => (307, format!("Location: http://{address}/elsewhere\r\n"), ""),
            Response::Body(body) => (200, OF_DOCUMENT.to_owned(), body),
            Response::DripBody => {
                let head = format!("HTTP/1.1 200 OK\r\n{OF_DOCUMENT}Content-Length: 1000000\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
                drip(stream, &b" ".repeat(1_000_000));
                return;
            }
            Response::DripHead => {
                drip(stream, "HTTP/1.1 200 OK\r\n".repeat(1000).as_bytes());
                return;
            }
            Response::Never => {
                // Wait until the client closes the connection.
                let _ = stream.read(&mut [0]);
                return;
            }
        };
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} As-Told\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        );
        // The client may have closed the connection.
        let _ = stream.write_all(text.as_bytes());
    }
}
