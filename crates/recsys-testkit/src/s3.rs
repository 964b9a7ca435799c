//! Client of the test S3 server.
//!
//! It does not use the project's own storage code, so that a mistake there cannot hide itself.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::runtime::{Builder, Runtime};

/// Client of the server started by `scripts/with-services`.
#[derive(Debug)]
pub struct S3 {
    /// URL of the server.
    pub endpoint: String,
    /// Access key of the credentials.
    pub access_key: String,
    /// Secret key of the credentials.
    pub secret_key: String,
    /// Bucket for all tests.
    pub bucket: String,
    store: AmazonS3,
    runtime: Runtime,
}

fn variable(name: &str) -> String {
    let name = format!("RECSYS_TEST_S3_{name}");
    std::env::var(&name)
        .unwrap_or_else(|error| panic!("{name}: {error}; run it through scripts/with-services"))
}

fn path(key: &str) -> Path {
    Path::parse(key).unwrap_or_else(|error| panic!("{key}: {error}"))
}

impl S3 {
    /// Client of the server named by the environment. Panics if there is none; tests are never skipped.
    pub fn from_env() -> Self {
        // Fails if another test of the process has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = variable("ENDPOINT");
        let access_key = variable("ACCESS_KEY");
        let secret_key = variable("SECRET_KEY");
        let bucket = variable("BUCKET");
        // Fail soon if the server is gone; the default is three minutes.
        let retry =
            RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
        let store = AmazonS3Builder::new()
            .with_endpoint(&endpoint)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_region("us-east-1")
            .with_access_key_id(&access_key)
            .with_secret_access_key(&secret_key)
            .with_bucket_name(&bucket)
            .with_retry(retry)
            .build()
            .unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { endpoint, access_key, secret_key, bucket, store, runtime }
    }

    /// A prefix that no other test uses, even in other processes or in an earlier run on the same server.
    pub fn unique_prefix() -> String {
        // `RandomState` takes its keys from the operating system, and each has others.
        format!("test-{}-{:016x}", std::process::id(), RandomState::new().hash_one(0))
    }

    /// Environment variables by which a binary finds the server. URLs name the bucket.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.settings_at(&self.endpoint)
    }

    /// Like [`Self::settings`], for another endpoint, such as that of a [proxy](crate::proxy::Proxy).
    pub fn settings_at(&self, endpoint: &str) -> Vec<(String, String)> {
        let mut settings = vec![
            ("ENDPOINT", endpoint),
            ("ACCESS_KEY", &self.access_key),
            ("SECRET_KEY", &self.secret_key),
            ("REGION", "us-east-1"),
        ];
        if endpoint.starts_with("http://") {
            settings.push(("USE_SSL", "false"));
        }
        let name = |name| format!("RECSYS_PIPELINES__OBJECT_STORE__S3__{name}");
        settings.into_iter().map(|(key, value)| (name(key), value.to_owned())).collect()
    }

    /// Host and port of the server, for a [proxy](crate::proxy::Proxy) in front of it.
    pub fn address(&self) -> &str {
        let address = self.endpoint.strip_prefix("http://").expect("the proxy speaks no TLS");
        address.trim_end_matches('/')
    }

    /// Reads an object; none if it does not exist.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let read = async { self.store.get(&path(key)).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Some(bytes.to_vec()),
            Err(Error::NotFound { .. }) => None,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    /// Writes an object, replacing any existing one.
    pub fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        let put = self.runtime.block_on(self.store.put(&path(key), bytes.into()));
        put.unwrap_or_else(|error| panic!("{key}: {error}"));
    }

    /// Sorted keys of all objects below a prefix, at any depth.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let prefix = path(prefix);
        let list = self.store.list(Some(&prefix)).map_ok(|object| String::from(object.location));
        let mut keys: Vec<String> =
            self.runtime.block_on(list.try_collect()).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        keys.sort();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{NetworkFault, Proxy};

    #[test]
    fn what_is_put_is_there() {
        let (s3, prefix) = (S3::from_env(), S3::unique_prefix());
        let key = format!("{prefix}/a/b.json");
        assert_eq!(s3.get(&key), None);
        assert_eq!(s3.keys(&prefix), Vec::<String>::new());
        s3.put(&key, "one");
        s3.put(&key, "two");
        // Neither a folder that shares the beginning of the name nor a sibling is listed.
        s3.put(&format!("{prefix}x/c"), "");
        assert_eq!(s3.get(&key).as_deref(), Some(&b"two"[..]));
        assert_eq!(s3.keys(&prefix), [key.as_str()]);
        assert_eq!(s3.keys(&format!("{prefix}/")), [key]);
        assert_eq!(S3::from_env().get(&format!("{prefix}x/c")), Some(Vec::new()));
    }

    #[test]
    fn large_objects_and_long_listings_are_whole() {
        let (s3, prefix) = (S3::from_env(), S3::unique_prefix());
        let large: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        s3.put(&format!("{prefix}/large"), &large);
        assert!(s3.get(&format!("{prefix}/large")) == Some(large));
        // A listing page holds 1000 keys.
        for number in 0..1005 {
            s3.put(&format!("{prefix}/many/{number:04}"), "");
        }
        let keys = s3.keys(&format!("{prefix}/many"));
        assert_eq!((keys.len(), keys[1004].ends_with("/many/1004")), (1005, true));
    }

    #[test]
    fn prefixes_differ() {
        let prefixes: std::collections::BTreeSet<String> = (0..100).map(|_| S3::unique_prefix()).collect();
        assert_eq!(prefixes.len(), 100);
    }

    #[test]
    fn settings_name_the_server() {
        let s3 = S3::from_env();
        let settings = s3.settings_at("http://127.0.0.1:1");
        let get = |name: &str| {
            let found = settings
                .iter()
                .find(|(key, _)| *key == format!("RECSYS_PIPELINES__OBJECT_STORE__S3__{name}"));
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(get("ENDPOINT"), Some("http://127.0.0.1:1"));
        assert_eq!(get("ACCESS_KEY"), Some(s3.access_key.as_str()));
        assert_eq!(get("SECRET_KEY"), Some(s3.secret_key.as_str()));
        assert_eq!(get("USE_SSL"), Some("false"));
        assert_eq!(get("BUCKET"), None);
        assert_eq!(s3.settings(), s3.settings_at(&s3.endpoint));
        assert!(s3.settings_at("https://example.com").iter().all(|(key, _)| !key.ends_with("USE_SSL")));
    }

    /// A real client behind the proxy retries what failed and gets the answer.
    #[test]
    fn a_client_gets_through_a_proxy() {
        let (direct, prefix) = (S3::from_env(), S3::unique_prefix());
        let proxy = Proxy::start(direct.address());
        let mut s3 = S3::from_env();
        s3.store = AmazonS3Builder::new()
            .with_endpoint(proxy.endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id(&s3.access_key)
            .with_secret_access_key(&s3.secret_key)
            .with_bucket_name(&s3.bucket)
            .build()
            .unwrap();
        let key = format!("{prefix}/through");
        let large = vec![7; 5_000_000];
        proxy.rule("PUT", &key, Some(1), NetworkFault::Answer { status: 503, body: "<Error/>".into() });
        proxy.rule("GET", &key, Some(1), NetworkFault::Drop);
        s3.put(&key, &large);
        assert!(s3.get(&key).as_ref() == Some(&large));
        assert!(direct.get(&key) == Some(large));
        let path = format!("/{}/{key}", s3.bucket);
        let line = |method: &str| format!("{method} {path}");
        assert_eq!(proxy.requests(), [line("PUT"), line("PUT"), line("GET"), line("GET")]);
    }
}
