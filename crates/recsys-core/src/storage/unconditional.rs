//! A store whose writers check the conditions, for servers that do not.

use std::io::{Read, Write};

use super::{Commit, Condition, Conditions, DocumentMeta, Pending, PendingWrite, Store, StoreError};

/// Checks a condition, then writes without one. If another writer comes in between, the last one wins. It is for
/// servers without conditional writes, when the operator knows that there is only one publisher at a time.
#[derive(Debug)]
pub struct Unconditional(pub Box<dyn Store>);

impl Store for Unconditional {
    crate::pass_on!(0: uri name root_exists open read_tagged remove stat list);

    fn open_input(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.0.open_input(key)
    }

    fn read_at_most(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read_at_most(key, most)
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get_range(key, offset, length)
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        Ok(Box::new(CheckedWrite { store: self, key: key.to_owned(), pending: self.0.begin(key)? }))
    }

    fn prepare<'a>(&'a self, key: &str, bytes: &'a [u8]) -> Result<Box<dyn Pending + 'a>, StoreError> {
        Ok(Box::new(CheckedWrite { store: self, key: key.to_owned(), pending: self.0.prepare(key, bytes)? }))
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        self.0.list_after(folder, after)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.0.folders(folder)
    }

    /// Honoured as well as this store can, as the operator has chosen.
    fn conditions(&self) -> Result<Conditions, StoreError> {
        Ok(Conditions::Honoured)
    }
}

/// Writes a document that does not exist yet, on a server without conditional writes. Another writer may come in
/// between, so it is only for documents that every writer writes alike.
pub fn create_if_missing(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<Commit, StoreError> {
    if store.stat(key)?.is_some() {
        return Ok(Commit::Refused);
    }
    store.put(key, bytes, Condition::Always)
}

struct CheckedWrite<'a, P: ?Sized> {
    store: &'a Unconditional,
    key: String,
    pending: Box<P>,
}

impl<P: PendingWrite + ?Sized> Write for CheckedWrite<'_, P> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pending.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pending.flush()
    }
}

impl<P: Pending + ?Sized> Pending for CheckedWrite<'_, P> {
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        self.pending.has_arrived(bytes)
    }

    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let holds = match condition {
            Condition::Always => return self.pending.commit(Condition::Always),
            // Checked without reading the document, which may be an artifact.
            Condition::Absent | Condition::Still(None) => self.store.stat(&self.key)?.is_none(),
            Condition::Still(Some(tag)) => {
                self.store.read_tagged(&self.key)?.is_some_and(|(_, current)| current == tag)
            }
        };
        if !holds {
            return Ok(Commit::Refused);
        }
        self.pending.commit(Condition::Always)?;
        Ok(Commit::Written)
    }
}
