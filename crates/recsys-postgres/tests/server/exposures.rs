//! Exposures, streamed.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use recsys_core::database::{DatabaseTimeouts, TableName, TenantId};
use recsys_core::domain::class::Class;
use recsys_core::domain::window::Window;
use recsys_core::input::event::UncheckedExposure;
use recsys_core::input::source::{EventBatch, EventSource, ExposureCounts};
use recsys_postgres::{ExposureQuery, PostgresError};
use recsys_testkit::postgres::Database;
use recsys_testkit::process::wait_until;
use recsys_testkit::scope::scope;

use crate::{DEMO, OTHER, TIMEOUTS, assert_fails, cut_off, day, open, prepared, try_open};

fn window(last: &str, days: u32) -> Window {
    Window::ending_with(day(last), days).unwrap()
}

fn begin(
    database: &Database,
    tenant: &TenantId,
    timeouts: DatabaseTimeouts,
    window: Window,
) -> Result<Box<dyn EventSource>, PostgresError> {
    let table = TableName::known("exposure_events");
    let query = ExposureQuery { table: &table, tenant, scope: &scope(), window };
    let source = try_open(&database.url(), timeouts)?.exposures(query)?;
    assert_eq!(source.name(), "exposure_events");
    Ok(source)
}

/// The events that are left, each as text.
fn rest(source: &mut dyn EventSource) -> io::Result<Vec<String>> {
    let (mut events, mut batch) = (Vec::new(), EventBatch::default());
    while source.next_batch(&mut batch)? {
        events.extend(batch.events().map(|event| {
            let UncheckedExposure { ts, tenant, surface, segment, user_id, session_id, .. } = event;
            let time = Timestamp::from_nanosecond(ts.into()).unwrap();
            assert_eq!((tenant, surface), (Some("demo"), Some("home")));
            let UncheckedExposure { request_id, item_id, rank, .. } = event;
            let texts = [segment, user_id, session_id, request_id, item_id];
            format!("{time} {} {rank:?}", texts.map(|text| format!("{text:?}")).join(" "))
        }));
    }
    Ok(events)
}

fn read(database: &Database, tenant: &TenantId, window: Window) -> io::Result<(Vec<String>, ExposureCounts)> {
    let mut source = begin(database, tenant, TIMEOUTS, window).unwrap();
    assert_eq!(source.rows(), None);
    let events = rest(&mut *source)?;
    Ok((events, source.rows().unwrap()))
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
fn rows_become_events() {
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
    let midnight = "2026-01-01T00:00:00Z";
    let expected = [
        format!(r#"{midnight} None None Some("s1") Some("{one}") Some("C") None"#),
        format!(r#"{midnight} Some("") Some("") Some(" s1 ") Some("{two}") Some("say \"ö\"\n") Some(7)"#),
        format!(r#"{midnight} Some("") Some("") Some(" s1 ") Some("{two}") Some("B") None"#),
        format!(
            r#"2026-01-01T23:59:59.999999Z Some("vip") Some("00abff") Some("s2") Some("{four}") Some("A") Some(0)"#
        ),
    ];
    let (events, counts) = read(&database, &demo, window("2026-01-01", 1)).unwrap();
    assert_eq!(events, expected);
    assert_eq!(counts, ExposureCounts { rows: 8, events: 4, without_session: 2, without_items: 3 });
    let (_, counts) = read(&database, &demo, window("2026-01-02", 3)).unwrap();
    assert_eq!((counts.rows, counts.events), (10, 6));
    let none = read(&database, &demo, window("2026-02-01", 1)).unwrap();
    assert_eq!(none, (Vec::new(), ExposureCounts::default()));
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

/// A source of the day of which one batch was read.
fn begun(
    database: &Database,
    demo: &TenantId,
    timeouts: DatabaseTimeouts,
) -> (Box<dyn EventSource>, EventBatch) {
    let mut source = begin(database, demo, timeouts, window("2026-01-01", 1)).unwrap();
    let mut batch = EventBatch::default();
    assert!(source.next_batch(&mut batch).unwrap());
    (source, batch)
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
    let (mut source, mut batch) = begun(&database, &demo, TIMEOUTS);
    let before = memory("VmRSS");
    // It is far from its end: the queue is short.
    database.execute(&format!(
        "insert into exposure_events select '{DEMO}', '2026-01-01T23:59:59Z', gen_random_uuid(), 'home', null, null,
             'late', '{{\"items\": [{{\"item_id\": \"late\"}}]}}' from generate_series(1, 100)"
    ));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(source.rows(), None);
    let (mut events, mut late, mut most) = (0, 0, 0);
    loop {
        events += batch.events().len();
        late += batch.events().filter(|event| event.item_id == Some("late")).count();
        most = most.max(memory("VmRSS"));
        if !source.next_batch(&mut batch).unwrap() {
            break;
        }
    }
    assert_eq!((events, late), (200_000, 0));
    let counts = ExposureCounts { rows: 200_000, events: 200_000, without_session: 0, without_items: 0 };
    assert_eq!(source.rows(), Some(counts));
    // All rows are 100 MB. Other tests are part of the same process.
    assert!(most < before + 50_000, "{before} KiB became {most} KiB");
    assert_eq!(read(&database, &demo, window("2026-01-01", 1)).unwrap().1.rows, 200_100);
}

#[test]
fn a_source_that_stops_early_lets_the_server_go() {
    let (database, demo) = prepared();
    many(&database, 50_000);
    let (source, _) = begun(&database, &demo, TIMEOUTS);
    drop(source);
    let sessions = "select count(*) from pg_stat_activity where application_name = 'recsys-test'
        and datname = current_database()";
    wait_until("the session is still there", || database.lines(sessions) == ["0"]);
}

#[test]
fn a_source_that_is_cut_off_or_too_slow_fails() {
    let (database, demo) = prepared();
    many(&database, 50_000);
    let (mut source, _) = begun(&database, &demo, TIMEOUTS);
    cut_off(&database);
    let error = rest(&mut *source).unwrap_err();
    assert_fails(&database, PostgresError::of(&error).unwrap(), Class::Transient, &["connection was cut"]);
    assert_eq!(source.rows(), None);

    let timeouts = DatabaseTimeouts { statement: Some(Duration::from_secs(1)), ..TIMEOUTS };
    let (mut source, ..) = begun(&database, &demo, timeouts);
    std::thread::sleep(Duration::from_millis(1500));
    let error = rest(&mut *source).unwrap_err();
    let parts = ["cannot read exposure_events in", "statement timeout", "statement_timeout_s"];
    assert_fails(&database, PostgresError::of(&error).unwrap(), Class::Transient, &parts);
}

#[test]
fn a_table_that_cannot_be_read_is_found_out_before_the_first_event() {
    let (database, demo) = prepared();
    let table = "logs.events".parse::<TableName>().unwrap();
    let query =
        ExposureQuery { table: &table, tenant: &demo, scope: &scope(), window: window("2026-01-01", 1) };
    let error = open(&database).exposures(query).err().unwrap();
    let parts = ["cannot read logs.events in", "relation \"logs.events\" does not exist"];
    assert_fails(&database, &error, Class::Usage, &parts);
    database.execute("create schema logs; create table logs.events (tenant_id uuid)");
    let error = open(&database).exposures(query).err().unwrap();
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
    let (events, counts) = read(&database, &demo, window("2026-01-01", 1)).unwrap();
    assert_eq!(counts.events, 2);
    assert!(events[0].ends_with(r#"Some("AB") None"#), "{events:?}");
    assert!(events[1].ends_with(r#"Some("C") Some(9223372036854775807)"#), "{events:?}");
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
