//! A proxy in front of an HTTP server that injects what real servers do not do on demand: wrong, partial or missing
//! answers.
//!
//! Each connection carries one request: the proxy adds `ProxyConnection: close`, so that the server closes the connection
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
pub enum NetworkFault {
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
    fault: NetworkFault,
}

/// A running proxy. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<ProxyState>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream` (`host:port`), on a free port.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(ProxyState {
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
    pub fn rule(&self, method: &str, path_part: &str, times: Option<usize>, fault: NetworkFault) {
        let rule = Rule { method: method.to_owned(), path_part: path_part.to_owned(), left: times, fault };
        self.shared.rules.lock().push(rule);
    }

    /// Lets the next `times` requests of `method` whose path and query contain `path_part` pass unharmed, whatever
    /// later rules say.
    pub fn pass(&self, method: &str, path_part: &str, times: usize) {
        self.rule(method, path_part, Some(times), NetworkFault::Truncate(u64::MAX));
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
struct ProxyState {
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
struct ProxyConnection<'a> {
    stream: TcpStream,
    number: u64,
    shared: &'a ProxyState,
}

impl Deref for ProxyConnection<'_> {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for ProxyConnection<'_> {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.shared.sockets.lock().open.remove(&self.number);
    }
}

impl ProxyState {
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

    fn connection(&self, stream: TcpStream) -> io::Result<ProxyConnection<'_>> {
        stream.set_nodelay(true)?;
        let mut sockets = self.sockets.lock();
        if sockets.stopped {
            return Err(io::Error::other("the proxy is stopped"));
        }
        let number = sockets.next;
        sockets.next += 1;
        sockets.open.insert(number, stream.try_clone()?);
        Ok(ProxyConnection { stream, number, shared: self })
    }

    /// The fault to inject into a request, if a rule matches.
    fn fault(&self, method: &str, path: &str) -> Option<NetworkFault> {
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
            Some(NetworkFault::Truncate(bytes)) => self.forward(&client, head, body, Pass::Some(bytes)),
            Some(NetworkFault::AnswerLost) => self.forward(&client, head, body, Pass::Nothing),
            Some(NetworkFault::IgnoreCondition) => self.forward(&client, head, body, Pass::Success),
            Some(NetworkFault::Answer { status, body }) => answer(&client, method, status, &body),
            Some(NetworkFault::AnswerWith(header, status, body)) if has_header(&text, header) => {
                answer(&client, method, status, &body)
            }
            Some(NetworkFault::AnswerWithout(header, status, body)) if !has_header(&text, header) => {
                answer(&client, method, status, &body)
            }
            Some(NetworkFault::AnswerWith(..) | NetworkFault::AnswerWithout(..)) => {
                self.forward(&client, head, body, Pass::All)
            }
            Some(NetworkFault::WithoutLength) => self.forward(&client, head, body, Pass::WithoutLength),
            Some(NetworkFault::Stall) => io::copy(&mut &*client, &mut io::sink()).map(drop),
            Some(NetworkFault::Drop) => Ok(()),
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

/// Passes an answer back; see [`ProxyState::forward`] for `pass`. Interim answers such as `100 Continue` always pass, since
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
mod tests;
