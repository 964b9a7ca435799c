//! A store that accepts conditional writes and ignores the condition, as some servers do.

use std::io::{self, Write};

use recsys_core::storage::{Commit, Condition, Conditions, Pending, PendingWrite, Store, StoreError, probe};

/// A store that writes whatever the condition says.
#[derive(Debug)]
pub struct IgnoresConditions(pub Box<dyn Store>);

impl Store for IgnoresConditions {
    recsys_core::pass_on!(0: uri name root_exists open read_tagged remove stat list);

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        Ok(Box::new(IgnoresConditionsWrite(self.0.begin(key)?)))
    }

    fn conditions(&self) -> Result<Conditions, StoreError> {
        probe(self)
    }
}

struct IgnoresConditionsWrite<'a>(Box<dyn PendingWrite + 'a>);

impl Write for IgnoresConditionsWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Pending for IgnoresConditionsWrite<'_> {
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        self.0.has_arrived(bytes)
    }

    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let commit = self.0.commit(Condition::Always)?;
        Ok(if condition == Condition::Always { commit } else { Commit::Written })
    }
}
