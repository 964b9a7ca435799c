//! Tells the serving side that another manifest is current, so that it need not wait for its caches to expire.
//!
//! Notifications follow manifests, not processes: a document in the registry names the last manifest that was
//! announced. A publisher that finds another one current announces it, even if it did not swap it itself. So the next
//! publish makes up for a notification that failed or was lost in a crash, and one that arrived is not repeated.
//!
//! By then the manifest is published, so nothing here fails a job.

use std::fmt;

use recsys_core::domain::id::Scope;
use recsys_core::encoding::json;
use recsys_core::publish::Manifest;
use recsys_core::storage::{Condition, Store, StoreError, layout};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, NotifySettings, Request};
use crate::shell::error::one_line;
use crate::watch::post::send;
use crate::watch::step::{Meter, Step, StepCounts};

/// The last notification that arrived.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notified {
    v: u8,
    /// Hash of the announced manifest.
    manifest: String,
}

/// Sends the notifications of one scope, with all secrets resolved.
pub(crate) struct Notifier {
    request: Request,
    meter: Meter,
}

/// Shows the scope only; the request may hold secrets anywhere.
impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notifier({})", self.meter.scope)
    }
}

impl Notifier {
    /// The notifier, if the settings have a URL. Resolves every environment variable that they name.
    pub(crate) fn configured(settings: &NotifySettings, meter: &Meter) -> Result<Option<Self>, ConfigError> {
        let Scope { tenant, surface } = &meter.scope;
        let request = settings.request((tenant.as_str(), surface.as_str()))?;
        Ok(request.map(|request| Self { request, meter: meter.clone() }))
    }

    /// Announces `current`, unless it was announced before.
    pub(crate) fn tell(&self, registry: &dyn Store, current: &Manifest) {
        let key = layout::notified(&self.meter.scope);
        let told = Notified { v: 1, manifest: current.hash() };
        match last_told(registry, &key) {
            Ok(last) if last.as_ref() == Some(&told.manifest) => return,
            Ok(_) => {}
            // Announcing twice is better than not at all.
            Err(error) => tracing::warn!(error = one_line(&error), "cannot tell what was notified of before"),
        }
        let step = Step::go_on(&self.meter, "notify", &told.manifest[..12]);
        let sent = send("the service of notify.url", &self.request);
        self.meter.update(|metrics| metrics.add_notification(sent.is_err()));
        if let Err(error) = sent {
            tracing::warn!(
                error = one_line(&error),
                "the service of notify.url was not notified; the next publish tries again"
            );
            return;
        }
        step.end(&StepCounts::default());
        let mut bytes = json::to_vec(&told);
        bytes.push(b'\n');
        if let Err(error) = registry.put(&key, &bytes, Condition::Always) {
            tracing::warn!(
                error = one_line(&error),
                "cannot note what was notified of; it may be told again"
            );
        }
    }
}

/// Hash of the last announced manifest. A document that cannot be parsed counts as none.
fn last_told(registry: &dyn Store, key: &str) -> Result<Option<String>, StoreError> {
    let bytes = registry.read(key)?;
    let told: Option<Notified> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(told.map(|told| told.manifest))
}
