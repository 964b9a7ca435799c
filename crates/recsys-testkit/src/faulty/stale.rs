//! A store with stale reads: they return the state before the latest write.

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write};

use parking_lot::Mutex;
use recsys_core::storage::{Commit, Condition, Pending, PendingWrite, Store, StoreError, Tag};

type State = Option<(Vec<u8>, Tag)>;

/// A store whose first few reads after each write return the state before it.
#[derive(Debug)]
pub struct StaleStore {
    inner: Box<dyn Store>,
    late_reads: usize,
    /// By key: the stale state, and the number of stale reads left.
    late: Mutex<HashMap<String, (State, usize)>>,
}

impl StaleStore {
    /// After each write of a document, its next `late_reads` reads are stale.
    pub fn new(inner: Box<dyn Store>, late_reads: usize) -> Self {
        Self { inner, late_reads, late: Mutex::default() }
    }

    fn late_state(&self, key: &str) -> Option<State> {
        let mut late = self.late.lock();
        let (state, left) = late.get_mut(key).filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(state.clone())
    }
}

impl Store for StaleStore {
    recsys_core::pass_on!(inner: uri name root_exists remove stat list conditions);

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        match self.late_state(key) {
            Some(state) => Ok(state.map(|(bytes, _)| Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>)),
            None => self.inner.open(key),
        }
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        match self.late_state(key) {
            Some(state) => Ok(state),
            None => self.inner.read_tagged(key),
        }
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        Ok(Box::new(StaleWrite { store: self, key: key.to_owned(), inner: self.inner.begin(key)? }))
    }
}

struct StaleWrite<'a> {
    store: &'a StaleStore,
    key: String,
    inner: Box<dyn PendingWrite + 'a>,
}

impl Write for StaleWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Pending for StaleWrite<'_> {
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        self.inner.has_arrived(bytes)
    }

    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let Self { store, key, inner } = *self;
        // Held over the write, so that no other write comes between the read and the commit.
        let mut late = store.late.lock();
        let before = store.inner.read_tagged(&key)?;
        let commit = inner.commit(condition)?;
        if commit == Commit::Written {
            late.insert(key, (before, store.late_reads));
        }
        Ok(commit)
    }
}
