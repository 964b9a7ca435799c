//! Failures of bucket services, in words that an operator can act on.

#![cfg_attr(not(feature = "http"), allow(dead_code, reason = "there is no service that fails"))]

#[cfg(feature = "http")]
use std::error::Error;

#[cfg(feature = "http")]
use object_store::client::{HttpError, HttpErrorKind};
#[cfg(feature = "http")]
use tokio::time::error::Elapsed;

/// The slowest acceptable answer, averaged over twice [`StoreTimeouts::timeout_s`](super::StoreTimeouts).
pub(super) const MIN_BYTES_PER_SECOND: u64 = 1 << 10;

/// Codes of requests that were not carried out and may succeed later, whatever the status.
pub(super) const UNDONE: [&str; 12] = [
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",
    "OperationAborted",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
];

/// Codes of temporary failures that leave open whether the request was carried out.
pub(super) const PASSING: [&str; 3] = ["InternalError", "OperationTimedOut", "ServerBusy"];

/// The element of a corrected body that holds the service's original status.
pub(super) const STATUS: &str = "RecsysStatus";

/// A failed or refused request to a bucket service.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problem.in_words(.service))]
pub struct BucketError {
    /// The endpoint, or the name of the service.
    pub service: String,
    /// What went wrong.
    pub problem: BucketProblem,
}

/// What went wrong. The text is the service's answer (status, code and message) unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketProblem {
    /// The bucket does not exist.
    NoBucket,
    /// The credentials are not accepted.
    Credentials(String),
    /// No credentials were found.
    NoCredentials,
    /// The credentials lack the permission.
    Denied(String),
    /// Forbidden for another reason, which the answer gives.
    Forbidden(String),
    /// The account or bucket is closed to its users.
    Closed(String),
    /// The object is in an archive.
    Archived(String),
    /// There is no room left, or a quota is used up.
    Full(String),
    /// Every write needs a checksum.
    NoChecksum(String),
    /// The service does not support the request.
    Unsupported(String),
    /// The answer lacks a header that every answer has; the library's message.
    Stripped(String),
    /// The bucket is in another region; the answer or a description of it.
    Region(String),
    /// The service says that the clock here is wrong.
    Clock(String),
    /// No secure connection can be made; the cause.
    Tls(String),
    /// No connection can be made; the cause.
    Unreachable(String),
    /// No answer came in time.
    Timeout,
    /// The answer comes too slowly to wait for its end.
    Slow,
    /// The service redirects to another place.
    Redirect(String),
    /// A listing has no end; the evidence.
    Endless(String),
    /// The server does not speak HTTP, or a proxy on the way garbles it; the cause.
    NotHttp(String),
    /// The answer broke off; the cause.
    BrokenOff(String),
    /// A 404 of a form that no bucket service sends.
    NotABucket(String),
    /// An object has a key that cannot be listed; the library's message.
    StrangeKey(String),
    /// Any other answer.
    Answer(String),
}

impl BucketProblem {
    /// Whether it will be the same next time, until a setting or policy changes.
    pub fn is_refusal(&self) -> bool {
        let may_pass = matches!(
            self,
            Self::Full(_)
                | Self::Unreachable(_)
                | Self::Timeout
                | Self::Slow
                | Self::BrokenOff(_)
                | Self::NotABucket(_)
                | Self::Answer(_)
        );
        !may_pass
    }

    /// Whether the request was certainly not carried out and may be repeated. The error of a gateway, such as 502 or
    /// 504, leaves that open.
    pub(super) fn is_undone(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NotABucket(_) => true,
            Self::Answer(answer) => {
                ["408", "409", "429", "503"].iter().any(|status| answer.starts_with(status))
                    || UNDONE.iter().any(|code| answer.split(' ').any(|word| word == *code))
            }
            _ => false,
        }
    }

    /// What the service has done, as an operator may read it.
    fn in_words(&self, service: &str) -> String {
        match self {
            Self::NoBucket => format!("{service} has no such bucket; create it or correct its name"),
            Self::Credentials(code) => format!(
                "{service} does not accept the credentials ({code}); check the access key, its secret and token"
            ),
            Self::NoCredentials => format!(
                "there are no credentials for {service}: neither in the settings, nor in the environment, nor from \
                 an instance role"
            ),
            Self::Denied(code) => {
                format!("{service} denies it ({code}); check what these credentials may do")
            }
            Self::Forbidden(answer) => format!("{service} forbids it ({answer})"),
            Self::Closed(answer) => format!(
                "{service} has closed the account or bucket to these credentials ({answer}); its owner must settle that with \
                 the provider"
            ),
            Self::Archived(answer) => {
                format!("{service} keeps it in an archive ({answer}); restore the object, then try again")
            }
            Self::Full(answer) => {
                format!("{service} has no room for it ({answer}); make room or raise the quota")
            }
            Self::NoChecksum(answer) => format!(
                "{service} takes no write without a checksum ({answer}), as buckets with Object Lock do; set \
                 AWS_CHECKSUM_ALGORITHM to SHA256"
            ),
            Self::Unsupported(answer) => format!("{service} does not know such a request ({answer})"),
            Self::Stripped(what) => format!(
                "the answer of {service} lacks what every answer has ({what}); a proxy that encodes answers anew takes it out: \
                 let it pass them as they are, or go around it"
            ),
            Self::Region(text) => format!("{service} wants another region ({text}); set the region"),
            Self::Clock(text) => format!("{service} says that the clock here is wrong ({text}); set it"),
            Self::Tls(cause) if cause.contains("certificate") => {
                format!("no secure connection to {service}: {cause}; is SSL_CERT_FILE to name its authority?")
            }
            Self::Tls(cause) => {
                format!("no secure connection to {service}: {cause}; is it plain HTTP (use_ssl: false)?")
            }
            Self::Unreachable(cause) => format!("{service} cannot be reached: {cause}"),
            Self::Timeout => format!("{service} did not answer in time"),
            Self::Slow => {
                format!("the answer of {service} comes with less than {MIN_BYTES_PER_SECOND} bytes a second")
            }
            Self::Redirect(answer) => format!(
                "{service} answered {answer} and another address, to which no request is sent: it carries credentials; \
                 correct the endpoint or the region"
            ),
            Self::Endless(text) => format!(
                "{service} gives a listing without end ({text}); use another folder, or another server"
            ),
            Self::NotHttp(cause) => format!(
                "what answers at {service} does not speak HTTP as it should ({cause}); is it the right endpoint, and does a \
                 proxy between encode answers anew?"
            ),
            Self::BrokenOff(cause) => format!("the answer of {service} broke off: {cause}"),
            Self::NotABucket(answer) => format!(
                "{service} answered {answer}, and not that the object does not exist; is it the right endpoint?"
            ),
            Self::StrangeKey(text) => {
                format!("{service} has an object with a key that cannot be listed ({text}); remove it")
            }
            Self::Answer(answer) => format!("{service} answered {answer}"),
        }
    }
}

#[cfg(feature = "http")]
impl BucketError {
    /// The fault that an error of the library reports.
    pub(super) fn new(service: &str, error: &object_store::Error) -> Self {
        Self { service: service.to_owned(), problem: problem(error) }
    }
}

#[cfg(feature = "http")]
/// An error and its sources, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(feature = "http")]
fn problem(error: &object_store::Error) -> BucketProblem {
    let text = error.to_string();
    let innermost = chain(error).last().map(ToString::to_string).unwrap_or_default();
    let code = element(&text, "Code").unwrap_or_default();
    let answer = answer(&text, code);
    match code {
        "NoSuchBucket" | "ContainerNotFound" => return BucketProblem::NoBucket,
        // One service reports a used-up limit this way.
        "AccessDenied" if answer.contains("cap exceeded") => return BucketProblem::Full(answer),
        "AccessDenied" | "AuthorizationFailure" | "AuthorizationPermissionMismatch" => {
            return BucketProblem::Denied(answer);
        }
        code if CREDENTIALS.contains(&code) => return BucketProblem::Credentials(answer),
        code if CLOSED.contains(&code) => return BucketProblem::Closed(answer),
        code if FULL.contains(&code) => return BucketProblem::Full(answer),
        code if UNDONE.contains(&code) || PASSING.contains(&code) => return BucketProblem::Answer(answer),
        "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => {
            return BucketProblem::Archived(answer);
        }
        "NotImplemented" | "MethodNotAllowed" => return BucketProblem::Unsupported(answer),
        "InvalidRequest" if answer.contains("Content-MD5") || answer.contains("x-amz-checksum") => {
            return BucketProblem::NoChecksum(answer);
        }
        "RequestTimeTooSkewed" => return BucketProblem::Clock(answer),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
            return BucketProblem::Region(answer);
        }
        _ => {}
    }
    // Google says so only in the message.
    if text.contains("bucket does not exist") {
        return BucketProblem::NoBucket;
    }
    if text.contains("incorrectly configured region") {
        return BucketProblem::Region("it redirects elsewhere".to_owned());
    }
    // The metadata address of a cloud machine, which provides the credentials of its role.
    if text.contains("//169.254.") {
        return BucketProblem::NoCredentials;
    }
    if text.contains("empty path segment") || text.contains("whilst parsing path segment") {
        return BucketProblem::StrangeKey(innermost);
    }
    if text.contains("Header missing from response") {
        return BucketProblem::Stripped(innermost);
    }
    let status = status(&text).and_then(|status| status.get(..3));
    if chain(error).any(<dyn Error>::is::<Elapsed>) {
        return BucketProblem::Timeout;
    }
    if status.is_some_and(|status| status.starts_with('3')) {
        return BucketProblem::Redirect(answer);
    }
    let is_tls = ["certificate", "corrupt message", "handshake"].iter().any(|part| innermost.contains(part));
    // Hyper could not parse the answer.
    let is_not_http = innermost.starts_with("invalid HTTP") && innermost.ends_with("parsed");
    let http = chain(error).find_map(|error| error.downcast_ref::<HttpError>());
    match (status, http.map(HttpError::kind)) {
        (Some("401"), _) => BucketProblem::Credentials(answer),
        (Some("403"), _) if code.is_empty() => BucketProblem::Denied(answer),
        (Some("403"), _) => BucketProblem::Forbidden(answer),
        (Some("501"), _) => BucketProblem::Unsupported(answer),
        (Some("507"), _) => BucketProblem::Full(answer),
        (Some("404"), _) if !MISSING.contains(&code) => BucketProblem::NotABucket(answer),
        (_, Some(HttpErrorKind::Timeout)) => BucketProblem::Timeout,
        (_, Some(HttpErrorKind::Connect)) if is_tls => BucketProblem::Tls(innermost),
        (_, Some(HttpErrorKind::Connect)) => BucketProblem::Unreachable(innermost),
        (_, Some(_)) if is_not_http => BucketProblem::NotHttp(innermost),
        (_, Some(_)) => BucketProblem::BrokenOff(innermost),
        _ if answer.is_empty() => BucketProblem::Answer(innermost),
        _ => BucketProblem::Answer(answer),
    }
}

/// Codes for credentials that are not accepted.
const CREDENTIALS: [&str; 9] = [
    "AuthenticationFailed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XMinioAdminNoSuchAccessKey",
];

/// Codes for accounts that are closed, suspended or not signed up.
const CLOSED: [&str; 7] = [
    "AccountIsDisabled",
    "AccountProblem",
    "AllAccessDisabled",
    "NotSignedUp",
    "UserDisabled",
    "UserProjectAccountProblem",
    "UserSuspended",
];

/// Codes for a lack of space or quota.
const FULL: [&str; 5] = [
    "InsufficientQuota",
    "QuotaExceeded",
    "StorageLimitExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
];

/// Codes for a missing object. A proxy or another web server answers 404 without one of these.
const MISSING: [&str; 3] = ["NoSuchKey", "BlobNotFound", "ResourceNotFound"];

/// The HTTP status, with its reason phrase, in an error of the library.
fn status(text: &str) -> Option<&str> {
    element(text, STATUS).or_else(|| {
        text.split_once("status code: ").map(|(_, rest)| rest.split(':').next().unwrap_or_default())
    })
}

/// The text of an XML element.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
}

/// Status, code and message of an answer.
fn answer(text: &str, code: &str) -> String {
    let status = status(text);
    let message = element(text, "Message").unwrap_or_default();
    let parts = [status.unwrap_or_default(), code, message];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
