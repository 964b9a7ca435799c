//! A root in a bucket of S3, Google Cloud Storage or Azure, or in memory.
//!
//! A document in memory is written by one request; a streamed one is first spooled to an unnamed temporary file and, if
//! large, uploaded in parts that become visible together. The service checks the conditions of writes.

use std::io::{self, ErrorKind, Read, Seek, Write};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use backon::{BlockingRetryable, ExponentialBuilder};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutPayload, UpdateVersion, WriteMultipart,
};
use tempfile::SpooledTempFile;

use super::bucket_error::MIN_BYTES_PER_SECOND;
use super::document::{check_size, read_at_most, read_exactly};
use super::waiter::Waiter;
use super::{
    BucketError, BucketProblem, Commit, Condition, Conditions, DocumentMeta, MAX_DOCUMENT_BYTES, Pending,
    PendingWrite, Store, StoreError, Tag, probe, same_content,
};
use crate::threads::interrupt;

/// A document larger than this is uploaded in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// Parts in flight at a time.
const PARTS_AT_ONCE: usize = 4;

/// Largest listing. No root of this project has a tenth as many keys.
const MAX_KEYS: usize = 2_000_000;

/// A folder of a bucket as a [`Store`].
#[derive(Debug)]
pub(super) struct BucketStore {
    store: Arc<dyn ObjectStore>,
    /// Sends each request once, for requests whose outcome must be known.
    once: Arc<dyn ObjectStore>,
    /// Scheme and bucket: `s3://bucket`.
    bucket: String,
    /// The folder within the bucket.
    folder: Path,
    waiter: Waiter,
    max_keys: usize,
    conditions: OnceLock<Conditions>,
}

impl BucketStore {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        once: Arc<dyn ObjectStore>,
        waiter: Waiter,
        bucket: String,
        folder: Path,
    ) -> Self {
        Self { store, once, bucket, folder, waiter, max_keys: MAX_KEYS, conditions: OnceLock::new() }
    }

    /// Waits for the answer to one request.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.waiter.wait(self.waiter.timeouts.longest_request(), answer)
    }

    fn failed<'a>(&'a self, action: &'static str, key: &'a str) -> impl Fn(Error) -> StoreError + 'a {
        move |error| self.error(action, key, self.waiter.io_error(&error))
    }

    fn error(&self, action: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError { action, target: self.name(key), source }
    }

    /// The path of a key. Keys are made of checked names, so this fails only for an unusual root.
    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let path = if key.is_empty() { self.folder.to_string() } else { format!("{}/{key}", self.folder) };
        Path::parse(path).map_err(|error| {
            self.error("use", key, io::Error::new(ErrorKind::InvalidInput, error.to_string()))
        })
    }

    /// Starts reading a document, or a part of it.
    fn get(&self, key: &str, part: GetOptions) -> Result<Option<GetResult>, StoreError> {
        let path = self.path(key)?;
        match self.wait(self.store.get_opts(&path, part)) {
            Ok(result) => Ok(Some(result)),
            Err(error @ Error::NotFound { .. }) => {
                let fault = BucketError::new(&self.waiter.service, &error);
                // Neither a missing bucket nor another server's 404 is a missing document.
                if matches!(fault.problem, BucketProblem::NoBucket | BucketProblem::NotABucket(_)) {
                    return Err(self.error("read", key, io::Error::other(fault)));
                }
                Ok(None)
            }
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    /// Reads the rest of a started document, of at most `most` bytes.
    fn read_whole(&self, key: &str, result: GetResult, most: u64) -> Result<Vec<u8>, StoreError> {
        let failed = |source| self.error("read", key, source);
        check_size(result.meta.size, most).map_err(|error| failed(error.into()))?;
        // The announced size may be wrong.
        read_at_most(self.reader(result), most).map_err(failed)
    }

    fn reader(&self, result: GetResult) -> ObjectReader {
        let (stream, chunk) = (result.into_stream(), Bytes::new());
        let pace = Pace::new(2 * self.waiter.timeouts.timeout());
        ObjectReader { stream, chunk, pace, waiter: self.waiter.clone() }
    }

    /// Whether a document has the content that `expected` yields, of `length` bytes.
    fn is_same(
        &self,
        action: &'static str,
        key: &str,
        length: u64,
        expected: impl Read,
    ) -> Result<bool, StoreError> {
        let result = self.get(key, GetOptions::default())?.filter(|result| result.meta.size == length);
        let Some(result) = result else { return Ok(false) };
        same_content(expected, self.reader(result)).map_err(|source| self.error(action, key, source))
    }

    /// Writes the whole document in one request.
    fn put_whole(&self, key: &str, payload: &PutPayload, condition: Condition) -> Result<Commit, StoreError> {
        let path = self.path(key)?;
        let is_swap = matches!(condition, Condition::Still(_));
        let mode = match condition {
            Condition::Always => PutMode::Overwrite,
            Condition::Absent | Condition::Still(None) => PutMode::Create,
            Condition::Still(Some(Tag { etag, version })) => {
                PutMode::Update(UpdateVersion { e_tag: Some(etag), version })
            }
        };
        let put = || {
            let answer = self.store.put_opts(&path, payload.clone(), mode.clone().into());
            // The outcome of a swap must be known.
            if is_swap { self.waiter.wait_uninterrupted(answer) } else { self.wait(answer) }
        };
        // Two writers at the very same time: S3 asks one of them to try again.
        let in_conflict = |error: &Error| error.to_string().contains("status code: 409");
        let delays = ExponentialBuilder::default().with_jitter().with_min_delay(Duration::from_millis(50));
        match put.retry(delays.with_max_times(5)).when(in_conflict).call() {
            Ok(_) => Ok(Commit::Written),
            Err(error) if in_conflict(&error) => Err(self.failed("write", key)(error)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Commit::Refused),
            Err(error) => Err(self.failed("write", key)(error)),
        }
    }

    /// All objects below a path whose keys come after `after`, in the order of the service; or the problem that shows
    /// that the listing is endless.
    async fn list_all(
        &self,
        path: &Path,
        after: Option<&Path>,
    ) -> Result<Result<Vec<DocumentMeta>, BucketProblem>, Error> {
        let root = self.folder.as_ref();
        let mut found: Vec<DocumentMeta> = Vec::new();
        let mut objects = match after {
            Some(after) => self.store.list_with_offset(Some(path), after),
            None => self.store.list(Some(path)),
        };
        let longest = self.waiter.timeouts.longest_request();
        // Each step takes at most one request.
        while let Some(object) = self.waiter.within(longest, objects.try_next()).await? {
            let Some(key) = object.location.as_ref().strip_prefix(root) else { continue };
            let key = key.trim_start_matches('/');
            if found.first().is_some_and(|first| first.key == key) {
                return Ok(Err(BucketProblem::Endless(format!("it comes to {key:?} again"))));
            }
            if found.len() == self.max_keys {
                return Ok(Err(BucketProblem::Endless(format!("it has more than {} keys", self.max_keys))));
            }
            found.push(listed(key.to_owned(), &object));
        }
        Ok(Ok(found))
    }

    /// Uploads a document in parts, which become visible together.
    fn put_parts(&self, key: &str, file: &mut SpooledTempFile) -> Result<Commit, StoreError> {
        let path = self.path(key)?;
        let failed = self.failed("write", key);
        let begun = self.store.put_multipart_opts(&path, PutMultipartOptions::default());
        let upload = self.wait(begun).map_err(&failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        // Parts are sent by tasks, which need the context of the runtime.
        let _context = self.waiter.runtime.enter();
        let mut part = Vec::with_capacity(PART_BYTES);
        let mut send = || loop {
            interrupt::check().map_err(|interrupted| self.error("write", key, interrupted.into()))?;
            part.clear();
            let read = Read::take(&mut *file, PART_BYTES as u64).read_to_end(&mut part);
            if read.map_err(|error| self.error("read the temporary copy of", key, error))? == 0 {
                return Ok(());
            }
            self.wait(upload.wait_for_capacity(PARTS_AT_ONCE)).map_err(&failed)?;
            upload.write(&part);
        };
        if let Err(error) = send() {
            // Parts that cannot be discarded either are left to the bucket's own rules.
            let _ = self.wait(upload.abort());
            return Err(error);
        }
        // Sends the last parts, then the request that joins all of them.
        self.waiter.wait(2 * self.waiter.timeouts.longest_request(), upload.finish()).map_err(&failed)?;
        Ok(Commit::Written)
    }
}

impl Store for BucketStore {
    fn uri(&self, key: &str) -> String {
        let folder = self.folder.as_ref();
        let slash = if folder.is_empty() { "" } else { "/" };
        format!("{}/{folder}{slash}{key}", self.bucket)
    }

    fn name(&self, key: &str) -> String {
        self.uri(key)
    }

    /// A folder in a bucket exists if it holds something.
    fn root_exists(&self) -> Result<bool, StoreError> {
        let mut listing = self.store.list(Some(&self.folder));
        let first = self.wait(listing.try_next()).map_err(self.failed("list", ""))?;
        Ok(first.is_some())
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        Ok(self
            .get(key, GetOptions::default())?
            .map(|result| Box::new(self.reader(result)) as Box<dyn Read + Send>))
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        let Some(result) = self.get(key, GetOptions::default())? else { return Ok(None) };
        let version = result.meta.version.clone();
        let Some(etag) = result.meta.e_tag.clone() else {
            let problem = BucketProblem::Answer("without an ETag, which conditional writes need".to_owned());
            return Err(self.error("read", key, self.waiter.bucket_error(problem)));
        };
        let bytes = self.read_whole(key, result, MAX_DOCUMENT_BYTES)?;
        Ok(Some((bytes, Tag { etag, version })))
    }

    fn read_at_most(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(result) = self.get(key, GetOptions::default())? else { return Ok(None) };
        self.read_whole(key, result, most).map(Some)
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        if length == 0 {
            // Services do not take an empty range.
            return Ok(self.stat(key)?.map(|_| Vec::new()));
        }
        let part = GetOptions::new().with_range(Some(offset..offset.saturating_add(length)));
        let Some(result) = self.get(key, part)? else { return Ok(None) };
        let bytes = read_exactly(self.reader(result), length);
        bytes.map(Some).map_err(|source| self.error("read", key, source))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        let file = tempfile::spooled_tempfile(PART_BYTES);
        Ok(Box::new(BucketWrite { store: self, key: key.to_owned(), file, bytes: 0 }))
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        // S3 reports no error when the object does not exist.
        if self.stat(key)?.is_none() {
            return Ok(false);
        }
        let path = self.path(key)?;
        let delete = || self.wait(self.once.delete(&path));
        // A request without an answer is not repeated: both could arrive much later, when the object has been written
        // again.
        let is_undone = |error: &Error| BucketError::new(&self.waiter.service, error).problem.is_undone();
        let delays = ExponentialBuilder::default().with_jitter().with_min_delay(Duration::from_millis(100));
        match delete.retry(delays.with_max_times(6)).when(is_undone).call() {
            Err(Error::NotFound { .. }) => Ok(false),
            deleted => deleted.map(|()| true).map_err(self.failed("remove", key)),
        }
    }

    fn stat(&self, key: &str) -> Result<Option<DocumentMeta>, StoreError> {
        match self.wait(self.store.head(&self.path(key)?)) {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", key)(error)),
            Ok(object) => Ok(Some(listed(key.to_owned(), &object))),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        self.list_after(folder, "")
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        let path = self.path(folder)?;
        let after = (!after.is_empty()).then(|| self.path(after)).transpose()?;
        let found = self.waiter.wait_for_all(self.list_all(&path, after.as_ref()));
        let found = found.map_err(self.failed("list", folder))?;
        let mut found =
            found.map_err(|problem| self.error("list", folder, self.waiter.bucket_error(problem)))?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(folder)?;
        let found = self.waiter.wait(Duration::MAX, self.store.list_with_delimiter(Some(&path)));
        let found = found.map_err(self.failed("list", folder))?.common_prefixes;
        let mut names: Vec<String> =
            found.iter().filter_map(|found| found.filename()).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    fn conditions(&self) -> Result<Conditions, StoreError> {
        if let Some(known) = self.conditions.get() {
            return Ok(*known);
        }
        let found = probe(self)?;
        Ok(*self.conditions.get_or_init(|| found))
    }

    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.is_same("read", key, bytes.len() as u64, bytes)
    }

    /// A document in memory is sent by one request, on commit.
    fn prepare<'a>(&'a self, key: &str, bytes: &'a [u8]) -> Result<Box<dyn Pending + 'a>, StoreError> {
        Ok(Box::new(WholeDocument { store: self, key: key.to_owned(), bytes }))
    }
}

fn listed(key: String, object: &ObjectMeta) -> DocumentMeta {
    // An invalid time counts as the latest, so that the object never looks old.
    let modified = Timestamp::from_second(object.last_modified.timestamp()).unwrap_or(Timestamp::MAX);
    DocumentMeta { key, bytes: object.size, modified }
}

/// Measures how fast an answer comes. Only the time spent waiting counts, not the time between reads.
struct Pace {
    period: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn new(period: Duration) -> Self {
        Self { period, waited: Duration::ZERO, bytes: 0 }
    }

    /// Counts the bytes that came after a wait; `false` if they were too few over a whole period.
    fn keeps_up(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < self.period {
            return true;
        }
        let is_enough = self.bytes >= self.waited.as_secs() * MIN_BYTES_PER_SECOND;
        *self = Self::new(self.period);
        is_enough
    }
}

/// A document that is read as it arrives.
struct ObjectReader {
    stream: Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>,
    chunk: Bytes,
    pace: Pace,
    waiter: Waiter,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let asked = Instant::now();
            match self.waiter.wait(self.waiter.timeouts.longest_request(), self.stream.try_next()) {
                Ok(Some(chunk)) => {
                    if !self.pace.keeps_up(asked.elapsed(), chunk.len()) {
                        return Err(self.waiter.bucket_error(BucketProblem::Slow));
                    }
                    self.chunk = chunk;
                }
                Ok(None) => return Ok(0),
                Err(error) => return Err(self.waiter.io_error(&error)),
            }
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

struct WholeDocument<'a> {
    store: &'a BucketStore,
    key: String,
    bytes: &'a [u8],
}

impl Pending for WholeDocument<'_> {
    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let Self { store, key, bytes } = *self;
        if condition == Condition::Always && store.holds(&key, bytes)? {
            return Ok(Commit::Unchanged);
        }
        store.put_whole(&key, &PutPayload::from(bytes.to_vec()), condition)
    }
}

struct BucketWrite<'a> {
    store: &'a BucketStore,
    key: String,
    file: SpooledTempFile,
    bytes: u64,
}

/// Names the folder that is full, which is not the target of the write.
fn spooling(error: &io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    io::Error::new(error.kind(), format!("temporary file in {}: {error}", folder.display()))
}

impl Write for BucketWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).map_err(|error| spooling(&error))?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BucketWrite<'_> {
    fn rewind(&mut self) -> Result<(), StoreError> {
        let rewound = self.file.rewind();
        rewound.map_err(|source| self.store.error("read the temporary copy of", &self.key, source))
    }
}

impl Pending for BucketWrite<'_> {
    fn commit(mut self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        self.rewind()?;
        if condition == Condition::Always {
            if self.store.is_same("compare", &self.key, self.bytes, &mut self.file)? {
                return Ok(Commit::Unchanged);
            }
            self.rewind()?;
            if self.bytes > PART_BYTES as u64 {
                return self.store.put_parts(&self.key, &mut self.file);
            }
        }
        let mut bytes = Vec::new();
        self.file
            .read_to_end(&mut bytes)
            .map_err(|source| self.store.error("read the temporary copy of", &self.key, source))?;
        self.store.put_whole(&self.key, &PutPayload::from(bytes), condition)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::storage::StoreTimeouts;

    fn store(max_keys: usize) -> BucketStore {
        let folder = Path::from("root");
        let store = Arc::new(InMemory::new());
        let waiter = Waiter::new("memory".into(), StoreTimeouts::default()).unwrap();
        let store = BucketStore::new(store.clone(), store, waiter, "memory://b".into(), folder);
        BucketStore { max_keys, ..store }
    }

    #[test]
    fn a_listing_that_is_too_long_is_refused_by_name() {
        let store = store(3);
        for key in ["a/1", "a/2", "a/3"] {
            store.put(key, b"", Condition::Always).unwrap();
        }
        assert_eq!(store.list("a").unwrap().len(), 3);
        store.put("a/4", b"", Condition::Always).unwrap();
        let error = store.list("a").unwrap_err();
        assert!(error.is_refusal());
        assert_eq!(error.target, "memory://b/root/a");
        assert!(error.source.to_string().contains("it has more than 3 keys"), "{}", error.source);
    }

    #[test]
    fn only_what_is_slow_for_a_whole_period_does_not_keep_up() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(3 * second);
        assert!(pace.keeps_up(second, 1) && pace.keeps_up(second, 1) && pace.keeps_up(second, 3 * 1024));
        assert!(pace.keeps_up(second, 1) && pace.keeps_up(second, 1) && !pace.keeps_up(second, 1));
        // A long wait counts in full.
        assert!(!pace.keeps_up(60 * second, 3 * 1024) && pace.keeps_up(60 * second, 60 * 1024));
    }

    /// Neither keys nor the key that a listing begins after are percent-encoded.
    #[test]
    fn a_listing_begins_after_a_key_of_any_characters() {
        let store = store(9);
        for name in ["a", "b"] {
            store.put(&format!("x#y%z~/{name}.json"), b"{}", Condition::Always).unwrap();
        }
        let listed = store.list_after("x#y%z~", "x#y%z~/a.json").unwrap();
        assert_eq!(listed.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(), ["x#y%z~/b.json"]);
    }
}
