use std::time::Instant;

use super::*;
use crate::process::wait_until;

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
    for fault in [None, Some(NetworkFault::AnswerLost)] {
        let (address, server) = upstream(vec![Vec::new()]);
        let proxy = Proxy::start(&address);
        let lost = fault.is_some();
        if let Some(fault) = fault {
            proxy.rule("PUT", "", None, fault);
        }
        let mut stream = connect(&proxy);
        stream.write_all(b"PUT /k HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
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
    let fault = NetworkFault::Answer { status: 503, body: "<Error><Code>SlowDown</Code></Error>".into() };
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
    proxy.rule("GET", "/k", Some(1), NetworkFault::Truncate(2));
    proxy.rule("GET", "/k", Some(1), NetworkFault::Truncate(0));
    proxy.rule("GET", "/k", Some(1), NetworkFault::Truncate(3_000_000));
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
    proxy.rule("PUT", "/k", None, NetworkFault::Stall);
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
    proxy.rule("GET", "", None, NetworkFault::Drop);
    assert_eq!(request(&proxy, "GET /k HTTP/1.1\r\n\r\n"), "");
    assert_eq!(proxy.requests(), ["GET /k"]);
}

#[test]
fn an_answer_is_lost_and_the_work_done() {
    let (address, server) = upstream(vec![large()]);
    let proxy = Proxy::start(&address);
    proxy.rule("PUT", "/k", None, NetworkFault::AnswerLost);
    assert_eq!(request(&proxy, "PUT /k HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), "");
    assert_eq!(server.join().unwrap()[0].1, b"hello");
}

#[test]
fn rules_count_and_the_first_one_wins() {
    let (address, server) = upstream(vec![Vec::new(); 3]);
    let proxy = Proxy::start(&address);
    let answer = |status| NetworkFault::Answer { status, body: String::new() };
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
    proxy.rule("GET", "/slow", None, NetworkFault::Stall);
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
