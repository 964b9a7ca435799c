//! What a binary is linked with. It hands one value of it to `main`; the jobs ask for the inputs by name.

use std::fmt;

use recsys_core::database::Driver;
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::input::source::EventSource;

use super::{Config, ConfigError};

/// What a binary is linked with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Linked {
    /// Connects to the database that signals and the catalogue are written to.
    pub database: Option<&'static dyn Driver>,
    /// The inputs beside raw files.
    pub inputs: &'static [&'static dyn Input],
}

/// An input of exposures that are no lines of raw files, such as the rows of a table or of a columnar file. It has no
/// outcomes, and cannot be asked which days and scopes it has.
pub trait Input: fmt::Debug + Sync {
    /// Its name in `raw_source.type`, and that of its section in `raw_source`.
    fn name(&self) -> &'static str;

    /// Checks its settings, without asking a service.
    fn check(&self, config: &Config) -> Result<(), ConfigError>;

    /// Begins to read a day. What is of other days, which is worth a warning, or of other scopes is left out by the caller.
    fn open(&self, config: &Config, scope: &Scope, day: Day) -> anyhow::Result<Box<dyn EventSource>>;
}

impl Linked {
    /// The input that the configuration names; none where the raw events are files.
    pub(crate) fn input(self, config: &Config) -> Option<&'static dyn Input> {
        self.inputs.iter().copied().find(|input| input.name() == config.raw_source.r#type)
    }
}
