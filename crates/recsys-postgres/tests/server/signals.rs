//! Signals of a day, replaced.

use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use recsys_core::database::{
    DatabaseTimeouts, Emptying, ItemSignal, PairSignal, SignalTarget, Signals, SignalsWritten, TenantId,
    Written,
};
use recsys_core::domain::class::Class;
use recsys_postgres::{Connection, PostgresError};
use recsys_testkit::postgres::Database;

use crate::{DEMO, OTHER, TIMEOUTS, assert_fails, cut_off, day, open, prepared, try_open};

const DAY: &str = "2026-01-01";

type Popularity<'a> = &'a [(&'a str, f64)];
type Covisit<'a> = &'a [(&'a str, &'a str, f64)];

fn items<'a>(rows: Popularity<'a>) -> Box<dyn Iterator<Item = ItemSignal<'a>> + 'a> {
    Box::new(rows.iter().map(|&(item_id, score)| ItemSignal { item_id, score }))
}

fn pairs<'a>(rows: Covisit<'a>) -> Box<dyn Iterator<Item = PairSignal<'a>> + 'a> {
    Box::new(rows.iter().map(|&(item_id, neighbor_id, score)| PairSignal { item_id, neighbor_id, score }))
}

fn replace(
    connection: &mut Connection,
    tenant: &TenantId,
    on: &str,
    popularity: Popularity<'_>,
    covisit: Covisit<'_>,
) -> Result<SignalsWritten, PostgresError> {
    let target = SignalTarget { tenant, namespace: "home", day: day(on), emptying: Emptying::Allowed };
    let signals = Signals { popularity: Some(items(popularity)), covisit: Some(pairs(covisit)) };
    connection.replace_signals(target, signals)
}

fn written(inserted: u64, updated: u64, deleted: u64, unchanged: u64) -> Written {
    Written { inserted, updated, deleted, unchanged }
}

fn both(database: &Database) -> Vec<String> {
    database.lines(
        "select tenant_id, namespace, day, item_id, '', score from item_popularity_daily union all
         select tenant_id, namespace, day, item_id, neighbor_id, score from item_covisit_daily order by 1, 2, 3, 4, 5",
    )
}

/// The rows with all that changes when they are written.
fn traces(database: &Database) -> Vec<String> {
    database.lines(
        "select item_id, '', ctid, xmin, xmax, updated_at from item_popularity_daily union all
         select item_id, neighbor_id, ctid, xmin, xmax, updated_at from item_covisit_daily order by 1, 2, 3",
    )
}

const AWKWARD: [&str; 9] =
    ["a", "A", "a,b", "say \"x\"", "line\nend\r", " blank ", "\\.", "\\N", "größe\u{1f600}'"];

#[test]
fn a_day_becomes_exactly_what_is_given() {
    let (database, demo) = prepared();
    let mut connection = open(&database);
    let mut first = |popularity: Popularity<'_>, covisit: Covisit<'_>| {
        replace(&mut connection, &demo, DAY, popularity, covisit).unwrap()
    };
    let done = first(&[("A", 3.0), ("B", 2.0), ("C", 1.0)], &[("A", "B", 2.0), ("B", "A", 2.0)]);
    assert_eq!(
        done,
        SignalsWritten { popularity: Some(written(3, 0, 0, 0)), covisit: Some(written(2, 0, 0, 0)) }
    );
    // B gone, C changed, D new; the pairs turned into others.
    let done = first(&[("A", 3.0), ("C", 1.5), ("D", 0.25)], &[("A", "B", 2.0), ("B", "C", 0.1)]);
    assert_eq!(
        done,
        SignalsWritten { popularity: Some(written(1, 1, 1, 1)), covisit: Some(written(1, 0, 1, 1)) }
    );
    let expected = [
        format!("{DEMO} home 2026-01-01 A  3.000000"),
        format!("{DEMO} home 2026-01-01 A B 2.000000"),
        format!("{DEMO} home 2026-01-01 B C 0.100000"),
        format!("{DEMO} home 2026-01-01 C  1.500000"),
        format!("{DEMO} home 2026-01-01 D  0.250000"),
    ];
    assert_eq!(both(&database), expected);
    // Nothing is a day, too.
    let done = first(&[], &[]);
    assert_eq!(
        done,
        SignalsWritten { popularity: Some(written(0, 0, 3, 0)), covisit: Some(written(0, 0, 2, 0)) }
    );
    assert_eq!(both(&database), [""; 0]);
}

#[test]
fn other_tenants_namespaces_days_and_tables_are_left_alone() {
    let (database, demo) = prepared();
    database.execute(&format!(
        "insert into item_popularity_daily values ('{DEMO}', 'home', 'A', '2026-01-02', 1),
             ('{DEMO}', 'cart', 'A', '{DAY}', 1), ('{OTHER}', 'home', 'A', '{DAY}', 1);
         insert into item_covisit_daily values ('{DEMO}', 'home', 'A', 'B', '2026-01-02', 1),
             ('{DEMO}', 'home', 'A', 'B', '{DAY}', 1), ('{OTHER}', 'home', 'A', 'B', '{DAY}', 1)"
    ));
    let before = traces(&database);
    let target =
        SignalTarget { tenant: &demo, namespace: "home", day: day(DAY), emptying: Emptying::Allowed };
    let signals = Signals { popularity: Some(items(&[("Z", 1.0)])), covisit: None };
    let done = open(&database).replace_signals(target, signals).unwrap();
    assert_eq!(done, SignalsWritten { popularity: Some(written(1, 0, 0, 0)), covisit: None });
    let after: Vec<_> = traces(&database).into_iter().filter(|line| !line.starts_with('Z')).collect();
    assert_eq!(after, before);
}

#[test]
fn the_same_rows_again_touch_nothing_and_one_item_less_only_its_rows() {
    let (database, demo) = prepared();
    let mut connection = open(&database);
    let popularity: Vec<_> =
        AWKWARD.iter().zip(1_u32..).map(|(item, n)| (*item, f64::from(n) / 7.0)).collect();
    let covisit: Vec<_> = AWKWARD
        .iter()
        .flat_map(|one| AWKWARD.iter().map(move |other| (*one, *other, 1e9 / 3.0)))
        .filter(|(one, other, _)| one != other)
        .collect();
    replace(&mut connection, &demo, DAY, &popularity, &covisit).unwrap();
    let (rows, before) = (both(&database), traces(&database));
    assert_eq!(rows.len(), 9 + 72);
    let items = database.rows("select item_id from item_popularity_daily order by score");
    assert!(items.into_iter().flatten().flatten().eq(AWKWARD));

    let done = replace(&mut connection, &demo, DAY, &popularity, &covisit).unwrap();
    assert_eq!(
        done,
        SignalsWritten { popularity: Some(written(0, 0, 0, 9)), covisit: Some(written(0, 0, 0, 72)) }
    );
    assert_eq!(traces(&database), before);

    let gone = AWKWARD[3];
    let popularity: Vec<_> = popularity.into_iter().filter(|row| row.0 != gone).collect();
    let covisit: Vec<_> = covisit.into_iter().filter(|row| row.0 != gone && row.1 != gone).collect();
    let done = replace(&mut connection, &demo, DAY, &popularity, &covisit).unwrap();
    assert_eq!(
        done,
        SignalsWritten { popularity: Some(written(0, 0, 1, 8)), covisit: Some(written(0, 0, 16, 56)) }
    );
    let is_left = |line: &String| !line.contains(gone);
    assert_eq!(traces(&database), before.into_iter().filter(is_left).collect::<Vec<_>>());
}

/// Writers that do not know of each other.
#[test]
fn two_writers_at_once_both_succeed_and_one_of_them_stays() {
    let (database, demo) = prepared();
    let names: Vec<String> = (0..2000).map(|n| format!("item-{n}")).collect();
    let one: Vec<_> = names[..1500].iter().map(|name| (name.as_str(), 1.0)).collect();
    let other: Vec<_> = names[500..].iter().map(|name| (name.as_str(), 2.0)).collect();
    let pairs_of = |rows: &[(&'static str, f64)]| {
        rows.iter().map(|&(item, score)| (item, "x", score)).collect::<Vec<_>>()
    };
    let pairs = [pairs_of(&[("p", 1.0), ("q", 1.0)]), pairs_of(&[("q", 2.0), ("r", 2.0)])];
    for (on, also) in [(DAY, DAY), (DAY, "2026-01-02")] {
        for _ in 0..5 {
            let barrier = Barrier::new(2);
            let write = |on: &'static str, popularity: &[(&str, f64)], covisit: &[(&str, &str, f64)]| {
                let mut connection = open(&database);
                barrier.wait();
                replace(&mut connection, &demo, on, popularity, covisit).map(drop)
            };
            let (one, other, pairs, write) = (&one, &other, &pairs, &write);
            thread::scope(|scope| {
                let left = scope.spawn(move || write(on, one, &pairs[0]));
                let right = scope.spawn(move || write(also, other, &pairs[1]));
                assert_eq!((left.join().unwrap(), right.join().unwrap()), (Ok(()), Ok(())));
            });
            let wholly = |on: &str| {
                database
                    .lines(&format!(
                        "select (select string_agg(distinct score::int::text, ',') || '/' || count(*)
                                 from item_popularity_daily where day = '{on}'),
                             (select string_agg(item_id || score::int, ',' order by item_id)
                                 from item_covisit_daily where day = '{on}')"
                    ))
                    .remove(0)
            };
            let [left, right] = ["1/1500 p1,q1", "2/1500 q2,r2"];
            if on == also {
                assert!([left, right].contains(&wholly(on).as_str()), "{}", wholly(on));
            } else {
                assert_eq!([wholly(on), wholly(also)], [left, right]);
            }
        }
    }
}

/// The server ends the session of a writer, at whatever it is doing.
#[test]
fn a_writer_that_is_cut_off_leaves_the_day_wholly_old_or_wholly_new() {
    let (database, demo) = prepared();
    let names: Vec<String> = (0..20_000).map(|n| format!("item-{n}")).collect();
    let rows = |score: f64| -> Vec<_> { names.iter().map(|name| (name.as_str(), score)).collect() };
    let mut connection = open(&database);
    let begun = Instant::now();
    replace(&mut connection, &demo, DAY, &rows(0.0), &[("a", "b", 0.0)]).unwrap();
    let usual = begun.elapsed();
    let (mut cut, mut old) = (0, 0);
    for round in 1..=10_u32 {
        let rows = rows(f64::from(round));
        let mut connection = open(&database);
        let outcome = thread::scope(|scope| {
            let covisit = [("a", "b", f64::from(round))];
            let writer = scope.spawn({
                let (demo, rows) = (&demo, &rows);
                move || replace(&mut connection, demo, DAY, rows, &covisit)
            });
            thread::sleep(usual * round / 10);
            cut_off(&database);
            writer.join().unwrap()
        });
        let state = database.lines(
            "select string_agg(distinct score::int::text, ','), count(*),
                 (select string_agg(score::int::text, ',') from item_covisit_daily) from item_popularity_daily",
        );
        if let Err(error) = &outcome {
            assert_fails(
                &database,
                error,
                Class::Transient,
                &["cannot write item_popularity_daily and", "cut"],
            );
            cut += 1;
        }
        let new = format!("{round} 20000 {round}");
        // Of a writer whose last answer is lost, nobody knows.
        let is_new = state == [new.clone()];
        assert!(is_new || outcome.is_err(), "{state:?}");
        if is_new {
            old = round;
        } else {
            assert_eq!(state, [format!("{old} 20000 {old}")]);
        }
    }
    assert!(cut > 0, "no writer was cut off");
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_written() {
    let (database, demo) = prepared();
    let mut connection = open(&database);
    replace(&mut connection, &demo, DAY, &[("old", 1.0)], &[]).unwrap();
    let before = both(&database);
    for score in [1e12, -1e12, 1e300, f64::NAN, f64::INFINITY] {
        let error = replace(&mut connection, &demo, DAY, &[("a", 1.0), ("big", score)], &[]).unwrap_err();
        let told = format!("item \"big\" has the score {score}, which does not fit numeric(18,6)");
        assert_fails(
            &database,
            &error,
            Class::Refused,
            &["write item_popularity_daily and item_covisit_daily", &told],
        );
    }
    let error = replace(&mut connection, &demo, DAY, &[("new", 1.0)], &[("a", "b\0c", 1.0)]).unwrap_err();
    assert_fails(&database, &error, Class::Refused, &[r#"item "b\0c" contains U+0000"#]);
    let error = replace(&mut connection, &demo, DAY, &[("", 1.0)], &[]).unwrap_err();
    assert_fails(&database, &error, Class::Refused, &[r#"item "" is empty"#]);
    // New ones collide; of those that are there, one would get lost.
    for twice in ["new", "old"] {
        let rows = [(twice, 1.0), (twice, 2.0)];
        let error = replace(&mut connection, &demo, DAY, &rows, &[]).unwrap_err();
        assert_fails(&database, &error, Class::Refused, &["item_popularity_daily"]);
    }
    assert_eq!(both(&database), before);
    // The connection is as good as new.
    let just_below = 999_999_999_999.999_9;
    replace(&mut connection, &demo, DAY, &[("big", just_below), ("small", 0.000_000_4)], &[]).unwrap();
    let scores = database.lines("select score from item_popularity_daily order by 1");
    assert_eq!(scores, ["0.000000", "999999999999.999900"]);
}

/// The server has the last word.
#[test]
fn a_column_that_is_narrower_refuses_by_itself() {
    let (database, demo) = prepared();
    database.execute("alter table item_popularity_daily alter score type numeric(5,2)");
    let error = replace(&mut open(&database), &demo, DAY, &[("a", 1.0), ("b", 1000.0)], &[]).unwrap_err();
    let parts =
        ["a value does not fit: numeric field overflow", "line 2, column score", "precision 5, scale 2"];
    assert_fails(&database, &error, Class::Refused, &parts);
}

#[test]
fn missing_tables_and_permissions_are_refused() {
    let (database, demo) = prepared();
    database.execute("drop table item_covisit_daily");
    let error = replace(&mut open(&database), &demo, DAY, &[("a", 1.0)], &[]).unwrap_err();
    assert_fails(&database, &error, Class::Usage, &["\"item_covisit_daily\" does not exist", "db init"]);
    assert_eq!(database.lines("select count(*) from item_popularity_daily"), ["0"]);
}

#[test]
fn who_waits_too_long_for_another_writer_says_so() {
    let (database, demo) = prepared();
    let timeouts = DatabaseTimeouts { statement: Some(Duration::from_millis(300)), ..TIMEOUTS };
    let mut patient = try_open(&database.url(), timeouts).unwrap();
    let (started, starts) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let slow = (0..2).map(move |n| {
        if n == 1 {
            started.send(()).unwrap();
            let _ = released.recv();
        }
        ItemSignal { item_id: ["a", "b"][n], score: 1.0 }
    });
    let target =
        SignalTarget { tenant: &demo, namespace: "home", day: day(DAY), emptying: Emptying::Allowed };
    thread::scope(|scope| {
        let mut connection = open(&database);
        let writer = scope.spawn(move || {
            let signals = Signals { popularity: Some(Box::new(slow)), covisit: None };
            connection.replace_signals(target, signals)
        });
        starts.recv().unwrap();
        let error = replace(&mut patient, &demo, "2026-01-02", &[], &[]).unwrap_err();
        assert_fails(&database, &error, Class::Transient, &["statement timeout"]);
        drop(release);
        writer.join().unwrap().unwrap();
    });
    assert!(replace(&mut patient, &demo, "2026-01-02", &[], &[]).is_ok());
}

/// Whatever the server's default is.
#[test]
fn a_stricter_default_of_the_server_changes_nothing() {
    let (database, demo) = prepared();
    let set = format!("alter database {} set default_transaction_isolation", database.name());
    database.execute(&format!("{set} = 'serializable'"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope
                .spawn(|| replace(&mut open(&database), &demo, DAY, &[("a", 1.0), ("b", 2.0)], &[]).unwrap());
        }
    });
    assert_eq!(both(&database).len(), 2);
}

#[test]
fn rows_are_not_replaced_by_none_unless_that_is_allowed() {
    let (database, demo) = prepared();
    let mut connection = open(&database);
    let target =
        SignalTarget { tenant: &demo, namespace: "home", day: day(DAY), emptying: Emptying::Refused };
    let signals = |popularity: Popularity<'static>, covisit: Covisit<'static>| Signals {
        popularity: Some(items(popularity)),
        covisit: Some(pairs(covisit)),
    };
    // Nothing is replaced by nothing.
    connection.replace_signals(target, signals(&[], &[])).unwrap();
    connection.replace_signals(target, signals(&[("A", 1.0)], &[("A", "B", 1.0), ("B", "A", 1.0)])).unwrap();
    let before = both(&database);
    let error = connection.replace_signals(target, signals(&[], &[])).unwrap_err();
    let parts = ["no row was given for 2026-01-01, and item_popularity_daily has 1", "validation.min_events"];
    assert_fails(&database, &error, Class::Refused, &parts);
    assert_eq!(both(&database), before);
    // A day with popular items and no pairs is a day.
    connection.replace_signals(target, signals(&[("B", 1.0)], &[])).unwrap();
    assert_eq!(both(&database).len(), 1);
    let target = SignalTarget { emptying: Emptying::Allowed, ..target };
    connection.replace_signals(target, signals(&[], &[])).unwrap();
    assert_eq!(both(&database), [""; 0]);
}
