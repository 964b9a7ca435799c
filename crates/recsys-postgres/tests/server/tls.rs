//! The TLS modes of the DSN, against a proxy that speaks TLS, or refuses to, in front of the real server.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use recsys_core::domain::class::Class;
use recsys_postgres::Connection;
use recsys_testkit::golden::repository;
use recsys_testkit::postgres::Database;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::{TIMEOUTS, assert_fails, try_open};

fn certificate(name: &str) -> String {
    repository().join("testdata/tls").join(name).display().to_string()
}

/// A proxy before the server at `upstream`, which answers the request for TLS with yes or no.
fn proxy(upstream: String, speaks_tls: bool) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor =
        TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for client in listener.incoming() {
            let client = client.unwrap();
            client.set_nonblocking(true).unwrap();
            // A client that does not trust the certificate hangs up, which is no failure of the proxy.
            let _ = runtime.block_on(serve(client, &upstream, speaks_tls, &acceptor));
        }
    });
    address
}

async fn serve(
    client: std::net::TcpStream,
    upstream: &str,
    speaks_tls: bool,
    acceptor: &TlsAcceptor,
) -> std::io::Result<()> {
    let mut client = TcpStream::from_std(client)?;
    let mut server = TcpStream::connect(upstream).await?;
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    // The number by which a client asks for TLS.
    if request[4..] != 80_877_103_u32.to_be_bytes() {
        server.write_all(&request).await?;
    } else if speaks_tls {
        client.write_all(b"S").await?;
        let mut client = acceptor.accept(client).await?;
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    } else {
        client.write_all(b"N").await?;
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// What becomes of a connection with these parameters, through a proxy called `host`.
fn open(
    database: &Database,
    speaks_tls: bool,
    host: &str,
    query: &str,
) -> Result<Connection, recsys_postgres::PostgresError> {
    let url = database.url();
    let (login, place) = url.split_once('@').unwrap();
    let (upstream, name) = place.split_once('/').unwrap();
    let port = proxy(upstream.to_owned(), speaks_tls).port();
    try_open(&format!("{login}@{host}:{port}/{name}?{query}"), TIMEOUTS)
}

#[test]
fn a_connection_is_as_safe_as_the_mode_says() {
    let database = Database::new();
    let (trusted, other) = (certificate("authority.pem"), certificate("other-authority.pem"));
    let verified = |mode: &str, authority: &str| format!("sslmode={mode}&sslrootcert={authority}");
    let not_trusted = "no secure connection";
    for (host, query, refused) in [
        ("127.0.0.1", "", None),
        ("127.0.0.1", "sslmode=prefer", None),
        ("127.0.0.1", "sslmode=require", None),
        ("127.0.0.1", "sslmode=disable", None),
        ("localhost", &verified("verify-full", &trusted), None),
        ("127.0.0.1", &verified("verify-ca", &trusted), None),
        ("127.0.0.1", &verified("require", &trusted), None),
        // Another name than that of the certificate, another authority, and none but those of the system.
        ("127.0.0.1", &verified("verify-full", &trusted), Some(not_trusted)),
        ("localhost", &verified("verify-full", &other), Some(not_trusted)),
        ("127.0.0.1", &verified("verify-ca", &other), Some(not_trusted)),
        ("127.0.0.1", &verified("require", &other), Some(not_trusted)),
        ("localhost", "sslmode=verify-full", Some(not_trusted)),
    ] {
        match (open(&database, true, host, query), refused) {
            (Ok(_), None) => {}
            (Err(error), Some(told)) => assert_fails(&database, &error, Class::Usage, &[told, "sslmode"]),
            (opened, _) => panic!("{host} {query}: {opened:?}"),
        }
    }
}

#[test]
fn a_server_without_tls_is_refused_unless_the_mode_allows_it() {
    let database = Database::new();
    for query in ["", "sslmode=disable", "sslmode=prefer"] {
        open(&database, false, "127.0.0.1", query).unwrap();
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = open(&database, false, "127.0.0.1", &format!("sslmode={mode}")).unwrap_err();
        assert_fails(&database, &error, Class::Usage, &["no secure connection", "sslmode"]);
    }
}
