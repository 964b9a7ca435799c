//! Jobs that are killed, disconnected or stopped while they write.

use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use recsys_testkit::postgres::Held;
use recsys_testkit::process::{end, signal, wait_until};
use recsys_testkit::sandbox::Finished;
use recsys_testkit::seed::random;
use serde_json::json;

use crate::signals::ingested;
use crate::{DAY, Pilot};

fn spawn(pilot: &Pilot) -> Child {
    pilot.command("job_db_signals", DAY).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Writes a day with so many pairs that writing its signals takes a while.
fn write_day(pilot: &Pilot, salt: usize) {
    let sessions: Vec<(String, Vec<String>)> = (0..300)
        .map(|session| {
            (
                format!("s{session}"),
                (0..20).map(|n| format!("i{:04}", (session * 31 + n * n * salt) % 900)).collect(),
            )
        })
        .collect();
    pilot.write_sessions(&sessions);
    pilot.run("job_ingest", DAY).ok();
    pilot.run("job_popularity", DAY).ok();
    pilot.run("job_cooc", DAY).ok();
}

#[test]
fn a_job_that_is_killed_leaves_the_day_wholly_old_or_wholly_new() {
    let mut pilot = Pilot::new();
    pilot.config["limits"] = json!({"min_cooc_support": 1, "max_neighbors_per_item": 1000});
    pilot.configure(|_| ());
    write_day(&pilot, 3);
    pilot.run("job_db_signals", DAY).ok();
    let mut old = pilot.signals();
    assert!(old.len() > 50_000, "{}", old.len());
    let (mut killed, mut random) = (0, random());
    for round in 0..10 {
        write_day(&pilot, 5 + round);
        // Measure the duration with a full write, and undo it by restoring the old rows.
        let job = spawn(&pilot);
        writes(&pilot);
        let begun = Instant::now();
        Finished::from(job.wait_with_output().unwrap()).ok();
        let took = begun.elapsed();
        let new = pilot.signals();
        assert_ne!(new, old);
        // Restore the old rows; the next write has the same amount to do.
        pilot.database.execute("truncate item_popularity_daily; truncate item_covisit_daily");
        restore(&pilot, &old);
        let mut job = spawn(&pilot);
        writes(&pilot);
        thread::sleep(took.mul_f64(random.fraction()));
        job.kill().unwrap();
        let finished = job.wait_with_output().unwrap();
        killed += usize::from(!finished.status.success());
        // The server finishes or aborts its work once it notices the disconnect.
        settle(&pilot);
        let found = pilot.signals();
        assert!(
            found == old || found == new,
            "round {round}: {} rows of {} or {}",
            found.len(),
            old.len(),
            new.len()
        );
        pilot.run("job_db_signals", DAY).ok();
        assert_eq!(pilot.signals(), new, "round {round}");
        old = new;
    }
    assert!(killed > 0, "no kill came in time");
}

/// Replaces all signals with the given ones.
fn restore(pilot: &Pilot, signals: &[String]) {
    let tenant = crate::DEMO;
    let (mut items, mut pairs) = (Vec::new(), Vec::new());
    for line in signals {
        let [day, item, neighbor, score] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if neighbor.is_empty() {
            items.push(format!("('{tenant}', 'home', '{item}', '{day}', {score})"));
        } else {
            pairs.push(format!("('{tenant}', 'home', '{item}', '{neighbor}', '{day}', {score})"));
        }
    }
    for rows in items.chunks(10_000) {
        let columns = "(tenant_id, namespace, item_id, day, score)";
        pilot
            .database
            .execute(&format!("insert into item_popularity_daily {columns} values {}", rows.join(",")));
    }
    for rows in pairs.chunks(10_000) {
        let columns = "(tenant_id, namespace, item_id, neighbor_id, day, score)";
        pilot
            .database
            .execute(&format!("insert into item_covisit_daily {columns} values {}", rows.join(",")));
    }
}

/// Waits until the job has begun to write: only then does a transaction get a number.
fn writes(pilot: &Pilot) {
    let sessions = format!(
        "select 1 from pg_stat_activity where datname = '{}' and application_name = 'recsys-pipelines' \
         and backend_xid is not null",
        pilot.database.name()
    );
    wait_until("the job does not begin to write", || !pilot.database.lines(&sessions).is_empty());
}

/// Waits until no session of a job is left.
fn settle(pilot: &Pilot) {
    let sessions = format!(
        "select 1 from pg_stat_activity where datname = '{}' and application_name = 'recsys-pipelines'",
        pilot.database.name()
    );
    wait_until("a session of a killed job stays", || pilot.database.lines(&sessions).is_empty());
}

/// Holds the rows that the job wants to change.
fn hold(pilot: &Pilot) -> Held {
    pilot.database.hold("select from item_covisit_daily for update")
}

/// Waits until the job waits for the rows; returns the process id of its session.
fn blocked(pilot: &Pilot) -> String {
    let sql = format!(
        "select pid from pg_stat_activity where datname = '{}' and application_name = 'recsys-pipelines'
         and wait_event_type = 'Lock' and query not like '%advisory%'",
        pilot.database.name()
    );
    let mut found = Vec::new();
    wait_until("the job never waits for the rows", || {
        found = pilot.database.lines(&sql);
        found.len() == 1
    });
    found.remove(0)
}

/// A pilot with written signals whose raw data has changed since.
fn changed() -> Pilot {
    let pilot = ingested();
    pilot.run("job_db_signals", DAY).ok();
    pilot.write_sessions(&[("s1", &["A", "B"][..]), ("s2", &["A", "C", "D"])]);
    pilot.run("job_ingest", DAY).ok();
    pilot
}

#[test]
fn a_job_that_is_killed_in_the_middle_of_its_merge_leaves_the_day_as_it_was() {
    let pilot = changed();
    let before = pilot.traces();
    let holder = hold(&pilot);
    let mut job = spawn(&pilot);
    blocked(&pilot);
    job.kill().unwrap();
    job.wait().unwrap();
    drop(holder);
    settle(&pilot);
    assert_eq!(pilot.traces(), before);
    pilot.run("job_db_signals", DAY).ok();
    assert_ne!(pilot.traces(), before);
}

#[test]
fn a_job_that_waits_for_rows_stops_when_it_is_asked_to() {
    let pilot = changed();
    let before = pilot.traces();
    let holder = hold(&pilot);
    let job = spawn(&pilot);
    blocked(&pilot);
    signal(&job, "-TERM");
    let finished = Finished::from(end(job));
    pilot.hides_password(&finished);
    finished.fails(1, &["stopped by SIGTERM: cannot write item_popularity_daily and item_covisit_daily"]);
    drop(holder);
    settle(&pilot);
    assert_eq!(pilot.traces(), before);
}

#[test]
fn a_connection_that_is_cut_is_a_failure_that_may_be_tried_again() {
    let pilot = changed();
    let before = pilot.traces();
    let holder = hold(&pilot);
    let job = spawn(&pilot);
    let session = blocked(&pilot);
    pilot.database.execute(&format!("select pg_terminate_backend({session})"));
    let finished = Finished::from(job.wait_with_output().unwrap());
    pilot.hides_password(&finished);
    finished.fails(
        1,
        &["cannot write item_popularity_daily and item_covisit_daily in database", "the connection was cut"],
    );
    drop(holder);
    assert_eq!(pilot.traces(), before);
}

#[test]
fn a_statement_that_takes_too_long_is_stopped() {
    let pilot = changed();
    let before = pilot.traces();
    let holder = hold(&pilot);
    pilot.configure(|config| config["db"] = json!({"statement_timeout_s": 1}));
    pilot
        .run("job_db_signals", DAY)
        .fails(1, &["canceling statement due to statement timeout", "statement_timeout_s"]);
    drop(holder);
    assert_eq!(pilot.traces(), before);
    pilot.run("job_db_signals", DAY).ok();
}

#[test]
fn a_second_writer_waits_for_the_first() {
    let pilot = changed();
    let holder = hold(&pilot);
    let first = spawn(&pilot);
    blocked(&pilot);
    let second = spawn(&pilot);
    let waits = format!(
        "select 1 from pg_stat_activity where datname = '{}' and wait_event = 'advisory'",
        pilot.database.name()
    );
    wait_until("the second writer does not wait", || !pilot.database.lines(&waits).is_empty());
    drop(holder);
    for job in [first, second] {
        Finished::from(job.wait_with_output().unwrap()).ok();
    }
}
