//! Opens roots as the configuration names them: by a path or the URL of a bucket.

use std::io;
#[cfg(feature = "http")]
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

#[cfg(feature = "http")]
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, memory::InMemory, path::Path,
};
#[cfg(feature = "http")]
use parking_lot::Mutex;
#[cfg(feature = "http")]
use url::Url;

#[cfg(feature = "http")]
use super::timeouts::MAX_PAUSE;
use super::{LocalStore, S3Settings, Store, StoreError, StoreTimeouts};
#[cfg(feature = "http")]
use super::{bucket::BucketStore, connector::SameHost, waiter::Waiter};
use crate::domain::class::Class;

/// Why a root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The URL has an unknown scheme.
    #[error(
        "a place of scheme {0:?} is not known; give a path, or a URL that begins with file:///, s3://, gs:// or az://"
    )]
    Scheme(String),
    /// A `file` URL without an absolute path.
    #[error("{0:?} is not a file URL: it must begin with file:/// and an absolute path")]
    RelativeFile(String),
    /// The binary was built without support for the scheme.
    #[error(
        "this program was built without the feature `http`, which a place of scheme {0} needs; build it with \
         `--features http`, or give a path"
    )]
    NotBuilt(String),
    /// The folder has an empty part, or dots.
    #[error("{0:?} has an empty part or dots between its slashes; give the folder as it is")]
    Dots(String),
    /// The URL names a bucket but no document in it.
    #[error("{0:?} names no file")]
    NoDocument(String),
    /// The URL names no bucket.
    #[error("{0:?} names no bucket")]
    NoBucket(String),
    /// The URL has more than a bucket and a folder. The rest may be secret, so it is not repeated.
    #[error("a URL of scheme {0} has more than bucket and folder: a user, password, port, `?` or `#`")]
    Surplus(String),
    /// Two settings exclude each other, or one requires another.
    #[error("s3 settings of bucket {bucket:?}: {problem}")]
    Settings {
        /// The bucket that the settings are for.
        bucket: String,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// The `object_store` library rejects the settings.
    #[cfg(feature = "http")]
    #[error("cannot use {bucket}: {problem}")]
    Client {
        /// Scheme and bucket: `s3://bucket`.
        bucket: String,
        /// The library's error.
        problem: object_store::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The threads that wait for the network cannot be started.
    #[error("cannot start threads for the network")]
    Runtime(#[source] io::Error),
}

impl RootError {
    /// What can be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Runtime(_) => Class::Transient,
            _ => Class::Usage,
        }
    }
}

/// Opens roots. Roots in the same bucket share their connections.
#[derive(Debug)]
pub struct Roots {
    /// The `s3` sections. The last one is also for buckets that none of them names.
    #[cfg(feature = "http")]
    sections: Vec<S3Settings>,
    #[cfg(feature = "http")]
    timeouts: StoreTimeouts,
    #[cfg(feature = "http")]
    clients: Mutex<Vec<Bucket>>,
}

/// A client of one bucket with one section of settings.
#[cfg(feature = "http")]
#[derive(Debug)]
struct Bucket {
    url: String,
    section: S3Settings,
    store: Arc<dyn ObjectStore>,
    /// The same client without retries.
    once: Arc<dyn ObjectStore>,
    waiter: Waiter,
}

impl Roots {
    /// Opens roots with the `s3` sections of the configuration. A bucket uses the section that names it, or else the
    /// last one; what the section leaves open comes from the `AWS_*` variables.
    #[cfg(feature = "http")]
    pub fn new(sections: Vec<S3Settings>, timeouts: StoreTimeouts) -> Self {
        Self { sections, timeouts, clients: Mutex::default() }
    }

    /// Opens local folders only: a binary without bucket support does not need the sections.
    #[cfg(not(feature = "http"))]
    pub fn new(_sections: Vec<S3Settings>, _timeouts: StoreTimeouts) -> Self {
        Self {}
    }

    /// Opens the root at a path or URL. Creates nothing and sends no request.
    pub fn open(&self, root: &str) -> Result<Box<dyn Store>, RootError> {
        self.open_with(root, None)
    }

    /// The same with an `s3` section for this root, whatever bucket the section names.
    pub fn open_with(&self, root: &str, section: Option<&S3Settings>) -> Result<Box<dyn Store>, RootError> {
        match Location::parse(root, section)? {
            Location::Disk(path) => Ok(Box::new(LocalStore::new(path)?)),
            #[cfg(feature = "http")]
            Location::Bucket(address) => Ok(Box::new(self.open_bucket(address, section)?)),
        }
    }

    /// Opens the folder of a document, given as a path or URL. Returns it with the document's name.
    pub fn open_document(&self, document: &str) -> Result<(Box<dyn Store>, String), RootError> {
        #[cfg(feature = "http")]
        let unnamed = || RootError::NoDocument(document.to_owned());
        match Location::parse(document, None)? {
            Location::Disk(path) => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let folder = if folder.is_empty() && path.starts_with('/') { "/" } else { folder };
                Ok((Box::new(LocalStore::new(folder)?), name.to_owned()))
            }
            #[cfg(feature = "http")]
            Location::Bucket(mut address) => {
                let name = address.folder.filename().ok_or_else(unnamed)?.to_owned();
                address.folder = address.folder.parent().ok_or_else(unnamed)?;
                Ok((Box::new(self.open_bucket(address, None)?), name))
            }
        }
    }
}

#[cfg(feature = "http")]
impl Roots {
    fn open_bucket(
        &self,
        address: Address<'_>,
        section: Option<&S3Settings>,
    ) -> Result<BucketStore, RootError> {
        let Address { scheme, name, folder } = address;
        let bucket = format!("{scheme}://{name}");
        let named = || self.sections.iter().find(|section| section.bucket.as_deref() == Some(name.as_str()));
        let section = match scheme {
            "s3" => section.or_else(named).or(self.sections.last()).cloned().unwrap_or_default(),
            _ => S3Settings::default(),
        };
        let mut clients = self.clients.lock();
        let is_known = |client: &Bucket| client.url == bucket && client.section == section;
        let at = if let Some(at) = clients.iter().position(is_known) {
            at
        } else {
            let retries = self.retries();
            let (store, service) = self.connect(scheme, &name, &bucket, &section, retries.clone())?;
            let once = RetryConfig { max_retries: 0, ..retries };
            let (once, _) = self.connect(scheme, &name, &bucket, &section, once)?;
            let waiter = Waiter::new(service, self.timeouts).map_err(RootError::Runtime)?;
            clients.push(Bucket { url: bucket.clone(), section: section.clone(), store, once, waiter });
            clients.len() - 1
        };
        let Bucket { store, once, waiter, .. } = &clients[at];
        let (store, once, waiter) = (Arc::clone(store), Arc::clone(once), waiter.clone());
        Ok(BucketStore::new(store, once, waiter, bucket, folder))
    }

    /// A client of a bucket, and the name of its service in messages.
    fn connect(
        &self,
        scheme: &str,
        name: &str,
        bucket: &str,
        section: &S3Settings,
        retries: RetryConfig,
    ) -> Result<(Arc<dyn ObjectStore>, String), RootError> {
        // Only the first call in a process takes effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |problem| RootError::Client { bucket: bucket.to_owned(), problem };
        match scheme {
            "s3" => {
                let builder = AmazonS3Builder::new()
                    .with_client_options(self.client_options())
                    .with_http_connector(SameHost)
                    .with_retry(retries)
                    // Objects are deleted one at a time, and not every server supports deleting many at once.
                    .with_disable_bulk_delete(true)
                    .with_bucket_name(name);
                let (builder, service) = section
                    .configure(builder)
                    .map_err(|problem| RootError::Settings { bucket: name.to_owned(), problem })?;
                Ok((Arc::new(builder.build().map_err(failed)?), service))
            }
            "gs" => {
                let builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(name)
                    .with_client_options(self.client_options())
                    .with_http_connector(SameHost)
                    .with_retry(retries);
                Ok((Arc::new(builder.build().map_err(failed)?), "Google Cloud Storage".to_owned()))
            }
            "az" => {
                let builder = MicrosoftAzureBuilder::from_env()
                    .with_container_name(name)
                    .with_client_options(self.client_options())
                    .with_http_connector(SameHost)
                    .with_retry(retries);
                Ok((Arc::new(builder.build().map_err(failed)?), "Azure Blob Storage".to_owned()))
            }
            _ => Ok((in_memory(name), "memory".to_owned())),
        }
    }

    fn client_options(&self) -> ClientOptions {
        let timeout = self.timeouts.timeout();
        // A large document may take long as a whole, as long as data keeps arriving.
        ClientOptions::new().with_timeout_disabled().with_read_timeout(timeout).with_connect_timeout(timeout)
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: MAX_PAUSE,
                base: 2.0,
            },
            // Retries are bounded by time.
            max_retries: usize::MAX,
            retry_timeout: Duration::from_secs(self.timeouts.retry_timeout_s.into()),
        }
    }
}

/// What a path or URL refers to.
enum Location<'a> {
    Disk(&'a str),
    #[cfg(feature = "http")]
    Bucket(Address<'a>),
}

#[cfg(feature = "http")]
/// A folder or document in a bucket.
struct Address<'a> {
    scheme: &'a str,
    name: String,
    folder: Path,
}

const SCHEMES: [&str; 5] = ["file", "s3", "gs", "az", "memory"];

impl<'a> Location<'a> {
    /// A rejected URL may contain a password, so [`RootError::Surplus`] names only its scheme.
    ///
    /// If `section` names the bucket, the folder may contain `?` and `#`. In a plain URL they would begin a query or
    /// fragment, and are refused.
    #[cfg_attr(not(feature = "http"), expect(unused_variables, reason = "a folder has no section"))]
    fn parse(place: &'a str, section: Option<&S3Settings>) -> Result<Self, RootError> {
        let Some((scheme, rest)) = place.split_once("://") else {
            return match place.split_once(":/") {
                // A slash is missing; it is not a folder of that name.
                Some((scheme, _)) if SCHEMES.contains(&scheme) => Err(RootError::Scheme(scheme.to_owned())),
                _ => Ok(Self::Disk(place)),
            };
        };
        match scheme {
            // The path is taken literally, as in the URIs of blobs.
            "file" if rest.starts_with('/') => Ok(Self::Disk(rest)),
            "file" => Err(RootError::RelativeFile(place.to_owned())),
            #[cfg(feature = "http")]
            scheme if SCHEMES.contains(&scheme) => {
                let is_named = section.is_some_and(|section| section.bucket.is_some());
                if !is_named && rest.contains(['?', '#']) {
                    return Err(RootError::Surplus(scheme.to_owned()));
                }
                Self::parse_bucket(scheme, rest, place)
            }
            #[cfg(not(feature = "http"))]
            scheme if SCHEMES.contains(&scheme) => Err(RootError::NotBuilt(scheme.to_owned())),
            _ => Err(RootError::Scheme(scheme.to_owned())),
        }
    }

    #[cfg(feature = "http")]
    fn parse_bucket(scheme: &'a str, rest: &str, place: &str) -> Result<Self, RootError> {
        let surplus = || RootError::Surplus(scheme.to_owned());
        let (authority, folder) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(surplus());
        }
        let url = Url::parse(&format!("{scheme}://{authority}")).map_err(|_| surplus())?;
        if url.port().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(surplus());
        }
        let name = url.host_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| RootError::NoBucket(place.to_owned()))?.to_owned();
        // Taken literally, as in the URIs of blobs: percent signs are not decoded, and dots are refused.
        let folder = Path::parse(folder).map_err(|_| RootError::Dots(place.to_owned()))?;
        Ok(Self::Bucket(Address { scheme, name, folder }))
    }
}

#[cfg(feature = "http")]
/// The in-memory bucket of a name. It lives as long as the process.
fn in_memory(name: &str) -> Arc<dyn ObjectStore> {
    static BUCKETS: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);
    let mut buckets = BUCKETS.lock();
    Arc::clone(buckets.entry(name.to_owned()).or_default()) as Arc<dyn ObjectStore>
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_every_scheme_is_taken_as_it_stands() {
        for scheme in ["s3", "gs", "az", "memory"] {
            let folder = |folder: &str| match Location::parse(&format!("{scheme}://b/{folder}"), None) {
                Ok(Location::Bucket(Address { folder, .. })) => Ok(folder.to_string()),
                Ok(Location::Disk(path)) => panic!("{path}"),
                Err(error) => Err(error),
            };
            for name in ["a%20b", "a/%2e%2e/c", "o%2Fb", "100%", "a b/é+&=", ""] {
                assert_eq!(folder(name).unwrap(), name, "{scheme}");
            }
            assert_eq!(folder("a/b/").unwrap(), "a/b");
            for name in ["a/../c", "./a", "a//b"] {
                assert!(matches!(folder(name), Err(RootError::Dots(_))), "{scheme} {name}");
            }
            for name in ["a?b", "a#b"] {
                assert!(matches!(folder(name), Err(RootError::Surplus(_))), "{scheme} {name}");
            }
        }
    }
}
