//! Waits for the answers of bucket services. The rest of the crate is synchronous.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use object_store::Error;
use tokio::runtime::Runtime;

use super::{BucketError, BucketProblem, StoreTimeouts};
use crate::threads::interrupt::{self, Interrupted};
use crate::threads::parallel::{self, NotStarted};
use crate::threads::silence::Silence;

/// Threads of the network runtime.
const RUNTIME_THREADS: usize = 2;

/// Time limit for these threads to start.
const LONGEST_START: Duration = Duration::from_secs(10);

/// The network runtime, for all buckets of the process.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    parallel::can_start(RUNTIME_THREADS + 1).map_err(io::Error::other)?;
    // If another process takes the last free thread in the meantime, the library panics, and then waits for ever for
    // the threads it has started. So it is built in a thread of its own, with a time limit.
    let (send, receive) = sync_channel(1);
    let build = move || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let _ = send.send(builder.worker_threads(RUNTIME_THREADS).enable_all().build());
    };
    let not_started = |error| io::Error::other(NotStarted(error));
    thread::Builder::new().spawn(build).map_err(not_started)?;
    let runtime =
        receive.recv_timeout(LONGEST_START).map_err(|error| not_started(io::Error::other(error)))??;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Waits for the answers of a service.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    /// Name of the service in messages, such as its endpoint.
    pub(super) service: String,
    pub(super) runtime: &'static Runtime,
    pub(super) timeouts: StoreTimeouts,
    state: Arc<ServiceState>,
}

/// State of a service, shared by all its waiters.
#[derive(Debug, Default)]
struct ServiceState {
    silence: Silence,
    has_answered: AtomicBool,
}

impl Waiter {
    pub(super) fn new(service: String, timeouts: StoreTimeouts) -> io::Result<Self> {
        Ok(Self { service, runtime: runtime()?, timeouts, state: Arc::default() })
    }

    /// A fault of the service as an I/O error.
    pub(super) fn bucket_error(&self, problem: BucketProblem) -> io::Error {
        io::Error::other(BucketError { service: self.service.clone(), problem })
    }

    /// The library's error as an I/O error.
    pub(super) fn io_error(&self, error: &Error) -> io::Error {
        if interrupt::is_cause(error) {
            return Interrupted.into();
        }
        io::Error::other(BucketError::new(&self.service, error))
    }

    /// Waits for an answer, at most `longest`, unless the process is asked to stop meanwhile.
    pub(super) fn wait<T>(
        &self,
        longest: Duration,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.wait_for_all(self.within(longest, answer))
    }

    /// Waits for the answers to many requests, each of which has its own time limit.
    pub(super) fn wait_for_all<T>(
        &self,
        answers: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let stopped = |interrupted| Error::Generic { store: "bucket", source: Box::new(interrupted) };
        self.runtime.block_on(interrupt::or_stop(answers)).map_err(stopped).flatten()
    }

    /// Waits for an answer even if the process is asked to stop.
    pub(super) fn wait_uninterrupted<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(self.within(self.timeouts.longest_request(), answer))
    }

    /// The answer, if it comes within `longest`. Reports a long silence and notes the first answer.
    pub(super) async fn within<T>(
        &self,
        longest: Duration,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let ServiceState { silence, has_answered } = &*self.state;
        let first = self.timeouts.first_answer.filter(|_| !has_answered.load(Ordering::Relaxed));
        let longest = first.map_or(longest, |first| first.min(longest));
        let answer = silence.watch(&self.service, longest, within(longest, answer)).await;
        // Other errors, such as that something does not exist, are answers of the service.
        if !matches!(answer, Err(Error::Generic { .. })) {
            silence.end();
            has_answered.store(true, Ordering::Relaxed);
        }
        answer
    }
}

/// The answer, if it is complete within `longest`. A service that sends a byte now and then would meet every other
/// timeout.
async fn within<T>(longest: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |elapsed| Error::Generic { store: "bucket", source: Box::new(elapsed) };
    tokio::time::timeout(longest, answer).await.map_err(late).flatten()
}
