//! A store that accepts conditional writes and ignores the condition, as some servers do.

use std::io::{self, Read, Write};

use recsys_core::storage::{
    Commit, Condition, Conditions, Listed, Pending, PendingWrite, Store, StoreError, Tag, probe,
};

/// A store that writes whatever the condition says.
#[derive(Debug)]
pub struct CarelessStore(pub Box<dyn Store>);

impl Store for CarelessStore {
    fn uri(&self, key: &str) -> String {
        self.0.uri(key)
    }

    fn name(&self, key: &str) -> String {
        self.0.name(key)
    }

    fn root_exists(&self) -> Result<bool, StoreError> {
        self.0.root_exists()
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.0.open(key)
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        self.0.read_tagged(key)
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        Ok(Box::new(CarelessWrite(self.0.begin(key)?)))
    }

    fn stat(&self, key: &str) -> Result<Option<Listed>, StoreError> {
        self.0.stat(key)
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        self.0.list(folder)
    }

    fn conditions(&self) -> Result<Conditions, StoreError> {
        probe(self)
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        self.0.remove(key)
    }
}

struct CarelessWrite<'a>(Box<dyn PendingWrite + 'a>);

impl Write for CarelessWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Pending for CarelessWrite<'_> {
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        self.0.has_arrived(bytes)
    }

    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let commit = self.0.commit(Condition::Always)?;
        Ok(if condition == Condition::Always { commit } else { Commit::Written })
    }
}
