//! What becomes of connections.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use recsys_core::database::{DatabaseTimeouts, MissingTenant, TableNames};
use recsys_core::domain::class::Class;
use recsys_testkit::postgres::Database;
use recsys_testkit::process::LIMIT;
use recsys_testkit::scope::scope;

use crate::{TIMEOUTS, assert_fails, cut_off, open, prepared, try_open};

fn with_password(url: &str, password: &str) -> String {
    let (start, rest) = url.split_once('@').unwrap();
    let (user, _) = start.rsplit_once(':').unwrap();
    format!("{user}:{password}@{rest}")
}

#[test]
fn a_wrong_password_is_refused_at_once() {
    let database = Database::new();
    let begun = Instant::now();
    let timeouts = DatabaseTimeouts { connect: Duration::from_mins(1), statement: None };
    let error = try_open(&with_password(&database.url(), "hunter2"), timeouts).unwrap_err();
    assert!(begun.elapsed() < timeouts.connect, "it was tried again");
    let server = format!("cannot connect to database {:?} at 127.0.0.1:", database.name());
    assert_fails(&database, &error, Class::Usage, &[&server, "password authentication failed", "check user"]);
}

#[test]
fn a_missing_database_is_refused() {
    let database = Database::new();
    let url = database.url().replace(database.name(), "nowhere");
    let error = try_open(&url, TIMEOUTS).unwrap_err();
    assert_fails(
        &database,
        &error,
        Class::Usage,
        &["database \"nowhere\" at ", "create it or correct the DSN"],
    );
}

#[test]
fn a_server_that_is_down_is_tried_again_as_long_as_is_said() {
    let database = Database::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://u:hunter2@{free}/shop");
    for seconds in [0, 1] {
        let begun = Instant::now();
        let timeouts = DatabaseTimeouts { connect: Duration::from_secs(seconds), statement: None };
        let error = try_open(&url, timeouts).unwrap_err();
        assert!((timeouts.connect..LIMIT).contains(&begun.elapsed()));
        let server = format!("database \"shop\" at {free}: nobody answers");
        assert_fails(&database, &error, Class::Transient, &[&server, "refused"]);
    }
}

/// It starts while it is being waited for.
#[test]
fn a_server_that_comes_up_is_found() {
    let database = Database::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = database.url().split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let url = database.url().replace(&target, &address.to_string());
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        let listener = TcpListener::bind(address).unwrap();
        let client = listener.accept().unwrap().0;
        let server = std::net::TcpStream::connect(target).unwrap();
        let (mut one, mut other) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut one, &mut other));
        let _ = std::io::copy(&mut &server, &mut &client);
    });
    let timeouts = DatabaseTimeouts { connect: LIMIT, statement: None };
    assert!(try_open(&url, timeouts).is_ok());
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let database = Database::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:hunter2@{}/d?connect_timeout=1", listener.local_addr().unwrap());
    let timeouts = DatabaseTimeouts { connect: Duration::ZERO, statement: None };
    let error = try_open(&url, timeouts).unwrap_err();
    assert_fails(&database, &error, Class::Transient, &["no answer within 1 s"]);
}

#[test]
fn something_else_than_postgres_is_one_line() {
    let database = Database::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:hunter2@{}/d", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let timeouts = DatabaseTimeouts { connect: Duration::ZERO, statement: None };
    assert_fails(&database, &try_open(&url, timeouts).unwrap_err(), Class::Transient, &["database \"d\""]);
}

#[test]
fn tls_that_the_server_lacks_is_refused_and_not_done_without() {
    let database = Database::new();
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = try_open(&format!("{}?sslmode={mode}", database.url()), TIMEOUTS).unwrap_err();
        assert_fails(&database, &error, Class::Usage, &["no secure connection", "sslmode"]);
    }
    for mode in ["disable", "prefer"] {
        assert!(try_open(&format!("{}?sslmode={mode}", database.url()), TIMEOUTS).is_ok(), "{mode}");
    }
}

#[test]
fn the_server_knows_who_is_there() {
    let database = Database::new();
    let of_this = "select application_name from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid()";
    let connection = open(&database);
    assert_eq!(database.lines(of_this), ["recsys-test"]);
    assert_eq!(format!("{connection:?}").matches(database.name()).count(), 1);
    assert!(!format!("{connection:?}").contains("recsys:"));
    drop(connection);
    let _named = try_open(&format!("{}?application_name=mine", database.url()), TIMEOUTS).unwrap();
    assert!(database.lines(of_this).contains(&"mine".to_owned()));
}

#[test]
fn a_statement_ends_with_its_time() {
    let (database, _) = prepared();
    let timeouts = DatabaseTimeouts { statement: Some(Duration::from_millis(300)), ..TIMEOUTS };
    let mut connection = try_open(&database.url(), timeouts).unwrap();
    let tenants = TableNames::default().tenants;
    // Somebody else holds the table.
    let _held = database.hold("lock table tenants");
    let error = connection.tenant(&tenants, &scope().tenant, MissingTenant::Refuse).unwrap_err();
    let parts = ["statement timeout", "statement_timeout_s", "tenants"];
    assert_fails(&database, &error, Class::Transient, &parts);
    assert!(try_open(&database.url(), timeouts).is_ok());
}

#[test]
fn a_connection_that_is_cut_is_transient() {
    let (database, _) = prepared();
    let mut connection = open(&database);
    cut_off(&database);
    let tenants = TableNames::default().tenants;
    let error = connection.tenant(&tenants, &scope().tenant, MissingTenant::Refuse).unwrap_err();
    assert_fails(&database, &error, Class::Transient, &["the connection was cut"]);
}
