//! A proxy in front of an HTTP server that injects what real servers do not do on demand: wrong, partial or missing
//! answers.
//!
//! Each connection carries one request: the proxy adds `Connection: close`, so that the server closes the connection
//! after its answer and the client opens a new one. All other bytes pass unchanged.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

/// How long to keep an answered connection open for a client that is still sending. Closing it earlier would reset it,
/// and the client could lose the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Fault to inject into a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers in place of the server, which never sees the request.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body, usually the XML of an S3 error.
        body: String,
    },
    /// Cuts the server's answer after this many bytes of its body.
    Truncate(u64),
    /// Like `Answer`, but only for requests with a header whose name begins with this prefix.
    AnswerWith(&'static str, u16, String),
    /// Like `Answer`, but only for requests without such a header.
    AnswerWithout(&'static str, u16, String),
    /// Removes the length from the server's answer.
    WithoutLength,
    /// Does nothing until the client gives up or the proxy is dropped. The server never sees the request.
    Stall,
    /// Closes the connection at once. The server never sees the request.
    Drop,
    /// Lets the server carry out the request, then closes the connection without an answer.
    AnswerLost,
    /// Turns the server's 412 into 200: to the client, conditions seem to be ignored.
    IgnoreCondition,
}

/// How much of an answer passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    All,
    /// The head, and this many bytes of the body.
    Some(u64),
    Nothing,
    /// Everything except the length of the body.
    WithoutLength,
    /// Everything, but a refusal passes as a success.
    Success,
}

#[derive(Debug)]
struct Rule {
    method: String,
    path_part: String,
    left: Option<usize>,
    fault: Fault,
}

/// A running proxy. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream` (`host:port`), on a free port.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rules: Mutex::default(),
            requests: Mutex::default(),
            sockets: Mutex::new(Sockets::default()),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { shared, address, acceptor: Some(acceptor) }
    }

    /// URL of the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Applies `fault` to the next `times` requests (all, if none) of `method` whose path and query contain
    /// `path_part`. The first matching rule counts.
    pub fn rule(&self, method: &str, path_part: &str, times: Option<usize>, fault: Fault) {
        let rule = Rule { method: method.to_owned(), path_part: path_part.to_owned(), left: times, fault };
        self.shared.rules.lock().push(rule);
    }

    /// Lets the next `times` requests of `method` whose path and query contain `path_part` pass unharmed, whatever
    /// later rules say.
    pub fn pass(&self, method: &str, path_part: &str, times: usize) {
        self.rule(method, path_part, Some(times), Fault::Truncate(u64::MAX));
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.shared.rules.lock().clear();
    }

    /// All requests so far as `METHOD path`, in order of arrival.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop();
        // The acceptor checks the stop flag only on a new connection, so open one.
        if TcpStream::connect(self.address).is_ok() {
            let _ = self.acceptor.take().expect("dropped once").join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
    sockets: Mutex<Sockets>,
}

/// The open connections. Closing them ends the threads that read from them.
#[derive(Debug, Default)]
struct Sockets {
    stopped: bool,
    next: u64,
    open: BTreeMap<u64, TcpStream>,
}

/// A connection that is closed when it is dropped, or when the proxy is.
struct Connection<'a> {
    stream: TcpStream,
    number: u64,
    shared: &'a Shared,
}

impl Deref for Connection<'_> {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.shared.sockets.lock().open.remove(&self.number);
    }
}

impl Shared {
    fn stop(&self) {
        let mut sockets = self.sockets.lock();
        sockets.stopped = true;
        for stream in sockets.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn accept(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for stream in listener.incoming() {
                if self.sockets.lock().stopped {
                    break;
                }
                // Errors here come from clients that went away; client and test notice by themselves.
                scope.spawn(move || stream.and_then(|stream| self.serve(stream)));
            }
        });
    }

    fn connection(&self, stream: TcpStream) -> io::Result<Connection<'_>> {
        stream.set_nodelay(true)?;
        let mut sockets = self.sockets.lock();
        if sockets.stopped {
            return Err(io::Error::other("the proxy is stopped"));
        }
        let number = sockets.next;
        sockets.next += 1;
        sockets.open.insert(number, stream.try_clone()?);
        Ok(Connection { stream, number, shared: self })
    }

    /// The fault to inject into a request, if a rule matches.
    fn fault(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.method == method && path.contains(&rule.path_part) && rule.left != Some(0))?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let client = self.connection(stream)?;
        let mut received = Vec::new();
        let Some(end) = read_head(&client, &mut received)? else { return Ok(()) };
        let (head, body) = received.split_at(end);
        let text = String::from_utf8_lossy(head);
        let mut words = text.split_ascii_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // Both locks are held, so that a recorded request has had its rule applied.
        let fault = {
            let mut requests = self.requests.lock();
            requests.push(format!("{method} {path}"));
            self.fault(method, path)
        };
        match fault {
            None => self.forward(&client, head, body, Pass::All),
            Some(Fault::Truncate(bytes)) => self.forward(&client, head, body, Pass::Some(bytes)),
            Some(Fault::AnswerLost) => self.forward(&client, head, body, Pass::Nothing),
            Some(Fault::IgnoreCondition) => self.forward(&client, head, body, Pass::Success),
            Some(Fault::Answer { status, body }) => answer(&client, method, status, &body),
            Some(Fault::AnswerWith(header, status, body)) if has_header(&text, header) => {
                answer(&client, method, status, &body)
            }
            Some(Fault::AnswerWithout(header, status, body)) if !has_header(&text, header) => {
                answer(&client, method, status, &body)
            }
            Some(Fault::AnswerWith(..) | Fault::AnswerWithout(..)) => {
                self.forward(&client, head, body, Pass::All)
            }
            Some(Fault::WithoutLength) => self.forward(&client, head, body, Pass::WithoutLength),
            Some(Fault::Stall) => io::copy(&mut &*client, &mut io::sink()).map(drop),
            Some(Fault::Drop) => Ok(()),
        }
    }

    /// Forwards a request, and as much of the answer as `pass` allows.
    fn forward(&self, client: &TcpStream, head: &[u8], body: &[u8], pass: Pass) -> io::Result<()> {
        let upstream = TcpStream::connect(&self.upstream).and_then(|stream| self.connection(stream));
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(error) => return answer(client, "", 502, &format!("{}: {error}", self.upstream)),
        };
        let upstream: &TcpStream = &upstream;
        thread::scope(|scope| {
            let (sender, sent) = mpsc::channel::<()>();
            scope.spawn(move || {
                let _ends_with_this_thread = sender;
                let mut to = upstream;
                let head = with_connection_close(head);
                let done = to.write_all(&head).and_then(|()| to.write_all(body));
                let _ = done.and_then(|()| io::copy(&mut { client }, &mut to));
                let _ = upstream.shutdown(Shutdown::Write);
                // A server may answer before it has read everything; drain the rest so that the client does not block.
                let _ = io::copy(&mut { client }, &mut io::sink());
            });
            let passed = pass_back(upstream, client, pass);
            let _ = upstream.shutdown(Shutdown::Both);
            if matches!(pass, Pass::All | Pass::WithoutLength | Pass::Success) {
                let _ = client.shutdown(Shutdown::Write);
                let _ = sent.recv_timeout(LINGER);
            }
            let _ = client.shutdown(Shutdown::Both);
            passed
        })
    }
}

/// Reads at least one complete head and returns its length; none if the stream ends first.
pub(crate) fn read_head(mut stream: &TcpStream, received: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut chunk = [0; 8192];
    loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(None);
        }
        received.extend_from_slice(&chunk[..count]);
    }
}

/// Whether a head has a header whose name begins with `name`.
fn has_header(head: &str, name: &str) -> bool {
    head.lines().any(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
}

/// Removes the length from a head, so that the body ends with the connection.
fn without_length(head: &[u8]) -> Vec<u8> {
    let name = b"content-length:";
    let is_length = |line: &&[u8]| line.get(..name.len()).is_some_and(|line| line.eq_ignore_ascii_case(name));
    head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_length(line)).flatten().copied().collect()
}

fn with_connection_close(head: &[u8]) -> Vec<u8> {
    let name = b"connection:";
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut changed = lines.next().unwrap_or_default().to_vec();
    changed.extend_from_slice(b"Connection: close\r\n");
    for line in
        lines.filter(|line| !line.get(..name.len()).is_some_and(|line| line.eq_ignore_ascii_case(name)))
    {
        changed.extend_from_slice(line);
    }
    changed
}

/// Passes an answer back; see [`Shared::forward`] for `pass`. Interim answers such as `100 Continue` always pass, since
/// a client may wait for one before it sends its body.
fn pass_back(mut upstream: &TcpStream, mut client: &TcpStream, pass: Pass) -> io::Result<()> {
    let mut received = Vec::new();
    let end = loop {
        let Some(end) = read_head(upstream, &mut received)? else { return Ok(()) };
        if !received.starts_with(b"HTTP/1.1 1") {
            break end;
        }
        client.write_all(&received[..end])?;
        received.drain(..end);
    };
    let limit = match pass {
        Pass::Nothing => return io::copy(&mut upstream, &mut io::sink()).map(drop),
        Pass::Success if received[b"HTTP/1.1 ".len()..].starts_with(b"412") => {
            let success =
                "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"any\"\r\nContent-Length: 0\r\n\r\n";
            client.write_all(success.as_bytes())?;
            return io::copy(&mut upstream, &mut io::sink()).map(drop);
        }
        Pass::Some(limit) => limit,
        Pass::All | Pass::WithoutLength | Pass::Success => u64::MAX,
    };
    let (head, body) = received.split_at(end);
    if pass == Pass::WithoutLength {
        client.write_all(&without_length(head))?;
    } else {
        client.write_all(head)?;
    }
    io::copy(&mut body.chain(upstream).take(limit), &mut client).map(drop)
}

fn answer(mut client: &TcpStream, method: &str, status: u16, body: &str) -> io::Result<()> {
    let mut text = format!(
        "HTTP/1.1 {status} Injected\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        text.push_str(body);
    }
    client.write_all(text.as_bytes())?;
    client.shutdown(Shutdown::Write)?;
    client.set_read_timeout(Some(LINGER))?;
    io::copy(&mut client, &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patience::wait_until;
    use std::time::Instant;

    /// Head and body of a request.
    type Request = (String, Vec<u8>);

    /// A server for one request per entry of `bodies`; it answers with that entry and returns the requests.
    fn upstream(bodies: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<Request>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || bodies.into_iter().map(|body| take(&listener, &body)).collect());
        (address, server)
    }

    fn take(listener: &TcpListener, body: &[u8]) -> Request {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        let end = read_head(&stream, &mut received).unwrap().expect("a head");
        let mut got = received.split_off(end);
        let head = String::from_utf8(received).unwrap();
        if head.contains("Expect: 100-continue\r\n") {
            assert!(got.is_empty(), "the client does not wait");
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let missing = length.map_or(0, |length| length.parse::<usize>().unwrap()) - got.len();
        (&stream).take(missing as u64).read_to_end(&mut got).unwrap();
        let head_of_answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        // The client may be gone by now.
        let _ = stream.write_all(head_of_answer.as_bytes()).and_then(|()| stream.write_all(body));
        (head, got)
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Everything a client receives. A reset counts as an end.
    fn rest(mut stream: &TcpStream) -> Vec<u8> {
        let mut got = Vec::new();
        if let Err(error) = stream.read_to_end(&mut got) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        got
    }

    fn request(proxy: &Proxy, text: &str) -> String {
        let mut stream = connect(proxy);
        stream.write_all(text.as_bytes()).unwrap();
        String::from_utf8(rest(&stream)).unwrap()
    }

    /// Five megabytes of ASCII with a period that is no buffer size.
    fn large() -> Vec<u8> {
        (0..5_000_000_u32).map(|number| (number % 127).to_le_bytes()[0]).collect()
    }

    #[test]
    fn a_request_passes_with_connection_close() {
        let (address, server) = upstream(vec![b"hello".to_vec()]);
        let proxy = Proxy::start(&address);
        let text = "GET /b/k?x=1 HTTP/1.1\r\nHost: h\r\nconnection: keep-alive\r\nX-A: b\r\n\r\n";
        assert_eq!(request(&proxy, text), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let head = "GET /b/k?x=1 HTTP/1.1\r\nConnection: close\r\nHost: h\r\nX-A: b\r\n\r\n";
        assert_eq!(server.join().unwrap(), [(head.to_owned(), Vec::new())]);
        assert_eq!(proxy.requests(), ["GET /b/k?x=1"]);
    }

    #[test]
    fn large_bodies_pass_both_ways() {
        let (address, server) = upstream(vec![large()]);
        let proxy = Proxy::start(&address);
        let mut stream = connect(&proxy);
        stream.write_all(b"PUT /k HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n").unwrap();
        stream.write_all(&large()).unwrap();
        let got = rest(&stream);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n";
        assert!(got.strip_prefix(head) == Some(&large()));
        assert!(server.join().unwrap()[0].1 == large());
    }

    #[test]
    fn a_client_that_waits_to_continue_is_told_to() {
        for fault in [None, Some(Fault::AnswerLost)] {
            let (address, server) = upstream(vec![Vec::new()]);
            let proxy = Proxy::start(&address);
            let lost = fault.is_some();
            if let Some(fault) = fault {
                proxy.rule("PUT", "", None, fault);
            }
            let mut stream = connect(&proxy);
            stream
                .write_all(b"PUT /k HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
                .unwrap();
            let mut told = [0; 25];
            stream.read_exact(&mut told).unwrap();
            assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(b"hello").unwrap();
            let answer: &[u8] = if lost { b"" } else { b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };
            assert_eq!(rest(&stream), answer);
            assert_eq!(server.join().unwrap()[0].1, b"hello");
        }
    }

    #[test]
    fn a_client_that_dies_is_dead_for_the_server() {
        let (address, server) = upstream(vec![Vec::new()]);
        let proxy = Proxy::start(&address);
        connect(&proxy).write_all(b"PUT /k HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").unwrap();
        assert_eq!(server.join().unwrap()[0].1, b"hello");
    }

    #[test]
    fn an_answer_is_made_up() {
        // No server listens there.
        let proxy = Proxy::start("127.0.0.1:1");
        let fault = Fault::Answer { status: 503, body: "<Error><Code>SlowDown</Code></Error>".into() };
        proxy.rule("PUT", "/k", None, fault.clone());
        proxy.rule("HEAD", "/k", None, fault);
        let head = "HTTP/1.1 503 Injected\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: 36\r\n\r\n";
        let whole = format!("{head}<Error><Code>SlowDown</Code></Error>");
        assert_eq!(request(&proxy, "PUT /k HTTP/1.1\r\n\r\n"), whole);
        assert_eq!(request(&proxy, "HEAD /k HTTP/1.1\r\n\r\n"), head);
        // A client that sends a large body before it reads.
        let mut stream = connect(&proxy);
        stream.write_all(b"PUT /k HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n").unwrap();
        stream.write_all(&large()).unwrap();
        assert_eq!(rest(&stream), whole.as_bytes());
        // A client that waits for `100 Continue` before it sends the body.
        let text = "PUT /k HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        assert_eq!(request(&proxy, text), whole);
    }

    #[test]
    fn an_answer_is_truncated() {
        let (address, server) = upstream(vec![b"hello".to_vec(), b"hello".to_vec(), large()]);
        let proxy = Proxy::start(&address);
        proxy.rule("GET", "/k", Some(1), Fault::Truncate(2));
        proxy.rule("GET", "/k", Some(1), Fault::Truncate(0));
        proxy.rule("GET", "/k", Some(1), Fault::Truncate(3_000_000));
        let get = "GET /k HTTP/1.1\r\n\r\n";
        assert_eq!(request(&proxy, get), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
        assert_eq!(request(&proxy, get), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let got = request(&proxy, get);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n";
        assert!(got.starts_with(head));
        assert!(got.as_bytes()[head.len()..] == large()[..3_000_000]);
        assert_eq!(server.join().unwrap().len(), 3);
    }

    #[test]
    fn a_connection_stalls_until_the_proxy_is_dropped() {
        let proxy = Proxy::start("127.0.0.1:1");
        proxy.rule("PUT", "/k", None, Fault::Stall);
        let mut stream = connect(&proxy);
        stream.write_all(b"PUT /k HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n").unwrap();
        stream.write_all(&large()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let nothing = stream.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let begin = Instant::now();
        drop(proxy);
        assert!(begin.elapsed() < LINGER);
        assert_eq!(rest(&stream), b"");
    }

    #[test]
    fn a_connection_is_dropped() {
        let proxy = Proxy::start("127.0.0.1:1");
        proxy.rule("GET", "", None, Fault::Drop);
        assert_eq!(request(&proxy, "GET /k HTTP/1.1\r\n\r\n"), "");
        assert_eq!(proxy.requests(), ["GET /k"]);
    }

    #[test]
    fn an_answer_is_lost_and_the_work_done() {
        let (address, server) = upstream(vec![large()]);
        let proxy = Proxy::start(&address);
        proxy.rule("PUT", "/k", None, Fault::AnswerLost);
        assert_eq!(request(&proxy, "PUT /k HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), "");
        assert_eq!(server.join().unwrap()[0].1, b"hello");
    }

    #[test]
    fn rules_count_and_the_first_one_wins() {
        let (address, server) = upstream(vec![Vec::new(); 3]);
        let proxy = Proxy::start(&address);
        let answer = |status| Fault::Answer { status, body: String::new() };
        proxy.rule("GET", "/a", Some(2), answer(500));
        proxy.rule("GET", "?list", None, answer(501));
        let status = |text: &str| request(&proxy, &format!("{text} HTTP/1.1\r\n\r\n"))[9..12].to_owned();
        assert_eq!(status("GET /a?list"), "500");
        assert_eq!(status("PUT /a"), "200");
        assert_eq!(status("GET /b"), "200");
        assert_eq!(status("GET /x/a"), "500");
        assert_eq!(status("GET /a"), "200");
        assert_eq!(status("GET /a?list"), "501");
        assert_eq!(server.join().unwrap().len(), 3);
        assert_eq!(proxy.requests().len(), 6);
    }

    #[test]
    fn a_missing_server_is_named() {
        let proxy = Proxy::start("127.0.0.1:1");
        let answer = request(&proxy, "GET /k HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("127.0.0.1:1: "), "{answer}");
    }

    #[test]
    fn requests_run_side_by_side() {
        let (address, server) = upstream(vec![b"hello".to_vec(); 40]);
        let proxy = Proxy::start(&address);
        proxy.rule("GET", "/slow", None, Fault::Stall);
        let mut slow = connect(&proxy);
        slow.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert!(request(&proxy, "GET /k HTTP/1.1\r\n\r\n").ends_with("hello"));
                    }
                });
            }
        });
        server.join().unwrap();
        // Finished connections are cleaned up.
        drop(slow);
        wait_until("connections stay open", || proxy.shared.sockets.lock().open.is_empty());
    }
}
