//! A root in a bucket of S3, Google Cloud Storage or Azure, or in memory.
//!
//! The rest of the crate is synchronous; this is where it waits for the network. A small write is one
//! request; a large one is spooled to a temporary file without a name and uploaded in parts, which become a
//! document in one step. The conditions of a write are checked by the service.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backon::{BlockingRetryable, ExponentialBuilder};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    Error, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutPayload,
    UpdateVersion, WriteMultipart,
};
use tempfile::SpooledTempFile;
use tokio::runtime::Runtime;

use crate::interrupt::{self, Interrupted};

use super::{
    BucketFault, Commit, Condition, Conditions, Listed, Pending, PendingWrite, Problem, Store, StoreError,
    Tag, probe, same_content,
};

/// A document larger than this is uploaded in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// Parts on their way at a time.
const PARTS_AT_ONCE: usize = 4;

/// A folder of a bucket as a [`Store`].
#[derive(Debug)]
pub(super) struct BucketStore {
    store: Arc<dyn ObjectStore>,
    /// For requests whose outcome must be known: it sends each of them once.
    once: Arc<dyn ObjectStore>,
    /// What messages call the service, such as its endpoint.
    service: String,
    /// Scheme and bucket: `s3://bucket`.
    bucket: String,
    /// The folder within the bucket.
    folder: Path,
    runtime: &'static Runtime,
    conditions: OnceLock<Conditions>,
}

/// The threads that wait for the network, for all buckets of the process.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Waits for a service, unless the process is asked to stop meanwhile.
fn wait<T>(runtime: &Runtime, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let stopped = |interrupted| Error::Generic { store: "bucket", source: Box::new(interrupted) };
    runtime.block_on(interrupt::or_stop(answer)).map_err(stopped).flatten()
}

/// What a service said, as an error of the kind that readers and writers have.
fn io_error(service: &str, error: &Error) -> io::Error {
    if interrupt::is_cause(error) {
        return Interrupted.into();
    }
    io::Error::other(BucketFault::new(service, error))
}

impl BucketStore {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        once: Arc<dyn ObjectStore>,
        service: String,
        bucket: String,
        folder: Path,
    ) -> io::Result<Self> {
        let (runtime, conditions) = (runtime()?, OnceLock::new());
        Ok(Self { store, once, service, bucket, folder, runtime, conditions })
    }

    fn failed<'a>(&'a self, action: &'static str, key: &'a str) -> impl Fn(Error) -> StoreError + 'a {
        move |error| self.error(action, key, io_error(&self.service, &error))
    }

    fn error(&self, action: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError { action, target: self.name(key), source }
    }

    /// The path of a key. Keys are made of checked names, so that only a strange root can be refused here.
    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let path = if key.is_empty() { self.folder.to_string() } else { format!("{}/{key}", self.folder) };
        Path::parse(path).map_err(|error| {
            self.error("use", key, io::Error::new(ErrorKind::InvalidInput, error.to_string()))
        })
    }

    /// Begins to read a document.
    fn get(&self, key: &str) -> Result<Option<GetResult>, StoreError> {
        let path = self.path(key)?;
        match wait(self.runtime, self.store.get(&path)) {
            Ok(result) => Ok(Some(result)),
            Err(error @ Error::NotFound { .. }) => {
                let fault = BucketFault::new(&self.service, &error);
                // A bucket that is not there is no missing document, and neither is somebody else's 404.
                if matches!(fault.problem, Problem::NoBucket | Problem::NotABucket(_)) {
                    return Err(self.error("read", key, io::Error::other(fault)));
                }
                Ok(None)
            }
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    fn reader(&self, result: GetResult) -> ObjectReader {
        let stream = result.into_stream();
        ObjectReader { stream, chunk: Bytes::new(), service: self.service.clone(), runtime: self.runtime }
    }

    /// One request that writes the whole document.
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
            // What became of a swap must be known.
            if is_swap { self.runtime.block_on(answer) } else { wait(self.runtime, answer) }
        };
        // Two writers at the very same time; S3 wants one of them to try again.
        let in_conflict = |error: &Error| error.to_string().contains("status code: 409");
        let delays = ExponentialBuilder::default().with_jitter().with_min_delay(Duration::from_millis(50));
        match put.retry(delays.with_max_times(5)).when(in_conflict).call() {
            Ok(_) => Ok(Commit::Written),
            Err(error) if in_conflict(&error) => Err(self.failed("write", key)(error)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Commit::Refused),
            Err(error) => Err(self.failed("write", key)(error)),
        }
    }

    /// Uploads a document in parts, which become visible together.
    fn put_parts(&self, key: &str, file: &mut SpooledTempFile) -> Result<Commit, StoreError> {
        let path = self.path(key)?;
        let failed = self.failed("write", key);
        let begun = self.store.put_multipart_opts(&path, PutMultipartOptions::default());
        let upload = wait(self.runtime, begun).map_err(&failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        // Parts are sent by tasks, which are spawned in the context of the runtime.
        let _context = self.runtime.enter();
        let mut part = Vec::with_capacity(PART_BYTES);
        let sent = loop {
            if let Err(interrupted) = interrupt::check() {
                break Err(self.error("write", key, interrupted.into()));
            }
            part.clear();
            match Read::take(&mut *file, PART_BYTES as u64).read_to_end(&mut part) {
                Err(error) => break Err(self.error("read the temporary copy of", key, error)),
                Ok(0) => break Ok(()),
                Ok(_) => {}
            }
            let room = wait(self.runtime, upload.wait_for_capacity(PARTS_AT_ONCE));
            if let Err(error) = room {
                break Err(failed(error));
            }
            upload.write(&part);
        };
        if let Err(error) = sent {
            // Parts that cannot be taken back either are for the bucket's own rules to remove.
            let _ = wait(self.runtime, upload.abort());
            return Err(error);
        }
        wait(self.runtime, upload.finish()).map_err(&failed)?;
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

    /// A folder of a bucket is there when there is something in it.
    fn root_exists(&self) -> Result<bool, StoreError> {
        let mut listing = self.store.list(Some(&self.folder));
        let first = wait(self.runtime, listing.try_next()).map_err(self.failed("list", ""))?;
        Ok(first.is_some())
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        Ok(self.get(key)?.map(|result| Box::new(self.reader(result)) as Box<dyn Read + Send>))
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        let Some(result) = self.get(key)? else { return Ok(None) };
        let version = result.meta.version.clone();
        let Some(etag) = result.meta.e_tag.clone() else {
            let fault = Problem::Answer("without an ETag, which conditional writes need".to_owned());
            let fault = BucketFault { service: self.service.clone(), problem: fault };
            return Err(self.error("read", key, io::Error::other(fault)));
        };
        let mut bytes = Vec::new();
        self.reader(result).read_to_end(&mut bytes).map_err(|source| self.error("read", key, source))?;
        Ok(Some((bytes, Tag { etag, version })))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        let file = tempfile::spooled_tempfile(PART_BYTES);
        Ok(Box::new(BucketWrite { store: self, key: key.to_owned(), file, bytes: 0 }))
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        // S3 removes what is not there without a word.
        if self.look(key)?.is_none() {
            return Ok(false);
        }
        let path = self.path(key)?;
        let delete = || wait(self.runtime, self.once.delete(&path));
        // A request without an answer is not sent again: both could arrive much later, when the object is there anew.
        let is_answered = |error: &Error| {
            let problem = BucketFault::new(&self.service, error).problem;
            matches!(problem, Problem::Answer(_) | Problem::Unreachable(_))
        };
        let delays = ExponentialBuilder::default().with_jitter().with_min_delay(Duration::from_millis(100));
        match delete.retry(delays.with_max_times(6)).when(is_answered).call() {
            Err(Error::NotFound { .. }) => Ok(false),
            deleted => deleted.map(|()| true).map_err(self.failed("remove", key)),
        }
    }

    fn look(&self, key: &str) -> Result<Option<Listed>, StoreError> {
        match wait(self.runtime, self.store.head(&self.path(key)?)) {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", key)(error)),
            Ok(object) => Ok(Some(listed(key.to_owned(), &object))),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        self.list_after(folder, "")
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let path = self.path(folder)?;
        let listing = match after {
            "" => self.store.list(Some(&path)),
            after => self.store.list_with_offset(Some(&path), &self.path(after)?),
        };
        let found = wait(self.runtime, listing.try_collect::<Vec<_>>());
        let found = found.map_err(self.failed("list", folder))?;
        let root = self.folder.as_ref();
        let listed = found.into_iter().filter_map(|object| {
            let key = object.location.as_ref().strip_prefix(root)?.trim_start_matches('/');
            Some(listed(key.to_owned(), &object))
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    fn conditions(&self) -> Result<Conditions, StoreError> {
        if let Some(known) = self.conditions.get() {
            return Ok(*known);
        }
        let found = probe(self)?;
        Ok(*self.conditions.get_or_init(|| found))
    }

    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(result) = self.get(key)? else { return Ok(false) };
        if result.meta.size != bytes.len() as u64 {
            return Ok(false);
        }
        same_content(bytes, self.reader(result)).map_err(|source| self.error("read", key, source))
    }

    /// A document that is in memory goes to the service in one request, when it is wanted.
    fn prepare<'a>(&'a self, key: &str, bytes: &'a [u8]) -> Result<Box<dyn Pending + 'a>, StoreError> {
        Ok(Box::new(WholeDocument { store: self, key: key.to_owned(), bytes }))
    }
}

fn listed(key: String, object: &ObjectMeta) -> Listed {
    // A time out of range is no time at all.
    let modified = Timestamp::from_second(object.last_modified.timestamp()).unwrap_or(Timestamp::MAX);
    Listed { key, bytes: object.size, modified }
}

/// A document as it arrives.
struct ObjectReader {
    stream: Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>,
    chunk: Bytes,
    service: String,
    runtime: &'static Runtime,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match wait(self.runtime, self.stream.try_next()) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io_error(&self.service, &error)),
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

/// Names the place that is full, which is not the one that the message is about.
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
    /// Whether the document holds these bytes already.
    fn is_there(&mut self) -> Result<bool, StoreError> {
        let Some(result) = self.store.get(&self.key)? else { return Ok(false) };
        if result.meta.size != self.bytes {
            return Ok(false);
        }
        same_content(&mut self.file, self.store.reader(result))
            .map_err(|source| self.store.error("compare", &self.key, source))
    }

    fn rewind(&mut self) -> Result<(), StoreError> {
        let rewound = self.file.seek(SeekFrom::Start(0));
        rewound.map_err(|source| self.store.error("read the temporary copy of", &self.key, source))?;
        Ok(())
    }
}

impl Pending for BucketWrite<'_> {
    fn commit(mut self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        self.rewind()?;
        if condition == Condition::Always {
            if self.is_there()? {
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
