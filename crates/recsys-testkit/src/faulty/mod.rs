//! Stores that fail on command, ignore conditions, or serve stale reads.

mod ignores_conditions;
mod stale;

use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recsys_core::storage::{
    Commit, Condition, Conditions, DocumentMeta, Pending, PendingWrite, Store, StoreError, Tag,
};

pub use ignores_conditions::IgnoresConditions;
pub use stale::StaleStore;

/// Moment at which an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before anything is done.
    Before,
    /// In the middle, with half of a document read or written. Operations without a middle fail before.
    Halfway,
    /// After it was done; only the answer is lost.
    After,
}

impl When {
    /// All moments.
    pub const ALL: [Self; 3] = [Self::Before, Self::Halfway, Self::After];
}

/// Which operation fails or is interrupted. Stores that share a plan count their operations together.
pub struct Plan {
    event: Event,
    number: usize,
    count: AtomicUsize,
}

enum Event {
    Fault(When),
    Interruption(Box<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.count())
    }
}

impl Plan {
    /// Fails the `number`th operation, counted from 0.
    pub fn new(when: When, number: usize) -> Arc<Self> {
        Arc::new(Self { event: Event::Fault(when), number, count: AtomicUsize::new(0) })
    }

    /// Calls `with` right before the `number`th operation, counted from 0; the operation then goes on.
    pub fn interrupt(number: usize, with: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { event: Event::Interruption(Box::new(with)), number, count: AtomicUsize::new(0) })
    }

    /// Number of operations so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Counts an operation; returns when it fails, if it does.
    fn next(&self) -> Option<When> {
        if self.count.fetch_add(1, Ordering::SeqCst) != self.number {
            return None;
        }
        match &self.event {
            Event::Fault(when) => Some(*when),
            Event::Interruption(with) => {
                with();
                None
            }
        }
    }

    fn run<T>(
        &self,
        target: &str,
        operation: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.next() {
            None => operation(),
            Some(When::Before | When::Halfway) => Err(broken(target)),
            Some(When::After) => operation().and(Err(broken(target))),
        }
    }
}

fn broken_io() -> io::Error {
    io::Error::other("broken on purpose")
}

fn broken(target: &str) -> StoreError {
    StoreError { action: "use", target: target.to_owned(), source: broken_io() }
}

/// A store whose operations fail according to a plan.
#[derive(Debug)]
pub struct FaultyStore {
    /// The store that does the work.
    pub inner: Box<dyn Store>,
    /// Which operation fails, and when.
    pub plan: Arc<Plan>,
}

impl Store for FaultyStore {
    recsys_core::pass_on!(inner: uri name);

    fn root_exists(&self) -> Result<bool, StoreError> {
        self.plan.run("root", || self.inner.root_exists())
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        match self.plan.next() {
            None => self.inner.open(key),
            Some(When::Halfway) => match self.inner.read(key)? {
                Some(mut bytes) => {
                    bytes.truncate(bytes.len() / 2);
                    Ok(Some(Box::new(Cursor::new(bytes).chain(BreaksOff))))
                }
                None => Err(broken(key)),
            },
            Some(When::Before | When::After) => Err(broken(key)),
        }
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        self.plan.run(key, || self.inner.read_tagged(key))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.plan.run(key, || self.inner.get_range(key, offset, length))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        let inner = self.plan.run(key, || self.inner.begin(key))?;
        Ok(Box::new(FaultyWrite { inner, key: key.to_owned(), plan: Arc::clone(&self.plan) }))
    }

    fn stat(&self, key: &str) -> Result<Option<DocumentMeta>, StoreError> {
        self.plan.run(key, || self.inner.stat(key))
    }

    fn list(&self, folder: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        self.plan.run(folder, || self.inner.list(folder))
    }

    fn conditions(&self) -> Result<Conditions, StoreError> {
        self.plan.run("conditions", || self.inner.conditions())
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        self.plan.run(key, || self.inner.remove(key))
    }
}

struct BreaksOff;

impl Read for BreaksOff {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(broken_io())
    }
}

struct FaultyWrite<'a> {
    inner: Box<dyn PendingWrite + 'a>,
    key: String,
    plan: Arc<Plan>,
}

impl Write for FaultyWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let half = &bytes[..bytes.len() / 2];
        match self.plan.next() {
            None => self.inner.write_all(bytes).map(|()| bytes.len()),
            Some(When::Before) => Err(broken_io()),
            Some(When::Halfway) => self.inner.write_all(half).and(Err(broken_io())),
            Some(When::After) => self.inner.write_all(bytes).and(Err(broken_io())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Pending for FaultyWrite<'_> {
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        let Self { inner, key, plan } = self;
        plan.run(key, || inner.has_arrived(bytes))
    }

    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let Self { inner, key, plan } = *self;
        plan.run(&key, || inner.commit(condition))
    }
}
