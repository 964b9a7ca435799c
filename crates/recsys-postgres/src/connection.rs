//! A connection to a server, without the asynchrony of the library below it.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow, PgSslMode, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tokio::runtime::Runtime;

use recsys_core::database::{Mode, Patience, RowSecurity};
use recsys_core::threads::interrupt::{self, Interrupted};
use recsys_core::threads::silence::Silence;

use crate::dsn::Dsn;
use crate::fault::{PostgresError, Problem, unconnected};

/// How much later than the server the client gives up on a statement: by then the network is to blame.
const GRACE: Duration = Duration::from_secs(30);

/// How long the server waits for the next statement of a transaction. What lies between two of them is no work.
const IDLE: Duration = Duration::from_mins(1);

/// An open connection.
pub struct Connection {
    // First, so that it is dropped before its runtime.
    session: PgConnection,
    runtime: Runtime,
    server: String,
    /// After this the server stops a statement.
    statement: Option<Duration>,
    /// How long to wait for any one answer.
    limit: Duration,
    row_security: RowSecurity,
    /// Told once for each connection: a statement on many rows takes its time.
    silence: Silence,
    /// Whether an answer did not come: then no other one will.
    is_lost: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects. `application` is what the server's list of sessions shows, unless the DSN says otherwise.
    pub fn open(
        dsn: &Dsn,
        application: &str,
        patience: Patience,
        row_security: RowSecurity,
    ) -> Result<Self, PostgresError> {
        let server = dsn.server().to_owned();
        let error = |problem| PostgresError { action: "connect to".into(), server: server.clone(), problem };
        let runtime = runtime().map_err(|cause| error(Problem::Answer(cause.to_string())))?;
        let mut options = dsn.options().clone();
        if options.get_application_name().is_none() {
            options = options.application_name(application);
        }
        let statement = patience.statement;
        let begun = Instant::now();
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .without_max_times();
        let may_be_tried = |problem: &Problem| {
            problem.may_heal() && begun.elapsed() < patience.connect && interrupt::check().is_ok()
        };
        let attempts = (|| attempt(&options, dsn.connect_timeout()))
            .retry(delays)
            .sleep(tokio::time::sleep)
            .when(may_be_tried);
        let longest = patience.connect.saturating_add(dsn.connect_timeout());
        let silence = Silence::default();
        let session = runtime.block_on(silence.told(&server, longest, attempts)).map_err(error)?;
        let limit = statement
            .filter(|timeout| !timeout.is_zero())
            .map_or(Duration::MAX, |statement| statement.saturating_add(GRACE));
        Ok(Self { session, runtime, server, statement, limit, row_security, silence, is_lost: false })
    }

    /// Database, host and port.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A problem, and what it was met with.
    pub(crate) fn error(&self, action: impl Into<String>, problem: Problem) -> PostgresError {
        PostgresError { action: action.into(), server: self.server.clone(), problem }
    }

    /// Runs a statement; parameters are text, which the statement casts. Returns the number of rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Problem> {
        let done = within(self.limit, query(sql, parameters).execute(&mut self.session));
        let done = self.runtime.block_on(self.silence.told(&self.server, self.limit, done));
        Ok(self.noted(done)?.rows_affected())
    }

    /// The rows of a query whose columns are all text.
    pub(crate) fn rows(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Problem> {
        let rows = within(self.limit, query(sql, parameters).fetch_all(&mut self.session));
        let rows = self.runtime.block_on(self.silence.told(&self.server, self.limit, rows));
        let rows = self.noted(rows)?;
        let texts = |row: &PgRow| (0..row.len()).map(|column| row.try_get(column)).collect();
        rows.iter().map(texts).collect::<Result<_, sqlx::Error>>().map_err(Problem::from)
    }

    /// The number that a query yields as text; 0 when it yields none.
    pub(crate) fn number(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Problem> {
        let number = self.rows(sql, parameters)?.into_iter().flatten().flatten().next();
        Ok(number.and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    /// Sends what `fill` puts into the buffer to a `COPY … FROM STDIN`, until it leaves it empty.
    ///
    /// `fill` runs outside of the runtime, and may wait for another one.
    pub(crate) fn copy<E: From<Problem>>(
        &mut self,
        sql: &str,
        mut fill: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let Self { session, runtime, limit, is_lost, .. } = self;
        let limit = *limit;
        let mut noted = |problem: Problem| {
            *is_lost |= problem.ends_connection();
            problem
        };
        let mut copy = runtime.block_on(within(limit, session.copy_in_raw(sql))).map_err(&mut noted)?;
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            if let Err(error) = fill(&mut buffer) {
                // A connection that cannot even be told is of no use; the rollback will show it.
                let _ = runtime.block_on(within(limit, copy.abort("the rows end early"))).map_err(&mut noted);
                return Err(error);
            }
            if buffer.is_empty() {
                return Ok(runtime.block_on(within(limit, copy.finish())).map_err(noted)?);
            }
            let sent = async { copy.send(buffer.as_slice()).await.map(drop) };
            runtime.block_on(within(limit, sent)).map_err(&mut noted)?;
        }
    }

    /// Notes whether a problem is the end of the connection.
    fn noted<T>(&mut self, done: Result<T, Problem>) -> Result<T, Problem> {
        self.is_lost |= done.as_ref().is_err_and(Problem::ends_connection);
        done
    }

    /// Begins a transaction.
    ///
    /// Every statement is part of one: between two that are not, a pooler may change the session of the server, even
    /// between the parts of one with parameters. For the same reason the timeout is that of the transaction.
    pub(crate) fn begin(&mut self, characteristics: &str) -> Result<(), Problem> {
        // What Postgres keeps as a number of milliseconds has 31 bits.
        let milliseconds = self.statement.map(|timeout| timeout.as_millis().min(i32::MAX as u128));
        let timeout = milliseconds.map(|timeout| format!("; set local statement_timeout = {timeout}"));
        let timeout = timeout.unwrap_or_default();
        // A client that has stopped in the middle must not keep the others waiting.
        let idle = format!("set local idle_in_transaction_session_timeout = {}", IDLE.as_millis());
        let hidden = match self.row_security {
            RowSecurity::Refuse => "; set local row_security = off",
            RowSecurity::Apply => "",
        };
        self.command(&format!("begin {characteristics}{timeout}; {idle}{hidden}"))
    }

    /// Runs statements that have no parameters, in one message.
    pub(crate) fn command(&mut self, sql: &str) -> Result<(), Problem> {
        let done = within(self.limit, sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.session));
        let done = self.runtime.block_on(self.silence.told(&self.server, self.limit, done));
        self.noted(done).map(drop)
    }

    /// Does all that `work` does, or nothing.
    pub(crate) fn transaction<T, E: From<Problem>>(
        &mut self,
        mode: Mode,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // Whatever the default of the server is: what another writer commits while this one waits for its lock must
        // be seen.
        self.begin("isolation level read committed")?;
        let done = work(self);
        if self.is_lost {
            // The server rolls back what it has lost the client of; to ask it to would only cost the time again.
            return done;
        }
        let end = if done.is_ok() && mode == Mode::Write { "commit" } else { "rollback" };
        match (self.command(end), done) {
            (Err(problem), Ok(_)) => Err(problem.into()),
            // What cannot be rolled back was never committed.
            (_, done) => done,
        }
    }

    /// The parts, for a caller that waits by itself.
    pub(crate) fn into_parts(self) -> (PgConnection, Runtime) {
        (self.session, self.runtime)
    }

    /// How long to wait for any one answer.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

/// A statement with its parameters. It is not kept by the server for another time: there is none, and poolers do
/// not get along with it.
pub(crate) fn query<'a>(sql: &str, parameters: &[&'a str]) -> Query<'a, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    parameters.iter().fold(query, |query, parameter| query.bind(*parameter))
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Waits for an answer, but not for ever.
pub(crate) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, Problem> {
    match interrupt::or_stop(tokio::time::timeout(limit, answer)).await {
        Ok(Ok(answer)) => Ok(answer?),
        Ok(Err(_)) => Err(Problem::NoAnswer(limit.as_secs())),
        Err(Interrupted) => Err(Problem::Interrupted),
    }
}

async fn attempt(options: &PgConnectOptions, limit: Duration) -> Result<PgConnection, Problem> {
    let connect = async {
        let first = options.connect().await.map_err(unconnected);
        // To prefer TLS is to do without it where it fails.
        match (first, options.get_ssl_mode()) {
            (Err(Problem::Tls(_)), PgSslMode::Prefer) => {
                options.clone().ssl_mode(PgSslMode::Disable).connect().await.map_err(unconnected)
            }
            (first, _) => first,
        }
    };
    let connected = interrupt::or_stop(tokio::time::timeout(limit, connect)).await;
    connected.map_err(|Interrupted| Problem::Interrupted)?.unwrap_or(Err(Problem::NoAnswer(limit.as_secs())))
}
