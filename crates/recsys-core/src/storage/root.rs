//! A root from what stands in the configuration: a path, or the URL of a bucket.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use serde::{Deserialize, Serialize};
use url::Url;

use super::bucket::BucketStore;
use super::{LocalStore, S3Settings, Store, StoreError};

/// How long to wait for services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// Seconds after which a request without an answer has failed.
    pub timeout_s: u32,
    /// Seconds for which a request that fails is tried again.
    pub retry_timeout_s: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout_s: 30, retry_timeout_s: 60 }
    }
}

/// Why a root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It is no URL.
    #[error("{url:?} is not a URL: {source}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// It is a URL of something else.
    #[error("{0:?} is not a root; give a path, or a URL that begins with file://, s3://, gs:// or az://")]
    Scheme(String),
    /// It names no bucket.
    #[error("{0:?} names no bucket")]
    NoBucket(String),
    /// It carries more than a bucket and a folder. What it is may be secret.
    #[error(
        "a URL with scheme {0} has a user, password, port, query or fragment; give only bucket and folder"
    )]
    Surplus(String),
    /// Two settings exclude each other, or one lacks another.
    #[error("s3 settings of bucket {bucket:?}: {problem}")]
    Settings {
        /// The bucket that they are for.
        bucket: String,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// The library does not take the settings.
    #[error("cannot use {bucket}: {source}")]
    Client {
        /// The bucket.
        bucket: String,
        /// Why not.
        source: object_store::Error,
    },
    /// The root cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The threads that wait for the network cannot be started.
    #[error("cannot start threads for the network")]
    Runtime(#[source] io::Error),
}

/// Opens roots. Roots in the same bucket share their connections.
#[derive(Debug)]
pub struct Roots {
    /// The `s3` sections. The last one is for buckets that none of them names.
    sections: Vec<S3Settings>,
    patience: Patience,
    /// By scheme and bucket.
    clients: Mutex<BTreeMap<String, Client>>,
}

/// A client of a bucket.
#[derive(Debug, Clone)]
struct Client {
    store: Arc<dyn ObjectStore>,
    /// What messages call the service.
    service: String,
}

impl Roots {
    /// Opens roots with the `s3` sections of the configuration: the one that names the bucket of a URL is for
    /// that URL, the last one is for all other buckets, and what a section leaves open comes from the `AWS_*`
    /// variables.
    pub fn new(sections: Vec<S3Settings>, patience: Patience) -> Self {
        Self { sections, patience, clients: Mutex::default() }
    }

    /// Opens the root at a path or URL. Nothing is created, and no service is asked yet.
    pub fn open(&self, root: &str) -> Result<Box<dyn Store>, RootError> {
        let Some((scheme, rest)) = root.split_once("://") else {
            return Ok(Box::new(LocalStore::new(root)?));
        };
        match scheme {
            // The path as it stands, as it does in the URIs of blobs.
            "file" if rest.starts_with('/') => Ok(Box::new(LocalStore::new(rest)?)),
            "s3" | "gs" | "az" | "memory" => Ok(Box::new(self.open_bucket(scheme, root)?)),
            _ => Err(RootError::Scheme(redacted(root))),
        }
    }

    fn open_bucket(&self, scheme: &str, root: &str) -> Result<BucketStore, RootError> {
        let surplus = || RootError::Surplus(scheme.to_owned());
        // A message that repeats the URL would repeat a password in it.
        if root.contains('@') {
            return Err(surplus());
        }
        let url = Url::parse(root).map_err(|source| RootError::Url { url: root.to_owned(), source })?;
        if url.port().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(surplus());
        }
        let name = url.host_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| RootError::NoBucket(root.to_owned()))?;
        let folder = if scheme == "memory" {
            Path::from_url_path(url.path()).ok()
        } else {
            ObjectStoreScheme::parse(&url).ok().map(|(_, path)| path)
        };
        let folder = folder.ok_or_else(|| RootError::Scheme(root.to_owned()))?;
        let bucket = format!("{scheme}://{name}");
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.contains_key(&bucket) {
            clients.insert(bucket.clone(), self.connect(scheme, name, &bucket)?);
        }
        let Client { store, service } = clients[&bucket].clone();
        BucketStore::new(store, service, bucket, folder).map_err(RootError::Runtime)
    }

    fn connect(&self, scheme: &str, name: &str, bucket: &str) -> Result<Client, RootError> {
        // Only the first call of a process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |source| RootError::Client { bucket: bucket.to_owned(), source };
        let (store, service): (Arc<dyn ObjectStore>, &str) = match scheme {
            "s3" => return self.s3(name),
            "gs" => {
                let builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(name)
                    .with_client_options(self.client_options())
                    .with_retry(self.retries());
                (Arc::new(builder.build().map_err(failed)?), "Google Cloud Storage")
            }
            "az" => {
                let builder = MicrosoftAzureBuilder::from_env()
                    .with_container_name(name)
                    .with_client_options(self.client_options())
                    .with_retry(self.retries());
                (Arc::new(builder.build().map_err(failed)?), "Azure Blob Storage")
            }
            _ => (in_memory(name), "memory"),
        };
        Ok(Client { store, service: service.to_owned() })
    }

    fn client_options(&self) -> ClientOptions {
        let timeout = Duration::from_secs(self.patience.timeout_s.into());
        // A large document may take long as a whole; what counts is that something arrives.
        ClientOptions::new().with_timeout_disabled().with_read_timeout(timeout).with_connect_timeout(timeout)
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            // The time is the bound.
            max_retries: usize::MAX,
            retry_timeout: Duration::from_secs(self.patience.retry_timeout_s.into()),
        }
    }

    fn s3(&self, bucket: &str) -> Result<Client, RootError> {
        let named = self.sections.iter().find(|section| section.bucket.as_deref() == Some(bucket));
        let section = named.or(self.sections.last()).cloned().unwrap_or_default();
        let builder = AmazonS3Builder::new()
            .with_client_options(self.client_options())
            .with_retry(self.retries())
            .with_bucket_name(bucket);
        let (builder, service) = section
            .configure(builder)
            .map_err(|problem| RootError::Settings { bucket: bucket.to_owned(), problem })?;
        let store = builder.build();
        let store = store.map_err(|source| RootError::Client { bucket: format!("s3://{bucket}"), source })?;
        Ok(Client { store: Arc::new(store), service })
    }
}

/// A URL without what may be a password.
fn redacted(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

/// The bucket in memory of a name. It is forgotten when the process ends.
fn in_memory(name: &str) -> Arc<dyn ObjectStore> {
    static BUCKETS: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);
    let mut buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(buckets.entry(name.to_owned()).or_default()) as Arc<dyn ObjectStore>
}
