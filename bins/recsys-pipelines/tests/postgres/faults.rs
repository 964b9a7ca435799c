//! Faults of servers and rows: one line, the right exit code, nothing written, no password shown.

use std::process::Stdio;

use recsys_core::artifact::{Kind, version};
use recsys_testkit::postgres::Database;
use recsys_testkit::sandbox::Finished;
use serde_json::{Value, json};

use crate::signals::ingested;
use crate::{DAY, Pilot, SCOPE};

/// A pilot with one day in its tables and another one ingested.
fn prepared() -> Pilot {
    let pilot = ingested();
    pilot.run("job_db_signals", DAY).ok();
    pilot.write_sessions(&[("s1", &["A", "E"])]);
    pilot.run("job_ingest", DAY).ok();
    pilot.sandbox.write("catalog.csv", "item_id,tags,price\nA,x,1.5\n");
    pilot
}

/// Runs each command that uses the database at `dsn`, and asserts that it fails.
fn fails_everywhere(pilot: &Pilot, dsn: &str, code: i32, parts: &[&str]) {
    let catalog = format!("{SCOPE} --input catalog.csv");
    let commands = [
        ("job_db_signals", DAY.to_owned()),
        ("job_catalog", catalog),
        ("recsys-pipelines", format!("run {DAY}")),
        ("recsys-pipelines", "db init --config config.json".to_owned()),
    ];
    for (binary, line) in commands {
        for format in ["text", "json"] {
            let mut command = pilot.command(binary, &format!("{line} --log-format {format}"));
            let finished = pilot.finish(command.env("RECSYS_PIPELINES__DB__DSN", dsn));
            assert!(!finished.stderr.contains("hunter2"), "{finished:#?}");
            if format == "text" {
                finished.fails(code, parts);
            } else {
                let line: Value = serde_json::from_str(finished.stderr.trim()).unwrap();
                assert_eq!(line["exit_code"], code, "{finished:#?}");
            }
        }
    }
}

/// The DSN with one part replaced.
fn with(pilot: &Pilot, part: impl FnOnce(&mut Parts)) -> String {
    let url = pilot.database.url();
    let (login, place) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    let own = |text: &str| text.to_owned();
    let mut parts =
        Parts { user: own(user), password: own(password), address: own(address), database: own(database) };
    part(&mut parts);
    let Parts { user, password, address, database } = parts;
    format!("postgres://{user}:{password}@{address}/{database}")
}

struct Parts {
    user: String,
    password: String,
    address: String,
    database: String,
}

#[test]
fn a_server_that_cannot_be_used_is_told_in_one_line() {
    let pilot = prepared();
    let before = (pilot.traces(), pilot.sandbox.snapshot("out"));
    let down = with(&pilot, |parts| parts.address = "127.0.0.1:1".into());
    fails_everywhere(
        &pilot,
        &down,
        1,
        &["cannot connect to database", "127.0.0.1:1", "is the server running there?"],
    );
    let wrong = with(&pilot, |parts| parts.password = "hunter2".into());
    fails_everywhere(&pilot, &wrong, 2, &["password authentication failed", "check user and password"]);
    let elsewhere = with(&pilot, |parts| parts.database = "nowhere".into());
    fails_everywhere(&pilot, &elsewhere, 2, &["\"nowhere\"", "there is no such database"]);
    let secure = with(&pilot, |parts| parts.database += "?sslmode=require");
    fails_everywhere(&pilot, &secure, 2, &["no secure connection", "sslmode"]);
    for dsn in [
        "mysql://u:hunter2@h/d",
        "u:hunter2@h/d",
        "postgres://u:hunt#er2@h/d",
        "postgres://u:hunter2@h/d?sslmod=x",
    ] {
        fails_everywhere(&pilot, dsn, 2, &["setting db.dsn: ", "the DSN"]);
        let mut command = pilot.command("recsys-pipelines", "config check --config config.json");
        pilot.finish(command.env("RECSYS_PIPELINES__DB__DSN", dsn)).fails(2, &["setting db.dsn: "]);
    }
    assert_eq!((pilot.traces(), pilot.sandbox.snapshot("out")), before);
}

#[test]
fn no_log_level_brings_out_the_password() {
    let pilot = prepared();
    for level in ["trace", "sqlx=trace,sqlx_postgres=trace,sqlx_core=trace", "off"] {
        let run = |binary: &str, line: &str, dsn: &str| {
            let mut command = pilot.command(binary, line);
            command.env("RUST_LOG", level).env("RECSYS_PIPELINES__DB__DSN", dsn);
            let finished = pilot.finish(&mut command);
            assert!(!finished.stderr.contains("hunter2"), "{finished:#?}");
            finished
        };
        let dsn = pilot.database.url();
        run("job_db_signals", DAY, &dsn).ok();
        run("recsys-pipelines", &format!("run {DAY} --json"), &dsn).ok();
        let shown = run("recsys-pipelines", "config show --config config.json", &dsn);
        assert!(shown.ok().stdout.contains("db.dsn"), "{shown:?}");
        run("job_db_signals", DAY, &with(&pilot, |parts| parts.password = "hunter2".into()));
    }
}

#[test]
fn a_table_or_tenant_that_is_missing_is_told() {
    let pilot = prepared();
    let before = pilot.traces();
    let nobody = DAY.replace("--tenant demo", "--tenant nobody");
    pilot.run("job_db_signals", &nobody).fails(2, &["no row of tenants has \"nobody\" as external_id or id"]);
    pilot.database.execute("alter table item_popularity_daily rename to away");
    pilot.run("job_db_signals", DAY).fails(2, &["\"item_popularity_daily\" does not exist", "db init"]);
    pilot.database.execute("alter table away rename to item_popularity_daily");
    assert_eq!(pilot.traces(), before);
    pilot.database.execute("drop table item_tags");
    let catalog = format!("{SCOPE} --input catalog.csv");
    pilot.run("job_catalog", &catalog).fails(2, &["\"item_tags\" does not exist"]);
    pilot.database.execute("alter table item_popularity_daily drop column score");
    pilot.run("job_db_signals", DAY).fails(2, &["the table is not what it must be", "score"]);
    pilot.database.execute("drop table item_popularity_daily, item_covisit_daily, tenants");
    pilot.run("job_db_signals", DAY).fails(2, &["relation \"tenants\" does not exist"]);
}

#[test]
fn a_user_without_rights_is_told() {
    let pilot = prepared();
    let name = format!("reader_{}", pilot.database.name());
    pilot.database.execute(&format!(
        "create role {name} login password 'hunter2'; grant select on all tables in schema public to {name}"
    ));
    let dsn = with(&pilot, |parts| (parts.user, parts.password) = (name.clone(), "hunter2".into()));
    let before = pilot.traces();
    let mut command = pilot.command("job_db_signals", DAY);
    let finished = pilot.finish(command.env("RECSYS_PIPELINES__DB__DSN", &dsn));
    finished.fails(2, &["permission denied for table", "grant it to the user of the DSN"]);
    assert!(!finished.stderr.contains("hunter2"), "{finished:?}");
    assert_eq!(pilot.traces(), before);
    pilot.database.execute(&format!("drop owned by {name}; drop role {name}"));
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let pilot = prepared();
    pilot.run("job_popularity", DAY).ok();
    // A count of a trillion, in an otherwise valid artifact.
    let folder = "out/artifacts/demo/home/_all/popularity/2026-01-01_2026-01-02";
    let files = pilot.sandbox.snapshot(folder);
    let (_, pointer) = &files["current.version"];
    let current = String::from_utf8_lossy(pointer).trim().to_owned();
    let (_, bytes) = &files[&format!("{current}.json")];
    let text =
        String::from_utf8(bytes.clone()).unwrap().replacen("\"count\":1}", "\"count\":1000000000000}", 1);
    let Value::Object(mut document) = serde_json::from_str(&text).unwrap() else { panic!() };
    // The error message names the right version.
    let error = Kind::Popularity.parse(text.as_bytes()).unwrap_err().to_string();
    let actual =
        error.split_whitespace().find(|word| word.len() == 65).unwrap().trim_end_matches(',').to_owned();
    document["build"]["version"] = json!(actual);
    let text = serde_json::to_string(&document).unwrap();
    let artifact = Kind::Popularity.parse(text.as_bytes()).unwrap();
    assert_eq!(version(&artifact.key, &artifact.payload), actual);
    pilot.sandbox.write(&format!("{folder}/{actual}.json"), &text);
    pilot.sandbox.write(&format!("{folder}/current.version"), format!("{actual}\n"));
    let before = pilot.traces();
    pilot
        .run("job_db_signals", DAY)
        .fails(3, &["item \"A\" has the score 1000000000000, which does not fit numeric(18,6)"]);
    assert_eq!(pilot.traces(), before);
}

#[test]
fn an_item_that_postgres_cannot_hold_is_refused() {
    let pilot = prepared();
    let before = pilot.traces();
    pilot.write_sessions(&[("s1", &["A", "b\0c"][..]), ("s2", &["A"])]);
    pilot.run("job_ingest", DAY).ok();
    pilot
        .run("job_db_signals", DAY)
        .fails(3, &["item \"b\\0c\" contains U+0000, which Postgres cannot hold"]);
    assert_eq!(pilot.traces(), before);
    pilot.sandbox.write("odd.jsonl", "{\"item_id\":\"b\\u0000c\",\"tags\":[]}\n");
    pilot.run("job_catalog", &format!("{SCOPE} --input odd.jsonl")).fails(3, &["\"b\\0c\"", "U+0000"]);
}

#[test]
fn a_server_that_comes_up_late_is_waited_for() {
    let pilot = prepared();
    pilot.configure(|config| config["storage"] = json!({"retry_timeout_s": 30}));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let dsn = with(&pilot, |parts| parts.address = address.to_string());
    let mut command = pilot.command("job_db_signals", DAY);
    command.env("RECSYS_PIPELINES__DB__DSN", &dsn).stdout(Stdio::piped()).stderr(Stdio::piped());
    let job = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let server = with(&pilot, |_| ());
    let upstream = server.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let proxy = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for client in proxy.incoming() {
            let client = client.unwrap();
            let server = std::net::TcpStream::connect(&upstream).unwrap();
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    Finished::from(job.wait_with_output().unwrap()).ok();
}

#[test]
fn a_database_without_tables_says_how_to_get_them() {
    let pilot = prepared();
    let empty = Database::new();
    let mut command = pilot.command("job_db_signals", DAY);
    let finished = pilot.finish(command.env("RECSYS_PIPELINES__DB__DSN", empty.url()));
    finished.fails(2, &["relation \"tenants\" does not exist", "`recsys-pipelines db init`"]);
    let mut command = pilot.sandbox.command("job_db_signals");
    let finished = pilot.finish(command.args(DAY.split_whitespace()));
    finished.fails(2, &["setting db.dsn is missing", "RECSYS_PIPELINES__DB__DSN"]);
}

#[test]
fn a_server_that_is_silent_is_told_before_it_is_given_up() {
    let pilot = Pilot::new();
    // The system accepts connections, but nobody reads from them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let dsn = with(&pilot, |parts| {
        parts.address.clone_from(&address);
        parts.database += "?connect_timeout=6";
    });
    let mut command = pilot.command("recsys-pipelines", "db init --config config.json");
    let finished = pilot.finish(command.env("RECSYS_PIPELINES__DB__DSN", dsn));
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let [waiting, error] = lines[..] else { panic!("{finished:#?}") };
    assert!(
        waiting.contains("waiting for an answer of database") && waiting.contains(&address),
        "{finished:#?}"
    );
    assert!(waiting.contains("for 3 s at most"), "{finished:#?}");
    assert!(error.contains("no answer within 6 s"), "{finished:#?}");
    assert_eq!(finished.code, Some(1));
}
