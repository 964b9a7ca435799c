//! What a job works with: the configuration, the stores it names, the scope, the clock.

use std::io::Read;
use std::sync::OnceLock;

use recsys_core::artifact::{BuiltFrom, Kind};
use recsys_core::canonical::Canonical;
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::filters::Filters;
use recsys_core::domain::id::Scope;
use recsys_core::domain::limit::Limit;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::Day;
use recsys_core::gate::day_report::Reports;
use recsys_core::input::catalog::{Catalog, CatalogError, CatalogFormat};
use recsys_core::input::raw::{MaxWindow, open_decompressed};
use recsys_core::staging::Staging;
use recsys_core::storage::{Roots, Store, Unconditional};
use recsys_core::table::SourceHashes;

use crate::config::{Concurrency, Config, ConfigError, Input, Linked};
use crate::shell::cli::{CommonArgs, DayArgs};
use crate::shell::clock::Clock;
use crate::shell::error::JobError;
use crate::watch::metrics::{Run, ScopeMetrics};
use crate::watch::notify::Notifier;
use crate::watch::step::Meter;

/// Everything a job works with.
#[derive(Debug)]
pub struct Context {
    pub(crate) linked: Linked,
    pub(crate) config: Config,
    /// Where the exposures are, if not in raw files.
    pub(crate) input: Option<&'static dyn Input>,
    pub(crate) scope: Scope,
    pub(crate) meter: Meter,
    /// The memory that events and counts may take.
    pub(crate) budget: Budget,
    pub(crate) clock: Clock,
    pub(crate) canonical: Box<dyn Store>,
    pub(crate) artifacts: Box<dyn Store>,
    pub(crate) published: PublishedStores,
    pub(crate) checkpoints: Box<dyn Store>,
    /// Only where something may be published.
    pub(crate) notifier: Option<Notifier>,
    roots: Roots,
    /// Set when the folder of canonical data is known to say whose it is.
    claimed: OnceLock<()>,
}

/// Where published artifacts are, and what says which of them are current.
#[derive(Debug)]
pub(crate) struct PublishedStores {
    pub(crate) objects: Box<dyn Store>,
    pub(crate) registry: Box<dyn Store>,
    concurrency: Concurrency,
}

impl PublishedStores {
    pub(crate) fn open(config: &Config, roots: &Roots) -> anyhow::Result<Self> {
        let concurrency = config.registry.concurrency;
        let open = |root: String, section| -> anyhow::Result<Box<dyn Store>> {
            if root.starts_with("memory://") {
                tracing::warn!(root, "what is published in memory is forgotten when this process ends");
            }
            let store = roots.open_with(&root, section)?;
            // A local registry has its lock in any case.
            let is_bucket = root.contains("://") && !root.starts_with("file://");
            Ok(match concurrency {
                Concurrency::LastWriteWins if is_bucket => Box::new(Unconditional(store)),
                _ => store,
            })
        };
        let objects = open(config.object_store_dir()?, config.object_bucket().own_section())?;
        let registry = open(config.registry_dir(), None)?;
        Ok(Self { objects, registry, concurrency })
    }

    /// Refuses a file system on which nothing can be published, before there is anything to publish.
    pub(crate) fn check_disks(&self) -> anyhow::Result<()> {
        for store in [&self.objects, &self.registry] {
            if store.uri("").starts_with("file://") {
                store.conditions()?;
            }
        }
        Ok(())
    }

    /// Says before every swap that it is none, where that is so.
    pub(crate) fn warn_of_collisions(&self) {
        if self.concurrency == Concurrency::LastWriteWins {
            tracing::warn!(
                registry = self.registry.name(""),
                "registry.concurrency is last-write-wins: a publisher that runs at the same time may be undone"
            );
        }
    }
}

/// A catalogue that is open.
pub(crate) struct CatalogFile<'a> {
    pub(crate) path: &'a str,
    pub(crate) format: CatalogFormat,
    /// Its content, decompressed.
    pub(crate) reader: Box<dyn Read + Send>,
}

impl Context {
    /// Reads the configuration and names the stores. Nothing is created yet.
    pub(crate) fn new(run: &Run, common: &CommonArgs) -> anyhow::Result<Self> {
        // Every other job has a flag that is required.
        let no_scope = || JobError::Usage("give --surface or --namespace".to_owned());
        let scope = run.scope.clone().ok_or_else(no_scope)?;
        let config = Config::load(common.config.as_deref(), run.linked)?;
        let meter = Meter::new(run, scope.clone());
        meter.update(|metrics| metrics.limits = Some(config.limits.clone()));
        let roots = config.roots();
        Ok(Self {
            linked: run.linked,
            input: run.linked.input(&config),
            scope,
            meter,
            clock: Clock::from_env()?,
            budget: config.budget(),
            canonical: roots.open(&config.canonical_dir())?,
            artifacts: roots.open(&config.artifacts_dir())?,
            published: PublishedStores::open(&config, &roots)?,
            checkpoints: roots.open(&config.checkpoint_dir())?,
            notifier: None,
            config,
            roots,
            claimed: OnceLock::new(),
        })
    }

    /// The same for a job that publishes: it knows whom to tell of it, before it has done anything.
    pub(crate) fn for_publishing(run: &Run, common: &CommonArgs) -> anyhow::Result<Self> {
        let mut ctx = Self::new(run, common)?;
        ctx.notifier = Notifier::configured(&ctx.config.notify, &ctx.meter)?;
        Ok(ctx)
    }

    /// Measures a part of a step as it comes: it counts even if the day fails. The metrics are of exposures only.
    pub(crate) fn measure(&self, stream: Stream, note: impl FnOnce(&mut ScopeMetrics)) {
        if stream == Stream::Exposures {
            self.meter.update(note);
        }
    }

    /// The days from `start` to `end`, both inclusive; just `start` without an end. One that has not ended is refused unless
    /// that is allowed.
    pub(crate) fn days(&self, asked: &DayArgs) -> anyhow::Result<Vec<Day>> {
        let DayArgs { start, end, allow_open_day } = *asked;
        let end = end.unwrap_or(start);
        if end < start {
            return Err(JobError::Usage(format!("--end {end} is before --start {start}")).into());
        }
        let limits = &self.config.limits;
        let days = std::iter::successors(Some(start), |day| day.next().ok()).take_while(|day| *day <= end);
        let count = days.clone().count();
        limits
            .check(Limit::DaysBackfill, count)
            .map_err(|exceeded| exceeded.in_place(format_args!("the days {start} to {end}")))?;
        if let Some(day) = days.clone().find(|day| !self.clock.is_past(*day)) {
            if !allow_open_day {
                return Err(JobError::Refused(format!(
                    "{day} has not ended in UTC: what comes later would be missing; begin when it is over, or give \
                     --allow-open-day for a try"
                ))
                .into());
            }
            if let Some(day) = days.clone().find(|day| !self.clock.has_begun(*day)) {
                let line = format!("{day} has not begun in UTC; there is nothing of it to work on");
                return Err(JobError::Refused(line).into());
            }
            tracing::warn!(%day, "the day has not ended in UTC: what comes later is missing");
        }
        Ok(days.collect())
    }

    /// Whether outcomes are delivered with the exposures. Where not, nothing is said of those that are there already.
    pub(crate) fn delivers_outcomes(&self) -> bool {
        self.input.is_none()
    }

    pub(crate) fn raw_store(&self) -> anyhow::Result<Box<dyn Store>> {
        Ok(self.roots.open_with(&self.config.raw_dir()?, self.config.raw_bucket().own_section())?)
    }

    /// Refuses canonical data of another tenant or surface in the folder of this one: before any of it is read.
    pub(crate) fn check_canonical(&self) -> anyhow::Result<()> {
        if self.canonical().check_owner()? {
            let _ = self.claimed.set(());
        }
        Ok(())
    }

    /// The same before a day of data is written, with which the folder becomes that of this tenant and surface.
    pub(crate) fn claim_canonical(&self) -> anyhow::Result<()> {
        if self.claimed.get().is_none() {
            self.canonical().claim()?;
            let _ = self.claimed.set(());
        }
        Ok(())
    }

    pub(crate) fn canonical(&self) -> Canonical<'_> {
        self.canonical_in(&*self.canonical)
    }

    /// The canonical data by way of `store`, which is that of canonical data.
    pub(crate) fn canonical_in<'a>(&'a self, store: &'a dyn Store) -> Canonical<'a> {
        Canonical::new(store, &self.scope).with_max_id_bytes(self.config.limits.max_id_bytes)
    }

    /// The hashes of what windows are built from.
    pub(crate) fn source_hashes(&self) -> SourceHashes<'_> {
        SourceHashes::new(self.canonical())
    }

    /// The canonical data that a kind is built from.
    pub(crate) fn streams(&self, kind: Kind) -> &'static [Stream] {
        if self.config.counts_outcomes(kind) {
            &[Stream::Exposures, Stream::Outcomes]
        } else {
            &[Stream::Exposures]
        }
    }

    pub(crate) fn reports(&self) -> Reports<'_> {
        Reports::new(&*self.canonical, &self.scope)
    }

    pub(crate) fn staging(&self) -> Staging<'_> {
        Staging::new(&*self.artifacts)
    }

    /// Opens the catalogue at `path`, or at the place that the configuration names.
    pub(crate) fn open_catalog<'a>(
        &'a self,
        path: Option<&'a str>,
        format: Option<CatalogFormat>,
    ) -> anyhow::Result<CatalogFile<'a>> {
        let settings = &self.config.catalog;
        let path = path.or(settings.path.as_deref()).ok_or(ConfigError::CatalogMissing)?;
        // First, because it refuses what must not be repeated in a message.
        let (store, file) = self.roots.open_document(path)?;
        let format = format.or(settings.format).or_else(|| CatalogFormat::of_name(path));
        let format = format.ok_or_else(|| CatalogError::Format(path.to_owned()))?;
        let reader = open_decompressed(&*store, &file, MaxWindow::of(&self.budget))?;
        let reader = reader.ok_or_else(|| CatalogError::Missing(path.to_owned()))?;
        Ok(CatalogFile { path, format, reader })
    }

    /// The catalogue, if one of `kinds` is built from it or has a model with filters; else an empty one.
    pub(crate) fn catalog_of(&self, kinds: &[Kind]) -> anyhow::Result<Catalog> {
        let from_catalog = kinds.iter().any(|kind| kind.built_from() == BuiltFrom::Catalog);
        let mut filters = Vec::new();
        for kind in kinds {
            let model = self.config.model(*kind)?;
            filters.extend(model.map(|model| model.filters).filter(|filters| !filters.is_off()));
        }
        if !from_catalog && filters.is_empty() {
            return Ok(Catalog::default());
        }
        let catalog = if from_catalog { self.catalog(None, None)? } else { self.read_catalog(None, None)? };
        let name = || self.config.catalog.path.clone().unwrap_or_default();
        match (&catalog.without_tags, &catalog.without_available) {
            (Some(absent), _) if filters.iter().any(Filters::need_tags) => {
                Err(CatalogError::NoFilterTags { name: name(), absent: absent.clone() }.into())
            }
            (_, Some(absent)) if filters.iter().any(|filters| filters.available_only) => {
                Err(CatalogError::NoAvailable { name: name(), absent: absent.clone() }.into())
            }
            _ => Ok(catalog),
        }
    }

    /// Reads the catalogue at `path`, or at the place that the configuration names, for `content_sim`.
    pub(crate) fn catalog(
        &self,
        path: Option<&str>,
        format: Option<CatalogFormat>,
    ) -> anyhow::Result<Catalog> {
        let catalog = self.read_catalog(path, format)?;
        match catalog.without_tags {
            Some(absent) => {
                let name = path.or(self.config.catalog.path.as_deref()).unwrap_or_default().to_owned();
                Err(CatalogError::NoTags { name, absent }.into())
            }
            None => Ok(catalog),
        }
    }

    fn read_catalog(&self, path: Option<&str>, format: Option<CatalogFormat>) -> anyhow::Result<Catalog> {
        let CatalogFile { path, format, reader } = self.open_catalog(path, format)?;
        let catalog =
            Catalog::read(path, format, reader, &self.scope.surface, &self.config.limits, &self.budget)?;
        let Catalog { rows, foreign, rows_without_id, .. } = catalog;
        tracing::info!(path, rows, foreign, "read the catalogue");
        if rows_without_id > 0 {
            tracing::warn!(path, rows_without_id, "catalogue rows that name no item are left out");
        }
        Ok(catalog)
    }
}

/// Who changes something, as the history has it: user and host. In a pod the host is the pod, and a user often has a
/// number only.
pub(crate) fn by() -> String {
    let named = ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok());
    let user = named.into_iter().find(|name| !name.is_empty());
    let user = user.unwrap_or_else(|| format!("uid{}", rustix::process::geteuid().as_raw()));
    format!("{user}@{}", gethostname::gethostname().to_string_lossy())
}
