//! The tenant and surface of most tests.

use recsys_core::domain::id::{Scope, Surface, Tenant};

/// Flags for [`scope`] and for the configuration that tests write.
pub const SCOPE: &str = "--config config.json --tenant demo --surface home";

/// Path of the manifest of [`scope`] in a sandbox whose `out_dir` is `out`.
pub const MANIFEST: &str = "out/registry/current/demo/home/manifest.json";

/// `demo/home`.
pub fn scope() -> Scope {
    Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() }
}
