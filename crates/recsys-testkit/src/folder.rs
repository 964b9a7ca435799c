//! A folder on disk with a store in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use recsys_core::storage::LocalStore;
use tempfile::TempDir;

/// A new folder and its store; removed when dropped.
#[derive(Debug)]
pub struct Folder {
    /// The folder.
    pub root: TempDir,
    /// The store.
    pub store: LocalStore,
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = LocalStore::new(root.path()).unwrap();
        Self { root, store }
    }

    /// Path of a document.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(key)
    }
}

fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Makes a file look old, so that the time of a later write cannot be mistaken for it.
pub fn age(path: &Path) {
    File::options().write(true).open(path).unwrap().set_modified(long_ago()).unwrap();
}

/// Whether nothing has written a file since [`age`].
pub fn is_old(path: &Path) -> bool {
    fs::metadata(path).unwrap().modified().unwrap() < long_ago() + Duration::from_secs(1)
}
