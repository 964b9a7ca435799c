//! Access to S3 buckets: from the settings, then from the variables that Amazon's own tools read.

#[cfg(feature = "http")]
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
#[cfg(feature = "http")]
use object_store::client::ClientConfigKey;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Secret;

/// How to reach a bucket of S3 or of a compatible server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// Host and port, with or without scheme; Amazon's own if not set.
    pub endpoint: Option<String>,
    /// Name of the bucket that these settings are for.
    pub bucket: Option<String>,
    /// The key id; if not set, from the environment or an instance role.
    pub access_key: Option<Secret>,
    /// The secret of `access_key`; both are set, or neither.
    pub secret_key: Option<Secret>,
    /// The region; if not set, from the environment or `us-east-1`.
    pub region: Option<String>,
    /// The folder within the bucket.
    pub prefix: Option<String>,
    /// Whether to use TLS; on by default.
    pub use_ssl: bool,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            bucket: None,
            access_key: None,
            secret_key: None,
            region: None,
            prefix: None,
            use_ssl: true,
        }
    }
}

impl S3Settings {
    /// Checks the settings, whether or not anything uses them.
    pub fn check(&self) -> Result<(), &'static str> {
        match (&self.access_key, &self.secret_key) {
            (Some(_), None) => return Err("access_key is set and secret_key is not"),
            (None, Some(_)) => return Err("secret_key is set and access_key is not"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        match &self.endpoint {
            Some(endpoint) => check_endpoint(&with_scheme(endpoint, self.use_ssl)?),
            None => Ok(()),
        }
    }

    /// Applies the settings to `builder`. Returns it with the service's name in messages, or what is wrong with the
    /// settings.
    #[cfg(feature = "http")]
    pub(super) fn configure(
        &self,
        mut builder: AmazonS3Builder,
    ) -> Result<(AmazonS3Builder, String), &'static str> {
        self.check()?;
        let Self { endpoint, access_key, secret_key, region, use_ssl, .. } = self;
        for (key, value) in aws_variables() {
            let set_here = match key {
                // A key from the settings is not combined with a secret or token from the environment.
                AmazonS3ConfigKey::AccessKeyId
                | AmazonS3ConfigKey::SecretAccessKey
                | AmazonS3ConfigKey::Token => access_key.is_some(),
                AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint => endpoint.is_some(),
                key => !is_about_access(key),
            };
            if !set_here {
                builder = builder.with_config(key, value);
            }
        }
        if let (Some(access_key), Some(secret_key)) = (access_key, secret_key) {
            builder =
                builder.with_access_key_id(access_key.reveal()).with_secret_access_key(secret_key.reveal());
        }
        if let Some(region) = region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(with_scheme(endpoint, *use_ssl)?);
        }
        if !use_ssl {
            builder = builder.with_allow_http(true);
        }
        let value = |key| builder.get_config_value(&key);
        // They are sent in the headers of each request, where other characters are not allowed.
        for key in [
            AmazonS3ConfigKey::AccessKeyId,
            AmazonS3ConfigKey::SecretAccessKey,
            AmazonS3ConfigKey::Token,
            AmazonS3ConfigKey::Region,
        ] {
            if value(key)
                .is_some_and(|text| text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()))
            {
                return Err("a key, token or region is empty, or has blanks or line ends");
            }
        }
        if value(AmazonS3ConfigKey::Checksum).is_some_and(|name| name.parse::<Checksum>().is_err()) {
            return Err("AWS_CHECKSUM_ALGORITHM must be SHA256 or CRC64NVME");
        }
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
        let Some(endpoint) = endpoint else {
            let region = value(AmazonS3ConfigKey::Region);
            let service = format!("S3 in region {}", region.as_deref().unwrap_or("us-east-1"));
            return Ok((builder, service));
        };
        check_endpoint(&endpoint)?;
        let allow_http = value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
        if endpoint.starts_with("http://") && allow_http.as_deref() != Some("true") {
            return Err(PLAIN_HTTP);
        }
        Ok((builder, endpoint))
    }
}

const PLAIN_HTTP: &str = "the endpoint is plain HTTP; if that is meant, set use_ssl to false";

/// Refuses an endpoint that is not a plain HTTP address.
fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    let problem = "the endpoint must be a host and port, or begin with http:// or https://";
    if endpoint.contains('@') {
        return Err("the endpoint has a user or password; give access_key and secret_key instead");
    }
    let url = Url::parse(endpoint).map_err(|_| problem)?;
    let is_address = url.host_str().is_some_and(|host| !host.is_empty())
        && url.query().is_none()
        && url.fragment().is_none()
        && endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    if is_address { Ok(()) } else { Err(problem) }
}

/// The endpoint as a URL; without a scheme, `use_ssl` decides.
fn with_scheme(endpoint: &str, use_ssl: bool) -> Result<String, &'static str> {
    let endpoint = endpoint.trim_end_matches('/');
    match (endpoint.split_once("://"), use_ssl) {
        (Some(("https", _)), false) => Err("the endpoint is https:// and use_ssl is false"),
        (Some(("http", _)), true) => Err(PLAIN_HTTP),
        (Some(("http" | "https", _)), _) => Ok(endpoint.to_owned()),
        (Some(_), _) => Err("the endpoint must be a host and port, or begin with http:// or https://"),
        (None, false) => Ok(format!("http://{endpoint}")),
        (None, true) => Ok(format!("https://{endpoint}")),
    }
}

#[cfg(feature = "http")]
fn aws_variables() -> impl Iterator<Item = (AmazonS3ConfigKey, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with("AWS_"))?.to_ascii_lowercase();
        // An empty variable counts as not set.
        let value = value.into_string().ok().filter(|value| !value.is_empty())?;
        Some((name.parse().ok()?, value))
    })
}

#[cfg(feature = "http")]
/// Whether a variable is about access (credentials, region, endpoints) or about what the bucket requires of every
/// request. Everything else, such as the bucket itself, is taken from the settings only.
fn is_about_access(key: AmazonS3ConfigKey) -> bool {
    matches!(
        key,
        AmazonS3ConfigKey::Region
            | AmazonS3ConfigKey::DefaultRegion
            | AmazonS3ConfigKey::VirtualHostedStyleRequest
            | AmazonS3ConfigKey::ImdsV1Fallback
            | AmazonS3ConfigKey::MetadataEndpoint
            | AmazonS3ConfigKey::ContainerCredentialsRelativeUri
            | AmazonS3ConfigKey::ContainerCredentialsFullUri
            | AmazonS3ConfigKey::ContainerAuthorizationTokenFile
            | AmazonS3ConfigKey::WebIdentityTokenFile
            | AmazonS3ConfigKey::RoleArn
            | AmazonS3ConfigKey::RoleSessionName
            | AmazonS3ConfigKey::StsEndpoint
            | AmazonS3ConfigKey::SkipSignature
            | AmazonS3ConfigKey::RequestPayer
            | AmazonS3ConfigKey::Encryption(_)
            | AmazonS3ConfigKey::Checksum
            | AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)
    )
}
