//! A connection pool in transaction mode between jobs and server: each transaction may run in another session.

use std::process::{Child, Command, Stdio};

use recsys_testkit::process::wait_until;
use recsys_testkit::sandbox::Finished;

use crate::signals::ingested;
use crate::{Pilot, SCOPE};

/// Debian keeps it out of the users' `PATH`.
const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

/// A connection pool in front of the server; stopped when dropped.
struct Pool {
    process: Child,
    port: u16,
}

impl Pool {
    /// Starts a pool of two sessions, used in turns.
    fn start(pilot: &Pilot) -> Self {
        let url = pilot.database.url();
        let (login, place) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (host, port) = place.split_once('/').unwrap().0.split_once(':').unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        drop(listener);
        let settings = format!(
            "[databases]\n* = host={host} port={port} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 2\nserver_round_robin = 1\n"
        );
        let settings = pilot.sandbox.write("pool.ini", settings);
        // PgBouncer refuses to run as root.
        let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
        let mut command = if root { Command::new("setpriv") } else { Command::new(PGBOUNCER) };
        if root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", PGBOUNCER]);
        }
        command.arg("--quiet").arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut pool = Self { process: command.spawn().unwrap(), port: own };
        wait_until("the pool does not answer", || {
            assert!(pool.process.try_wait().unwrap().is_none(), "the pool does not start");
            std::net::TcpStream::connect(("127.0.0.1", own)).is_ok()
        });
        pool
    }

    fn command(&self, pilot: &Pilot, binary: &str, line: &str) -> Command {
        let mut command = pilot.command(binary, line);
        let dsn = format!("postgres://anyone:x@127.0.0.1:{}/{}", self.port, pilot.database.name());
        command.env("RECSYS_PIPELINES__DB__DSN", dsn);
        command
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn jobs_get_along_with_a_pool_that_changes_sessions() {
    let pilot = ingested();
    pilot.run("job_db_signals", &format!("{SCOPE} --start 2026-01-01")).ok();
    let rows = pilot.signals();
    pilot.database.execute("delete from item_popularity_daily; delete from item_covisit_daily");
    let pool = Pool::start(&pilot);
    pilot.sandbox.write("catalog.csv", "item_id,tags,price\nA,x,1.5\nB,y,2\n");
    pilot.finish(&mut pool.command(&pilot, "recsys-pipelines", "db init --config config.json")).ok();
    for _ in 0..3 {
        let lines = [
            ("job_db_signals", format!("{SCOPE} --start 2026-01-01")),
            ("job_catalog", format!("{SCOPE} --input catalog.csv --prune")),
            ("job_db_signals", format!("{SCOPE} --start 2026-01-01")),
            ("job_catalog", format!("{SCOPE} --input catalog.csv --dry-run")),
            ("recsys-pipelines", format!("run {SCOPE} --start 2026-01-01")),
        ];
        let jobs = lines.map(|(binary, line)| {
            let mut command = pool.command(&pilot, binary, &line);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        for job in jobs {
            Finished::from(job.wait_with_output().unwrap()).ok();
        }
        assert_eq!(pilot.signals(), rows);
        assert_eq!(pilot.database.lines("select item_id from item_tags order by 1"), ["A", "B"]);
    }
    pilot.database.execute(&format!(
        "insert into exposure_events values ('{}', '2026-01-05T08:00:00Z', gen_random_uuid(), 'home', null, null, 's',
             '{{\"items\": [{{\"item_id\": \"A\"}}]}}')",
        crate::DEMO
    ));
    pilot.configure(|config| config["raw_source"] = serde_json::json!({"type": "postgres"}));
    let ingest =
        pilot.finish(&mut pool.command(&pilot, "job_ingest", &format!("{SCOPE} --start 2026-01-05")));
    assert!(ingest.ok().stdout.contains("exposure_events: 1 rows"), "{ingest:?}");
}
