//! Claims: versions that a garbage collection may delete, and that therefore cannot become current.
//!
//! A collector writes the versions it is about to delete into one document of the registry, which changes by
//! compare-and-swap only, and removes them from it once they are deleted. Two orders make that safe:
//!
//! - A publisher announces its manifest in the history, *then* reads the claims, *then* checks that its blobs are
//!   there, and swaps. It refuses to make claimed versions current.
//! - A collector claims, *then* reads the manifest and the announcements in the history, and deletes what neither
//!   names.
//!
//! If the publisher reads the claims first, the collector finds the announcement and keeps the blobs. If the collector
//! claims first, the publisher finds the claim and does not swap. So no blob that a manifest names is deleted, however
//! long either side is paused in between. No clock is involved.
//!
//! A collector that dies leaves its claims. Its last requests may still be on their way to a bucket, so only an
//! operator can decide when to give the claims up: [`release`]. Until then the claimed versions cannot become current;
//! everything else goes on.
//!
//! One collection runs at a time. If it has not renewed the document for a while, another one takes its place; the
//! replaced one notices before its next deletion. Its claims stay, so a wrong guess is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::compare_and_swap;
use super::format::V1;
use crate::artifact::Kind;
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::encoding::json::error_in_words;
use crate::storage::{Condition, Store, StoreError, layout};
use crate::threads::interrupt;
use crate::threads::silence::SILENT_WAIT;

/// Before a deletion, a claim older than this is renewed.
const BEAT: Duration = Duration::from_secs(2);

/// How often a waiting process looks again.
const POLL: Duration = Duration::from_millis(250);

/// With more versions claimed by dead collections, no collection makes new claims. Far fewer than a document can hold.
const MOST_ABANDONED: usize = 8000;

/// How long one process waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimeouts {
    /// The longest wait for a collection of garbage, by a publisher or by another collection.
    pub wait: Duration,
    /// A collection that has not renewed its claims for this long counts as dead.
    pub silence: Duration,
}

impl Default for LeaseTimeouts {
    /// Waits for a minute; a collection counts as dead after ten renewal intervals.
    fn default() -> Self {
        Self { wait: Duration::from_mins(1), silence: 10 * BEAT }
    }
}

/// Why claims could not be made, or a version cannot become current.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The claims document does not match its schema.
    #[error(
        "{0} is not a claims document: {problem}; move it away when no `gc --delete` is running",
        problem = error_in_words(.1)
    )]
    Document(String, serde_json::Error),
    /// Another collection of garbage is running.
    #[error(
        "another collection of garbage is running: {name} is held by {by} since {since}; try again when it has ended"
    )]
    Leased {
        /// Name of the claims document in messages.
        name: String,
        /// User and host of the collection.
        by: String,
        /// When it began.
        since: Timestamp,
    },
    /// Another process has ended this collection, which looked dead.
    #[error("{0} was taken from this collection of garbage, which was silent for too long; run it again")]
    Replaced(String),
    /// Dead collections have left too many claims.
    #[error(
        "{0} holds claims on {1} versions of collections that have died; when none of them can be running any more, give \
         them up with `gc --release-claims 24h`"
    )]
    ManyClaims(String, usize),
    /// A collection is about to delete a version that should become current.
    #[error(
        "{kind} {version:.12} of {scope} cannot become current: a collection of garbage by {by}, begun at {since}, has \
         claimed it; try again when that has ended, or, if it was killed, give its claims up with \
         `gc --tenant {} --surface {} --release-claims 1h`", scope.tenant, scope.surface
    )]
    Claimed {
        /// Kind of the artifact.
        kind: Kind,
        /// The claimed version.
        version: String,
        /// User and host of the collection.
        by: String,
        /// When it began.
        since: Timestamp,
        /// Tenant and surface of the artifact.
        scope: Box<Scope>,
    },
    /// Other processes changed the document first, every time.
    #[error("{0} changed under every attempt to swap it; try again")]
    Contended(String),
}

impl ClaimsError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Leased { .. } | Self::Claimed { .. } | Self::Replaced(_) | Self::Contended(_) => {
                Some(Class::Transient)
            }
            Self::Document(..) | Self::ManyClaims(..) => Some(Class::Refused),
        }
    }
}

/// The process that removes garbage.
#[derive(Debug, Clone)]
pub struct Remover {
    /// User and host.
    pub by: String,
    /// When the removal begins.
    pub now: Timestamp,
    /// How long to wait for another collection.
    pub timeouts: LeaseTimeouts,
    /// Time since the machine was started, sleep included: [`uptime`].
    pub uptime: fn() -> Duration,
}

/// Versions by artifact kind.
type Versions = BTreeMap<Kind, BTreeSet<String>>;

/// The claims document of a tenant and surface. Unknown fields are ignored: earlier versions wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ClaimsDocument {
    v: V1,
    /// The collection that is running, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
    /// Claimed versions, by collection.
    #[serde(default)]
    claims: Vec<Claim>,
}

/// A collection that is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    id: String,
    by: String,
    since: Timestamp,
    /// Number of renewals; it makes each renewal another document.
    renewals: u64,
}

/// The versions claimed by one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    id: String,
    by: String,
    since: Timestamp,
    versions: Versions,
}

/// Claims of a collection that ended without giving them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abandoned {
    /// User and host of the collection.
    pub by: String,
    /// When the claims were made.
    pub since: Timestamp,
    /// How many versions are claimed.
    pub versions: usize,
}

impl ClaimsDocument {
    fn is_running(&self, id: &str) -> bool {
        self.running.as_ref().is_some_and(|running| running.id == id)
    }

    /// The claim on one of `versions`, with the version it is on.
    fn claim_on<'a>(&'a self, versions: &'a [(Kind, String)]) -> Option<(&'a Claim, Kind, &'a str)> {
        self.claims.iter().find_map(|claim| {
            let claimed = |(kind, version): &&(Kind, String)| {
                claim.versions.get(kind).is_some_and(|versions| versions.contains(version))
            };
            versions.iter().find(claimed).map(|(kind, version)| (claim, *kind, version.as_str()))
        })
    }
}

/// The claims document of `scope`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
    timeouts: LeaseTimeouts,
}

/// A wait for another process: bounded, reported, and ended by a request to stop.
struct Wait {
    began: Instant,
    timeout: Duration,
    is_reported: bool,
}

impl Wait {
    fn begin(timeout: Duration) -> Self {
        Self { began: Instant::now(), timeout, is_reported: false }
    }

    /// Sleeps for a moment; `false` if the time is up.
    fn go_on(&mut self, name: &str, by: &str, since: Timestamp) -> Result<bool, ClaimsError> {
        interrupt::check().map_err(StoreError::from)?;
        let waited = self.began.elapsed();
        if waited >= self.timeout {
            return Ok(false);
        }
        if waited >= SILENT_WAIT && !self.is_reported {
            self.is_reported = true;
            let left = self.timeout.saturating_sub(waited).as_secs();
            tracing::warn!(claims = name, by, %since, "waiting for a collection of garbage, for {left} s at most");
        }
        thread::sleep(POLL.min(self.timeout.saturating_sub(waited)));
        Ok(true)
    }
}

impl<'a> Claims<'a> {
    pub(super) fn new(store: &'a dyn Store, scope: &'a Scope, timeouts: LeaseTimeouts) -> Self {
        Self { store, scope, timeouts }
    }

    fn name(&self) -> String {
        self.store.name(&layout::claims(self.scope))
    }

    fn read(&self) -> Result<(ClaimsDocument, Condition), ClaimsError> {
        let (bytes, tag) = self.store.read_tagged(&layout::claims(self.scope))?.unzip();
        let document = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let document = document.map_err(|problem| ClaimsError::Document(self.name(), problem))?;
        Ok((document.unwrap_or_default(), Condition::Still(tag)))
    }

    /// Applies `change` to the document, again whenever another process was faster.
    fn update<T>(
        &self,
        change: impl FnMut(&mut ClaimsDocument) -> Result<T, ClaimsError>,
    ) -> Result<T, ClaimsError> {
        let contended = || ClaimsError::Contended(self.name());
        let (key, most) = (layout::claims(self.scope), self.timeouts.wait);
        compare_and_swap::update(self.store, &key, most, || self.read(), contended, change)
    }

    /// Waits until none of `versions` is claimed.
    ///
    /// # Errors
    /// [`ClaimsError::Claimed`] if one is still claimed when the time is up, or is claimed by a collection that has
    /// died.
    pub(super) fn await_free(&self, versions: &[(Kind, String)]) -> Result<(), ClaimsError> {
        let mut wait = Wait::begin(self.timeouts.wait);
        loop {
            let (document, _) = self.read()?;
            let Some((claim, kind, version)) = document.claim_on(versions) else { return Ok(()) };
            let Claim { id, by, since, .. } = claim;
            // A dead collection will not give its claims back.
            if !document.is_running(id) || !wait.go_on(&self.name(), by, *since)? {
                let (version, by, since) = (version.to_owned(), by.clone(), *since);
                let scope = Box::new(self.scope.clone());
                return Err(ClaimsError::Claimed { kind, version, by, since, scope });
            }
        }
    }

    /// Begins a collection. Waits for the one that is running, or replaces it if it is silent.
    pub(super) fn begin(self, caller: &'a Remover) -> Result<Collector<'a>, ClaimsError> {
        let timeouts = self.timeouts;
        let id = format!("{:032x}", fastrand::u128(..));
        let mut wait = Wait::begin(timeouts.wait);
        let mut watched: Option<(Running, Instant)> = None;
        loop {
            let begun = (caller.uptime)();
            let taken = self.update(|document| {
                let is_dead = |running: &Running| {
                    let seen = watched.as_ref().filter(|(before, _)| before == running);
                    timeouts.silence.is_zero()
                        || seen.is_some_and(|(_, since)| since.elapsed() >= timeouts.silence)
                };
                if let Some(running) = document.running.clone().filter(|running| !is_dead(running)) {
                    return Ok(Err(running));
                }
                let (id, by, since) = (id.clone(), caller.by.clone(), caller.now);
                document.running = Some(Running { id, by, since, renewals: 0 });
                Ok(Ok(()))
            })?;
            let Err(running) = taken else {
                let renewed = Mutex::new(begun);
                return Ok(Collector { claims: self, id, caller, begun, renewed });
            };
            let (by, since) = (running.by.clone(), running.since);
            if !wait.go_on(&self.name(), &by, since)? {
                return Err(ClaimsError::Leased { name: self.name(), by, since });
            }
            if watched.as_ref().is_none_or(|(before, _)| *before != running) {
                watched = Some((running, Instant::now()));
            }
        }
    }

    /// Whether no collection is running and no claims are left.
    pub(super) fn is_empty(&self) -> Result<bool, ClaimsError> {
        Ok(self.read()?.0 == ClaimsDocument::default())
    }

    /// Claims of collections that are no longer running.
    pub(super) fn abandoned(&self) -> Result<Vec<Abandoned>, ClaimsError> {
        let (document, _) = self.read()?;
        let dead = document.claims.iter().filter(|claim| !document.is_running(&claim.id));
        Ok(dead.map(Claim::abandoned).collect())
    }
}

impl Claim {
    fn abandoned(&self) -> Abandoned {
        let versions = self.versions.values().map(BTreeSet::len).sum();
        Abandoned { by: self.by.clone(), since: self.since, versions }
    }
}

/// Gives up claims that dead collections made before a time. Returns the claims given up.
///
/// Only an operator can know that such a collection is dead and that none of its requests is still on its way. A
/// collection that shows signs of life is waited for, as by another collection.
pub fn release(
    store: &dyn Store,
    scope: &Scope,
    before: Timestamp,
    caller: &Remover,
) -> Result<Vec<Abandoned>, ClaimsError> {
    let claims = Claims::new(store, scope, caller.timeouts);
    if claims.is_empty()? {
        return Ok(Vec::new());
    }
    // Takes the place of the dead collection.
    let collector = claims.begin(caller)?;
    // A claim from the future was made by a wrong clock.
    let goes = |claim: &Claim| claim.since < before || claim.since > caller.now;
    let released = claims.update(|document| {
        let released = document.claims.iter().filter(|claim| goes(claim)).map(Claim::abandoned).collect();
        document.claims.retain(|claim| !goes(claim));
        Ok(released)
    });
    collector.end(&[])?;
    released
}

/// A collection that is running.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    claims: Claims<'a>,
    id: String,
    caller: &'a Remover,
    /// When it began, as [`Remover::uptime`].
    begun: Duration,
    /// When the last successful renewal began, by the same clock.
    renewed: Mutex<Duration>,
}

impl Collector<'_> {
    /// Claims `versions` in place of its earlier claims.
    pub(super) fn claim(&self, versions: &[(Kind, String)]) -> Result<(), ClaimsError> {
        let mut claimed = Versions::new();
        for (kind, version) in versions {
            claimed.entry(*kind).or_default().insert(version.clone());
        }
        // The time of the claim, to the second: the start of the collection plus the time elapsed since.
        let Remover { by, now, uptime, .. } = self.caller;
        let seconds = uptime().saturating_sub(self.begun).as_secs().try_into().unwrap_or(i64::MAX);
        let since = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(*now);
        self.renew(&mut self.renewed.lock(), |document| {
            document.claims.retain(|claim| claim.id != self.id);
            let others = document.claims.iter().map(|claim| claim.abandoned().versions).sum();
            if others > MOST_ABANDONED {
                return Err(ClaimsError::ManyClaims(self.claims.name(), others));
            }
            let (id, by) = (self.id.clone(), by.clone());
            document.claims.push(Claim { id, by, since, versions: claimed.clone() });
            Ok(())
        })
    }

    /// Before a deletion: checks that this collection has not been replaced, unless it has just done so.
    pub(super) fn check(&self) -> Result<(), ClaimsError> {
        interrupt::check().map_err(StoreError::from)?;
        let mut renewed = self.renewed.lock();
        if (self.caller.uptime)().saturating_sub(*renewed) > BEAT {
            self.renew(&mut renewed, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Ends the collection. Keeps the claims on `unsettled` versions, which a request on its way may still delete.
    pub(super) fn end(self, unsettled: &[(Kind, String)]) -> Result<(), ClaimsError> {
        let id = &self.id;
        self.claims.update(|document| {
            document.running.take_if(|running| running.id == *id);
            for claim in document.claims.iter_mut().filter(|claim| claim.id == *id) {
                claim.versions.retain(|kind, versions| {
                    versions.retain(|version| unsettled.iter().any(|(k, v)| (k, v) == (kind, version)));
                    !versions.is_empty()
                });
            }
            document.claims.retain(|claim| !claim.versions.is_empty());
            Ok(())
        })
    }

    fn renew(
        &self,
        renewed: &mut Duration,
        change: impl Fn(&mut ClaimsDocument) -> Result<(), ClaimsError>,
    ) -> Result<(), ClaimsError> {
        let begun = (self.caller.uptime)();
        self.claims.update(|document| {
            change(document)?;
            match &mut document.running {
                Some(running) if running.id == self.id => running.renewals += 1,
                Some(Running { by, since, .. }) => {
                    let (name, by, since) = (self.claims.name(), by.clone(), *since);
                    return Err(ClaimsError::Leased { name, by, since });
                }
                None => return Err(ClaimsError::Replaced(self.claims.name())),
            }
            Ok(())
        })?;
        *renewed = begun;
        Ok(())
    }
}

/// The time since the machine was started, sleep included; for [`Remover`].
#[cfg(target_os = "linux")]
pub fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time since the first call, for systems without such a clock.
#[cfg(not(target_os = "linux"))]
pub fn uptime() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}
