//! A store that fails on command.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recsys_core::storage::{Commit, Condition, PendingWrite, Store, StoreError, Tag};

/// When an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Instead of being done.
    Before,
    /// After it was done: the answer is lost.
    After,
}

/// Which operation fails. Stores that share a plan count their operations together.
#[derive(Debug)]
pub struct Plan {
    when: When,
    number: usize,
    count: AtomicUsize,
}

impl Plan {
    /// The `number`th operation fails, from 0.
    pub fn new(when: When, number: usize) -> Arc<Self> {
        Arc::new(Self { when, number, count: AtomicUsize::new(0) })
    }

    /// How many operations there were.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn run<T>(
        &self,
        target: &str,
        operation: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fails = self.count.fetch_add(1, Ordering::SeqCst) == self.number;
        if fails && self.when == When::Before {
            return Err(broken(target));
        }
        let done = operation()?;
        if fails { Err(broken(target)) } else { Ok(done) }
    }
}

fn broken(target: &str) -> StoreError {
    StoreError { action: "use", target: target.to_owned(), source: io::Error::other("broken on purpose") }
}

/// A store whose operations fail as its plan says.
#[derive(Debug)]
pub struct FaultyStore<S> {
    /// The store that does the work.
    pub inner: S,
    /// What fails.
    pub plan: Arc<Plan>,
}

impl<S: Store> Store for FaultyStore<S> {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    fn name(&self, key: &str) -> String {
        self.inner.name(key)
    }

    fn root_exists(&self) -> Result<bool, StoreError> {
        self.plan.run("root", || self.inner.root_exists())
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.plan.run(key, || self.inner.open(key))
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        self.plan.run(key, || self.inner.read_tagged(key))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        let inner = self.plan.run(key, || self.inner.begin(key))?;
        Ok(Box::new(FaultyWrite { inner, key: key.to_owned(), plan: Arc::clone(&self.plan) }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.plan.run(folder, || self.inner.list(folder))
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        self.plan.run(key, || self.inner.remove(key))
    }
}

struct FaultyWrite<'a> {
    inner: Box<dyn PendingWrite + 'a>,
    key: String,
    plan: Arc<Plan>,
}

impl Write for FaultyWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Half of it, so that a document is broken in the middle.
        let half = &bytes[..bytes.len().div_ceil(2)];
        let inner = &mut self.inner;
        let mut written = Ok(0);
        let run = self.plan.run(&self.key, || {
            written = inner.write(half);
            Ok(())
        });
        run.map_err(|error| error.source).and(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl PendingWrite for FaultyWrite<'_> {
    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let Self { inner, key, plan } = *self;
        plan.run(&key, || inner.commit(condition))
    }
}
