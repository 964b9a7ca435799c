//! A blocking connection to a server, on top of an asynchronous library.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow, PgSslMode, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tokio::runtime::Runtime;

use recsys_core::database::{DatabaseTimeouts, Mode, RowSecurity};
use recsys_core::threads::interrupt::{self, Interrupted};
use recsys_core::threads::silence::Silence;

use crate::dsn::Dsn;
use crate::error::{PostgresError, Problem, unconnected};

/// What a server's list of sessions shows of the jobs.
pub(crate) const APPLICATION: &str = "recsys-pipelines";

/// How much longer than the server the client waits for a statement; a later answer means a network fault.
const GRACE: Duration = Duration::from_secs(30);

/// How long the server waits for the next statement of a transaction; there is no work between statements.
const IDLE: Duration = Duration::from_mins(1);

/// An open connection.
pub struct Connection {
    // Before `runtime`, so that it is dropped first.
    session: PgConnection,
    runtime: Runtime,
    server: String,
    /// The server cancels a statement after this time.
    statement: Option<Duration>,
    /// Maximum time to wait for an answer.
    limit: Duration,
    row_security: RowSecurity,
    /// Logs a long wait once per connection, because statements on many rows may take long.
    silence: Silence,
    /// Whether an answer failed to arrive; then no other will.
    is_lost: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects. `application` appears in the server's list of sessions, unless the DSN sets a name.
    pub fn open(
        dsn: &Dsn,
        application: &str,
        timeouts: DatabaseTimeouts,
        row_security: RowSecurity,
    ) -> Result<Self, PostgresError> {
        let server = dsn.server().to_owned();
        let error = |problem| PostgresError { action: "connect to".into(), server: server.clone(), problem };
        let runtime = runtime().map_err(|cause| error(Problem::Answer(cause.to_string())))?;
        let mut options = dsn.options().clone();
        if options.get_application_name().is_none() {
            options = options.application_name(application);
        }
        let statement = timeouts.statement;
        let begun = Instant::now();
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .without_max_times();
        let may_be_tried = |problem: &Problem| {
            problem.may_heal() && begun.elapsed() < timeouts.connect && interrupt::check().is_ok()
        };
        let attempts = (|| attempt(&options, dsn.connect_timeout()))
            .retry(delays)
            .sleep(tokio::time::sleep)
            .when(may_be_tried);
        let longest = timeouts.connect.saturating_add(dsn.connect_timeout());
        let silence = Silence::default();
        let session = runtime.block_on(silence.watch(&server, longest, attempts)).map_err(error)?;
        let limit = statement
            .filter(|timeout| !timeout.is_zero())
            .map_or(Duration::MAX, |statement| statement.saturating_add(GRACE));
        Ok(Self { session, runtime, server, statement, limit, row_security, silence, is_lost: false })
    }

    /// Database, host and port, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Adds the action and the server to a problem.
    pub(crate) fn error(&self, action: impl Into<String>, problem: Problem) -> PostgresError {
        PostgresError { action: action.into(), server: self.server.clone(), problem }
    }

    /// Runs a statement and returns the number of affected rows. Parameters are text, which the statement casts.
    pub(crate) fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Problem> {
        let done = within(self.limit, query(sql, parameters).execute(&mut self.session));
        let done = self.runtime.block_on(self.silence.watch(&self.server, self.limit, done));
        Ok(self.noted(done)?.rows_affected())
    }

    /// Runs a query whose columns are all text.
    pub(crate) fn rows(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Problem> {
        let rows = within(self.limit, query(sql, parameters).fetch_all(&mut self.session));
        let rows = self.runtime.block_on(self.silence.watch(&self.server, self.limit, rows));
        let rows = self.noted(rows)?;
        let texts = |row: &PgRow| (0..row.len()).map(|column| row.try_get(column)).collect();
        rows.iter().map(texts).collect::<Result<_, sqlx::Error>>().map_err(Problem::from)
    }

    /// The number that a query returns as text; 0 if it returns none.
    pub(crate) fn number(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Problem> {
        let number = self.rows(sql, parameters)?.into_iter().flatten().flatten().next();
        Ok(number.and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    /// Runs a `COPY … FROM STDIN` with the data that `fill` writes to the buffer, until `fill` leaves it empty.
    ///
    /// `fill` runs outside the runtime, so it may block on another one.
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
                // If even the abort fails, the connection is lost; the rollback will show it.
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

    /// Records whether a problem ends the connection.
    fn noted<T>(&mut self, done: Result<T, Problem>) -> Result<T, Problem> {
        self.is_lost |= done.as_ref().is_err_and(Problem::ends_connection);
        done
    }

    /// Begins a transaction.
    ///
    /// Every statement runs in a transaction: outside of one, a pooler may switch server sessions between two
    /// statements, and even between the messages of one with parameters. So the timeout is local to the transaction,
    /// too.
    pub(crate) fn begin(&mut self, characteristics: &str) -> Result<(), Problem> {
        // Postgres stores milliseconds as a 31-bit number.
        let milliseconds = self.statement.map(|timeout| timeout.as_millis().min(i32::MAX as u128));
        let timeout = milliseconds.map(|timeout| format!("; set local statement_timeout = {timeout}"));
        let timeout = timeout.unwrap_or_default();
        // A client that stops in mid-transaction must not block the others.
        let idle = format!("set local idle_in_transaction_session_timeout = {}", IDLE.as_millis());
        let hidden = match self.row_security {
            RowSecurity::Refuse => "; set local row_security = off",
            RowSecurity::Apply => "",
        };
        self.command(&format!("begin {characteristics}{timeout}; {idle}{hidden}"))
    }

    /// Runs statements without parameters in one message.
    pub(crate) fn command(&mut self, sql: &str) -> Result<(), Problem> {
        let done = within(self.limit, sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.session));
        let done = self.runtime.block_on(self.silence.watch(&self.server, self.limit, done));
        self.noted(done).map(drop)
    }

    /// Runs `work` in a transaction; rolls back if it fails or in a dry run.
    pub(crate) fn transaction<T, E: From<Problem>>(
        &mut self,
        mode: Mode,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // Set explicitly, whatever the server's default: what another writer commits while this one waits for its
        // lock must be visible.
        self.begin("isolation level read committed")?;
        let done = work(self);
        if self.is_lost {
            // The server rolls back on a lost connection by itself; asking would only cost another timeout.
            return done;
        }
        let end = if done.is_ok() && mode == Mode::Write { "commit" } else { "rollback" };
        match (self.command(end), done) {
            (Err(problem), Ok(_)) => Err(problem.into()),
            // If the rollback fails, nothing was committed either.
            (_, done) => done,
        }
    }

    /// Splits the connection, for a caller that does its own waiting.
    pub(crate) fn into_parts(self) -> (PgConnection, Runtime) {
        (self.session, self.runtime)
    }

    /// Maximum time to wait for an answer.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

/// A statement with its parameters. The server does not keep it prepared: it is not reused, and poolers do not
/// support that well.
pub(crate) fn query<'a>(sql: &str, parameters: &[&'a str]) -> Query<'a, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    parameters.iter().fold(query, |query, parameter| query.bind(*parameter))
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Waits for an answer until the limit or an interruption.
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
        // `prefer` means to go on without TLS if it fails.
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
