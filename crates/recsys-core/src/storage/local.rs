//! A root on a local file system.
//!
//! A write goes to a file in the root's scratch folder, is flushed to disk and then linked or renamed into place; then
//! the folder is flushed. Once `commit` has returned, a power cut does not undo the write, and half a document never
//! appears under a real name.
//!
//! A crash leaves a scratch file that no process has locked. The next process that writes below the same root removes
//! it. [`Condition::Still`] is read-compare-rename under an advisory lock on `.<name>.lock` beside the document; the
//! kernel releases the lock when its holder dies.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::document::{check_size, found, open_beside, open_regular, read_at_most, read_exactly};
use super::hard_links::{NoHardLinks, has_links};
use super::large_file::{self, LargeFile};
use super::watched_file::WatchedFile;
use super::{
    Commit, Condition, Conditions, DocumentMeta, MAX_DOCUMENT_BYTES, NotADocument, Pending, PendingWrite,
    Store, StoreError, Tag, same_content,
};
use crate::domain::id::SCRATCH;
use crate::encoding::hash::sha256;
use crate::threads::interrupt;
use crate::threads::silence::SILENT_WAIT;

/// A folder of the local file system as a [`Store`].
#[derive(Debug)]
pub struct LocalStore {
    /// The path as the user wrote it, for messages.
    shown: PathBuf,
    /// The absolute path, for URIs.
    root: PathBuf,
    swept: Once,
    /// Set once the file system is known to create files without replacing others.
    has_links: OnceLock<()>,
}

fn failed(action: &'static str, target: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let target = target.display().to_string();
    move |source| StoreError { action, target, source }
}

impl LocalStore {
    /// A root at `path`, relative to the working directory. Nothing is created before the first write.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let shown = path.into();
        let here = Path::new(".");
        let named = if shown.as_os_str().is_empty() { here } else { &shown };
        let root = std::path::absolute(named).map_err(failed("resolve", named))?;
        if root.to_str().is_none() {
            let source = io::Error::new(ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(failed("use", &shown)(source));
        }
        Ok(Self { shown, root, swept: Once::new(), has_links: OnceLock::new() })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.shown.join(key)
    }

    /// A scratch file locked by this process.
    fn scratch_file(&self) -> Result<NamedTempFile, StoreError> {
        let scratch = self.shown.join(SCRATCH);
        // A link may lead to a folder of other data, which must not be swept.
        if let Ok(found) = fs::symlink_metadata(&scratch)
            && !found.is_dir()
        {
            return Err(failed("use", &scratch)(NotADocument::NoFolder.into()));
        }
        create_folder(&scratch)?;
        self.swept.call_once(|| sweep(&scratch));
        loop {
            let file = tempfile::Builder::new()
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(&scratch)
                .map_err(failed("create a file in", &scratch))?;
            // Until the file is locked, another process may take it for a leftover and remove it.
            match file.as_file().try_lock() {
                Ok(()) if file.path().exists() => return Ok(file),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed("lock", file.path())(source)),
            }
        }
    }
}

/// Removes what dead processes left in the scratch folder. Failures are ignored.
fn sweep(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        // Removed while locked: a process that has just created the file finds it either locked or gone.
        if let Ok(Some(file)) = open_regular(&entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flush", folder))
}

/// `create_dir_all` that flushes every new name.
fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    create_folder(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        created => created.map_err(failed("create folder", folder))?,
    }
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    sync_folder(parent)
}

fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let Some(b) = open_regular(b)? else { return Ok(false) };
    let a = File::open(a)?;
    Ok(a.metadata()?.len() == b.metadata()?.len() && same_content(a, b)?)
}

/// Reads the document at `path` of at most `most` bytes, if there is one.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    check_size(file.metadata()?.len(), most)?;
    read_at_most(WatchedFile::new(file)?, most).map(Some)
}

fn tag(bytes: &[u8]) -> Tag {
    Tag { etag: sha256(bytes), version: None }
}

impl Store for LocalStore {
    fn uri(&self, key: &str) -> String {
        format!("file://{}", self.root.join(key).display())
    }

    fn name(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    fn root_exists(&self) -> Result<bool, StoreError> {
        match fs::read_dir(&self.root) {
            Ok(mut entries) => Ok(entries.next().transpose().map_err(failed("list", &self.shown))?.is_some()),
            // The folder may be entered but not listed.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                fs::metadata(&self.root).map_err(failed("look at", &self.shown)).map(|found| found.is_dir())
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                check_missing(&self.shown, "folder").map(|()| false)
            }
            Err(error) => Err(failed("list", &self.shown)(error)),
        }
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        let path = self.path(key);
        let file = open_regular(&path).map_err(failed("open", &path))?;
        watched(file, &path)
    }

    fn open_input(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        let path = self.path(key);
        let file = found(File::open(&path)).map_err(failed("open", &path))?;
        if let Some(file) = &file
            && file.metadata().map_err(failed("look at", &path))?.is_dir()
        {
            return Err(failed("open", &path)(NotADocument::Folder.into()));
        }
        watched(file, &path)
    }

    fn read_at_most(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        let bytes = read(&path, most).map_err(failed("read", &path))?;
        bytes.map_or_else(|| check_missing(&path, "file").map(|()| None), |bytes| Ok(Some(bytes)))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        let file = open_regular(&path).map_err(failed("open", &path))?;
        let Some(mut file) = file else { return check_missing(&path, "file").map(|()| None) };
        let bytes = file.seek(SeekFrom::Start(offset)).and_then(|_| read_exactly(file, length));
        bytes.map(Some).map_err(failed("read", &path))
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        let bytes = self.read(key)?;
        Ok(bytes.map(|bytes| {
            let tag = tag(&bytes);
            (bytes, tag)
        }))
    }

    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let path = self.path(key);
        let file = open_regular(&path).map_err(failed("open", &path))?;
        let Some(file) = file else { return check_missing(&path, "file").map(|()| false) };
        large_file::holds(file, bytes).map_err(failed("read", &path))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        let target = self.path(key);
        Ok(Box::new(LocalWrite { target, file: LargeFile::new(self.scratch_file()?) }))
    }

    fn stat(&self, key: &str) -> Result<Option<DocumentMeta>, StoreError> {
        stat_path(&self.path(key), key)
    }

    fn list(&self, folder: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        self.list_after(folder, "")
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        let mut listed = Vec::new();
        list_into(&self.path(folder), folder, after, &mut Vec::new(), &mut listed)?;
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(folder);
        let Some(entries) = found(fs::read_dir(&path)).map_err(failed("list", &path))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("list", &path))?;
            let name = entry.file_name().into_string();
            names.extend(name.ok().filter(|name| name != SCRATCH && entry.path().is_dir()));
        }
        names.sort();
        Ok(names)
    }

    /// Checks that the file system can create a file without replacing another one, for [`Condition::Absent`].
    fn conditions(&self) -> Result<Conditions, StoreError> {
        if self.has_links.get().is_none() {
            // Any other failure is reported by the operation that it affects.
            let Ok(file) = self.scratch_file() else { return Ok(Conditions::Honoured) };
            let mut free = file.path().as_os_str().to_owned();
            free.push(".free");
            if let Err(error) = file.persist_noclobber(&free)
                && !has_links(&error.file)
            {
                return Err(failed("write below", &self.shown)(NoHardLinks.into()));
            }
            let _ = fs::remove_file(&free);
            let _ = self.has_links.set(());
        }
        Ok(Conditions::Honoured)
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        let path = self.path(key);
        let removed = found(fs::remove_file(&path)).map_err(failed("remove", &path))?.is_some();
        match path.parent() {
            Some(folder) if removed => sync_folder(folder)?,
            _ => check_missing(&path, "file")?,
        }
        Ok(removed)
    }
}

/// An open file, if there is one, as a document.
fn watched(file: Option<File>, path: &Path) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
    let Some(file) = file else { return check_missing(path, "file").map(|()| None) };
    Ok(Some(Box::new(WatchedFile::new(file).map_err(failed("look at", path))?)))
}

/// Fails if nothing was found because of a dangling link anywhere in the path: its target may be on a disk that is not
/// mounted. `what` is the type expected at the end of the path.
fn check_missing(path: &Path, what: &str) -> Result<(), StoreError> {
    // With a trailing slash, the name of a link would mean the folder behind it.
    let path = path.components().as_path();
    for place in path.ancestors() {
        let metadata = found(fs::symlink_metadata(place)).map_err(failed("look at", place))?;
        let Some(metadata) = metadata else { continue };
        if metadata.is_symlink() && found(fs::metadata(place)).map_err(failed("look at", place))?.is_none() {
            let problem = if place == path {
                format!("it is a link to a {what} that does not exist")
            } else {
                format!("{} is a link to a folder that does not exist", place.display())
            };
            return Err(failed("open", path)(io::Error::new(ErrorKind::NotFound, problem)));
        }
        // This component exists, and so do those above it.
        break;
    }
    Ok(())
}

/// Adds the documents in `folder` (key `key`, enclosing folders `above`) whose keys come after `after`. Skips locks and
/// scratch files. An empty folder named like a document is listed in its place, so that it is not overlooked.
fn list_into(
    folder: &Path,
    key: &str,
    after: &str,
    above: &mut Vec<(u64, u64)>,
    listed: &mut Vec<DocumentMeta>,
) -> Result<(), StoreError> {
    let Some(entries) = found(fs::read_dir(folder)).map_err(failed("list", folder))? else {
        return check_missing(folder, "folder");
    };
    let own = fs::metadata(folder).map_err(failed("look at", folder))?;
    let own = (own.dev(), own.ino());
    if above.contains(&own) {
        // A link leads back to an enclosing folder, which is listed anyway; two such links would make a listing
        // endless.
        return Ok(());
    }
    above.push(own);
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_lock = name.starts_with('.') && name.ends_with(".lock") && !path.is_dir();
        if name == SCRATCH || is_lock {
            continue;
        }
        let key = if key.is_empty() { name } else { format!("{key}/{name}") };
        let is_folder = entry.file_type().map_or(true, |of| !of.is_file()) && path.is_dir();
        let before = listed.len();
        if is_folder {
            list_into(&path, &key, after, above, listed)?;
        }
        let is_document = if is_folder { listed.len() == before && key.ends_with(".json") } else { true };
        // Not earlier: the look at each file is the slow part.
        if is_document && key.as_str() > after {
            listed.extend(stat_path(&path, &key)?);
        }
    }
    above.pop();
    Ok(())
}

/// The document at `path`, whose key is `key`.
fn stat_path(path: &Path, key: &str) -> Result<Option<DocumentMeta>, StoreError> {
    let Some(metadata) = found(fs::metadata(path)).map_err(failed("look at", path))? else {
        return check_missing(path, "file").map(|()| None);
    };
    // A missing or invalid time counts as the latest, so that the document never looks old.
    let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    let modified = modified.unwrap_or(Timestamp::MAX);
    Ok(Some(DocumentMeta { key: key.to_owned(), bytes: metadata.len(), modified }))
}

struct LocalWrite {
    target: PathBuf,
    file: LargeFile<NamedTempFile>,
}

impl Write for LocalWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Pending for LocalWrite {
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        // An existing document will most likely stay, and is then the one to read.
        if self.target.exists() {
            return Ok(false);
        }
        let file = self.file.finish().map_err(failed("write", &self.target))?;
        let other = || io::Error::new(ErrorKind::InvalidData, "the disk holds other bytes than were written");
        let arrived = File::open(file.path())
            .and_then(|file| large_file::holds(file, bytes))
            .and_then(|is_same| if is_same { Ok(true) } else { Err(other()) });
        arrived.map_err(failed("read back", &self.target))
    }

    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let Self { target, file } = *self;
        let folder = target.parent().unwrap_or(Path::new("."));
        let file = file.into_finished().map_err(failed("write", &target))?;
        create_folder(folder)?;
        // Held until this function returns.
        let mut _lock = None;
        let commit = match &condition {
            Condition::Always if same_bytes(file.path(), &target).map_err(failed("compare", &target))? => {
                Commit::Unchanged
            }
            Condition::Absent if target.exists() => Commit::Refused,
            Condition::Still(tag) => {
                _lock = Some(lock(&target)?);
                let current = read(&target, MAX_DOCUMENT_BYTES).map_err(failed("read", &target))?;
                if current.map(|bytes| self::tag(&bytes)) == *tag { Commit::Written } else { Commit::Refused }
            }
            Condition::Always | Condition::Absent => Commit::Written,
        };
        let commit = match commit {
            Commit::Written => place(file, &target, &condition)?,
            nothing_to_place => nothing_to_place,
        };
        // Even if the document was there already: its writer may have died before this.
        sync_folder(folder)?;
        Ok(commit)
    }
}

fn place(file: NamedTempFile, target: &Path, condition: &Condition) -> Result<Commit, StoreError> {
    file.as_file().sync_all().map_err(failed("flush", target))?;
    let placed = match condition {
        Condition::Absent => file.persist_noclobber(target),
        Condition::Always | Condition::Still(_) => file.persist(target),
    };
    match placed {
        Ok(_) => Ok(Commit::Written),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(Commit::Refused),
        // Each file system reports this with an error of its own.
        Err(error)
            if *condition == Condition::Absent
                && ![ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.error.kind())
                && !has_links(&error.file) =>
        {
            Err(failed("write", target)(NoHardLinks.into()))
        }
        Err(error) => Err(failed("write", target)(error.error)),
    }
}

/// How often a waiting process tries to lock again.
const LOCK_LOOK: Duration = Duration::from_millis(5);

fn lock(target: &Path) -> Result<File, StoreError> {
    let name = target.file_name().unwrap_or_default().display();
    let path = target.with_file_name(format!(".{name}.lock"));
    let file = open_beside(&path).map_err(failed("open", &path))?;
    let (began, mut is_told) = (Instant::now(), false);
    // Polls, because a blocking wait in the kernel does not end on a request to stop.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => interrupt::check()?,
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        if !is_told && began.elapsed() >= SILENT_WAIT {
            is_told = true;
            tracing::warn!(lock = %path.display(), "waiting for another process that holds the lock, for as long as it does");
        }
        thread::sleep(LOCK_LOOK);
    }
}
