//! Exposures, streamed.

use std::io::{self, Read};
use std::time::Duration;

use recsys_core::database::{ExposureCounts, ExposureQuery, Patience, TableName, Tally, TenantId};
use recsys_core::domain::class::Class;
use recsys_core::domain::window::Window;
use recsys_core::input::event::{RawExposure, Rules};
use recsys_postgres::PostgresError;
use recsys_testkit::patience::wait_until;
use recsys_testkit::postgres::Database;
use recsys_testkit::scope::scope;

use crate::{DEMO, OTHER, PATIENCE, assert_fails, cut_off, day, open, prepared, try_open};

type Lines = Box<dyn Read + Send>;

fn window(last: &str, days: u32) -> Window {
    Window::ending_with(day(last), days).unwrap()
}

fn begin(
    database: &Database,
    tenant: &TenantId,
    patience: Patience,
    window: Window,
) -> Result<(Lines, Tally), PostgresError> {
    let table = TableName::known("exposure_events");
    let query = ExposureQuery { table: &table, tenant, scope: &scope(), window };
    let exposures = try_open(&database.url(), patience)?.exposures(query)?;
    assert_eq!(exposures.lines.name, "exposure_events");
    Ok((exposures.lines.reader, exposures.tally))
}

fn read(database: &Database, tenant: &TenantId, window: Window) -> io::Result<(String, ExposureCounts)> {
    let (mut reader, tally) = begin(database, tenant, PATIENCE, window).unwrap();
    assert_eq!(tally.counts(), None);
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    assert_eq!(reader.read(&mut [0])?, 0);
    Ok((text, tally.counts().unwrap()))
}

fn insert(database: &Database, rows: &str) {
    database.execute(&format!("insert into exposure_events values {rows}"));
}

/// A row of the surface on the day, in a session, with this response.
fn shown(response: &str) -> String {
    format!(
        "('{DEMO}', '2026-01-01T08:00:00.5Z', '00000000-0000-0000-0000-000000000001', 'home', null, null, 's', {response})"
    )
}

#[test]
fn rows_become_lines_of_canonical_input() {
    let (database, demo) = prepared();
    let request = |n: u32| format!("00000000-0000-0000-0000-00000000000{n}");
    let [one, two, three, four] = [1, 2, 3, 4].map(request);
    insert(
        &database,
        &format!(
            r#"('{DEMO}', '2026-01-01T23:59:59.999999Z', '{four}', 'home', 'vip', '\x00AbFF', 's2',
                   '{{"items": [{{"item_id": "A", "rank": 0, "why": {{"x": [1.5]}}}}], "model": "m"}}'),
               ('{DEMO}', '2026-01-01T02:00:00+02:00', '{two}', 'home', '', '\x', ' s1 ',
                   '{{"items": [{{"item_id": "say \"ö\"\n", "rank": 7}}, {{"rank": null, "item_id": "B"}}]}}'),
               ('{DEMO}', '2026-01-01T00:00:00Z', '{one}', 'home', null, null, 's1', '{{"items": [{{"item_id": "C"}}]}}'),
               ('{DEMO}', '2026-01-01T05:00:00.120Z', '{three}', 'home', null, null, 's1', '{{"items": []}}'),
               ('{DEMO}', '2026-01-01T06:00:00Z', '{three}', 'home', null, null, 's1', '{{}}'),
               ('{DEMO}', '2026-01-01T06:00:00Z', '{three}', 'home', null, null, 's1', '{{"items": null}}'),
               ('{DEMO}', '2026-01-01T06:00:00Z', '{three}', 'home', null, null, null, '{{"items": [{{"item_id": "X"}}]}}'),
               ('{DEMO}', '2026-01-01T06:00:00Z', '{three}', 'home', null, null, ' ', '"not even wrong"'),
               ('{DEMO}', '2025-12-31T23:59:59.999999Z', '{one}', 'home', null, null, 's1', '{{"items": [{{"item_id": "X"}}]}}'),
               ('{DEMO}', '2026-01-02T00:00:00Z', '{one}', 'home', null, null, 's1', '{{"items": [{{"item_id": "X"}}]}}'),
               ('{DEMO}', '2026-01-01T06:00:00Z', '{one}', 'cart', null, null, 's1', '{{"items": [{{"item_id": "X"}}]}}'),
               ('{OTHER}', '2026-01-01T06:00:00Z', '{one}', 'home', null, null, 's1', '{{"items": [{{"item_id": "X"}}]}}')"#
        ),
    );
    let start = r#"{"v":1,"ts":"2026-01-01T00:00:00Z","tenant":"demo","surface":"home","#;
    let expected = [
        format!(r#"{start}"session_id":"s1","request_id":"{one}","item_id":"C"}}"#),
        format!(
            r#"{start}"segment":"","session_id":" s1 ","request_id":"{two}","item_id":"say \"ö\"\n","rank":7}}"#
        ),
        format!(r#"{start}"segment":"","session_id":" s1 ","request_id":"{two}","item_id":"B"}}"#),
        format!(
            r#"{},"segment":"vip","user_id":"00abff","session_id":"s2","request_id":"{four}","item_id":"A","rank":0}}"#,
            r#"{"v":1,"ts":"2026-01-01T23:59:59.999999Z","tenant":"demo","surface":"home""#
        ),
    ];
    let (text, counts) = read(&database, &demo, window("2026-01-01", 1)).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(counts, ExposureCounts { rows: 8, events: 4, without_session: 2, without_items: 3 });
    for line in text.lines() {
        let event = RawExposure::parse(line).unwrap();
        assert_eq!(
            event.check(&Rules::new(&scope())).unwrap().unwrap().segment,
            line.contains("vip").then_some("vip")
        );
    }
    let (_, counts) = read(&database, &demo, window("2026-01-02", 3)).unwrap();
    assert_eq!((counts.rows, counts.events), (10, 6));
    let (text, counts) = read(&database, &demo, window("2026-02-01", 1)).unwrap();
    assert_eq!((text.as_str(), counts), ("", ExposureCounts::default()));
}

#[test]
fn a_malformed_response_is_named_by_time_and_request() {
    let (database, demo) = prepared();
    for (response, reason) in [
        (r#"'{"items": {}}'"#, "response.items is not an array"),
        (r#"'{"items": "A"}'"#, "response.items is not an array"),
        ("'[]'", "response is not an object"),
        ("'7'", "response is not an object"),
        (r#"'{"items": [{"item_id": "A"}, {"rank": 1}]}'"#, "response.items[1] has no item_id"),
        (r#"'{"items": [{"item_id": null}]}'"#, "response.items[0] has no item_id"),
        (r#"'{"items": ["A"]}'"#, "response.items[0] is not an object"),
        (r#"'{"items": [["A", 1]]}'"#, "response.items[0] is not an object"),
        (r#"'{"items": [{"item_id": 7}]}'"#, "response.items[0].item_id is not text"),
        (r#"'{"items": [{"item_id": " "}]}'"#, "response.items[0].item_id is empty"),
        (
            r#"'{"items": [{"item_id": "A", "rank": "1"}]}'"#,
            "response.items[0].rank is \"1\"; it must be an integer",
        ),
        (r#"'{"items": [{"item_id": "A", "rank": -1}]}'"#, "response.items[0].rank is -1; it must be"),
        (r#"'{"items": [{"item_id": "A", "rank": 1.5}]}'"#, "response.items[0].rank is 1.5; it must be"),
    ] {
        database.execute("truncate exposure_events");
        insert(&database, &shown(response));
        let error = read(&database, &demo, window("2026-01-01", 1)).unwrap_err();
        let error = PostgresError::of(&error).unwrap();
        let row =
            "the row of 2026-01-01T08:00:00.5Z, request 00000000-0000-0000-0000-000000000001, is malformed: ";
        assert_fails(&database, error, Class::Refused, &["cannot read exposure_events in", row, reason]);
    }
    database.execute("truncate exposure_events; alter table exposure_events alter response drop not null");
    insert(&database, &format!("{}, {}", shown("'null'"), shown("null")));
    let (_, counts) = read(&database, &demo, window("2026-01-01", 1)).unwrap();
    assert_eq!(counts, ExposureCounts { rows: 2, events: 0, without_session: 0, without_items: 2 });
}

/// Many rows of the day, each with one item and some ballast.
fn many(database: &Database, rows: u32) {
    database.execute(&format!(
        "insert into exposure_events
         select '{DEMO}', '2026-01-01T00:00:00Z'::timestamptz + n * interval '400 milliseconds', gen_random_uuid(),
             'home', null, null, 's' || n / 5,
             jsonb_build_object('items', jsonb_build_array(jsonb_build_object('item_id', n::text)),
                 'ballast', repeat('x', 400))
         from generate_series(1, {rows}) as n"
    ));
}

/// A figure of this process, in KiB.
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_is_inserted_meanwhile_is_not_seen_and_little_is_in_memory() {
    let (database, demo) = prepared();
    many(&database, 200_000);
    let (mut reader, tally) = begin(&database, &demo, PATIENCE, window("2026-01-01", 1)).unwrap();
    let mut first = [0; 1000];
    reader.read_exact(&mut first).unwrap();
    let before = memory("VmRSS");
    // It is far from its end: the queue is short.
    database.execute(&format!(
        "insert into exposure_events select '{DEMO}', '2026-01-01T23:59:59Z', gen_random_uuid(), 'home', null, null,
             'late', '{{\"items\": [{{\"item_id\": \"late\"}}]}}' from generate_series(1, 100)"
    ));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(tally.counts(), None);
    let (mut events, mut late, mut most) = (0, 0, 0);
    let mut buffer = vec![0; 1 << 20];
    let text = first.as_slice().chain(reader);
    let mut lines = io::BufReader::new(text);
    loop {
        let read = lines.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&buffer[..read]);
        events += text.matches('\n').count();
        late += text.matches("\"late\"").count();
        most = most.max(memory("VmRSS"));
    }
    assert_eq!((events, late), (200_000, 0));
    let counts = ExposureCounts { rows: 200_000, events: 200_000, without_session: 0, without_items: 0 };
    assert_eq!(tally.counts(), Some(counts));
    // All rows are 100 MB. Other tests are part of the same process.
    assert!(most < before + 50_000, "{before} KiB became {most} KiB");
    assert_eq!(read(&database, &demo, window("2026-01-01", 1)).unwrap().1.rows, 200_100);
}

#[test]
fn a_reader_that_stops_early_lets_the_server_go() {
    let (database, demo) = prepared();
    many(&database, 50_000);
    let (mut reader, tally) = begin(&database, &demo, PATIENCE, window("2026-01-01", 1)).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    drop(reader);
    let sessions = "select count(*) from pg_stat_activity where application_name = 'recsys-test'
        and datname = current_database()";
    wait_until("the session is still there", || database.lines(sessions) == ["0"]);
    assert_eq!(tally.counts(), None);
}

#[test]
fn a_reader_that_is_cut_off_or_too_slow_fails() {
    let (database, demo) = prepared();
    many(&database, 50_000);
    let mut rest = Vec::new();
    let (mut reader, tally) = begin(&database, &demo, PATIENCE, window("2026-01-01", 1)).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    cut_off(&database);
    let error = reader.read_to_end(&mut rest).unwrap_err();
    assert_fails(&database, PostgresError::of(&error).unwrap(), Class::Transient, &["connection was cut"]);
    assert_eq!(tally.counts(), None);

    let patience = Patience { statement: Some(Duration::from_secs(1)), ..PATIENCE };
    let (mut reader, _) = begin(&database, &demo, patience, window("2026-01-01", 1)).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let error = reader.read_to_end(&mut rest).unwrap_err();
    let parts = ["cannot read exposure_events in", "statement timeout", "statement_timeout_s"];
    assert_fails(&database, PostgresError::of(&error).unwrap(), Class::Transient, &parts);
}

#[test]
fn a_table_that_cannot_be_read_is_found_out_before_the_first_line() {
    let (database, demo) = prepared();
    let table = "logs.events".parse::<TableName>().unwrap();
    let query =
        ExposureQuery { table: &table, tenant: &demo, scope: &scope(), window: window("2026-01-01", 1) };
    let error = open(&database).exposures(query).unwrap_err();
    let parts = ["cannot read logs.events in", "relation \"logs.events\" does not exist"];
    assert_fails(&database, &error, Class::Usage, &parts);
    database.execute("create schema logs; create table logs.events (tenant_id uuid)");
    let error = open(&database).exposures(query).unwrap_err();
    assert_fails(&database, &error, Class::Usage, &["not what it must be: column", "does not exist"]);
}

#[test]
fn what_is_not_known_of_a_response_does_not_matter_however_odd_it_is() {
    let (database, demo) = prepared();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let response = format!(
        r#"'{{"debug": {deep}, "items": [{{"item_id": "A\u0042", "score": 1e400, "more": {{"x": {deep}}}}}, {{"item_id": "C", "rank": 9223372036854775807}}]}}'"#
    );
    database.execute("alter table exposure_events alter column response type json");
    insert(&database, &shown(&response));
    let (text, counts) = read(&database, &demo, window("2026-01-01", 1)).unwrap();
    assert_eq!(counts.events, 2);
    assert!(
        text.contains(r#""item_id":"AB""#) && text.contains(r#""item_id":"C","rank":9223372036854775807"#),
        "{text}"
    );
}

#[test]
fn an_event_that_is_too_long_names_its_row() {
    let (database, demo) = prepared();
    insert(
        &database,
        &shown(r#"('{"items": [{"item_id": "A"}, {"item_id": "' || repeat('x', 1100000) || '"}]}')::jsonb"#),
    );
    let error = read(&database, &demo, window("2026-01-01", 1)).unwrap_err();
    let parts = [
        "the row of 2026-01-01T08:00:00.5Z, request 0",
        "response.items[1] makes an event of more than 1048576 bytes",
    ];
    assert_fails(&database, PostgresError::of(&error).unwrap(), Class::Refused, &parts);
}
