//! Jobs that are killed, disconnected or stopped while they write.

use std::hash::{BuildHasher, RandomState};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use recsys_testkit::sandbox::Finished;
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
    let mut killed = 0;
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
        let part = u32::try_from(RandomState::new().hash_one(round) % 1000).unwrap();
        let mut job = spawn(&pilot);
        writes(&pilot);
        thread::sleep(took * part / 1000);
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
    let begun = Instant::now();
    while pilot.lines(&sessions).is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the job does not begin to write");
    }
}

/// Waits until no session of a job is left.
fn settle(pilot: &Pilot) {
    let sessions = format!(
        "select 1 from pg_stat_activity where datname = '{}' and application_name = 'recsys-pipelines'",
        pilot.database.name()
    );
    let begun = Instant::now();
    while !pilot.lines(&sessions).is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1), "a session of a killed job stays");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A thread whose transaction holds a row that the job wants to change.
struct Holder {
    release: std::sync::mpsc::Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Holder {
    /// Locks the rows of an item; returns once they are locked.
    fn new(pilot: &Pilot) -> Self {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (held, holds) = std::sync::mpsc::channel();
        let url = pilot.database.url();
        let thread = thread::spawn(move || {
            let mut psql = std::process::Command::new("psql");
            psql.args(["--quiet", "--no-psqlrc", "--tuples-only", &url]);
            psql.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut psql = psql.spawn().unwrap();
            let mut input = psql.stdin.take().unwrap();
            let sql = "begin; select 'held ' || count(*) from (select from item_covisit_daily for update) as rows;\n";
            std::io::Write::write_all(&mut input, sql.as_bytes()).unwrap();
            let mut line = String::new();
            let mut output = std::io::BufReader::new(psql.stdout.take().unwrap());
            while !line.contains("held") {
                assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0, "{line}");
            }
            held.send(()).unwrap();
            let _ = released.recv();
            std::io::Write::write_all(&mut input, b"rollback;\n").unwrap();
            drop(input);
            psql.wait().unwrap();
        });
        holds.recv().unwrap();
        Self { release, thread: Some(thread) }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.release.send(());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Waits until the job waits for the rows; returns the process id of its session.
fn blocked(pilot: &Pilot) -> String {
    let sql = format!(
        "select pid from pg_stat_activity where datname = '{}' and application_name = 'recsys-pipelines'
         and wait_event_type = 'Lock' and query not like '%advisory%'",
        pilot.database.name()
    );
    let begun = Instant::now();
    loop {
        if let [pid] = &pilot.lines(&sql)[..] {
            return pid.clone();
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "the job never waits for the rows");
        thread::sleep(Duration::from_millis(20));
    }
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
    let holder = Holder::new(&pilot);
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
    let holder = Holder::new(&pilot);
    let mut job = spawn(&pilot);
    blocked(&pilot);
    assert!(Command::new("kill").arg(job.id().to_string()).status().unwrap().success());
    let begun = Instant::now();
    while job.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it waits on");
        thread::sleep(Duration::from_millis(20));
    }
    let finished = Finished::from(job.wait_with_output().unwrap());
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
    let holder = Holder::new(&pilot);
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
    let holder = Holder::new(&pilot);
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
    let holder = Holder::new(&pilot);
    let first = spawn(&pilot);
    blocked(&pilot);
    let second = spawn(&pilot);
    let waits = format!(
        "select 1 from pg_stat_activity where datname = '{}' and wait_event = 'advisory'",
        pilot.database.name()
    );
    let begun = Instant::now();
    while pilot.lines(&waits).is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the second writer does not wait");
        thread::sleep(Duration::from_millis(20));
    }
    drop(holder);
    for job in [first, second] {
        Finished::from(job.wait_with_output().unwrap()).ok();
    }
}
