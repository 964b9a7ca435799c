//! `status`: what is current, how old it is, and from which window.

use jiff::{SignedDuration, Timestamp};
use recsys_core::artifact::Kind;
use recsys_core::id::{Scope, Segment};
use recsys_core::publish::{is_from_the_future, read_blob};
use recsys_core::window::Window;
use serde::Serialize;

use super::{Failure, Failures, Operator, age, readable, table};
use crate::cli::StatusJob;
use crate::error::JobError;
use crate::metrics;
use crate::output::Output;

#[derive(Debug, Serialize)]
struct Status {
    registry: String,
    manifests: Vec<ManifestStatus>,
    /// What could not be looked at.
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct ManifestStatus {
    tenant: String,
    surface: String,
    /// None when there is no manifest.
    updated_at: Option<Timestamp>,
    kinds: Vec<KindStatus>,
    /// Kinds of `artifact_kinds` that the manifest does not name.
    missing: Vec<Kind>,
}

#[derive(Debug, Serialize)]
struct KindStatus {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
    window: Window,
    version: String,
    built_at: Timestamp,
    age_seconds: i64,
    uri: String,
    /// Older than `--max-age`.
    stale: bool,
    /// Built by a clock that is wrong, so that its age cannot be told.
    from_the_future: bool,
}

/// `recsys-pipelines status`.
pub(crate) fn status(flags: &StatusJob) -> Result<(), JobError> {
    let operator = Operator::new(&flags.common)?;
    let now = operator.clock.now();
    let (mut manifests, mut failures) = (Vec::new(), Failures::default());
    for scope in operator.scopes(&flags.filter)? {
        match manifest_status(&operator, scope.clone(), now, flags.max_age) {
            Ok(status) => manifests.push(status),
            Err(error) => failures.note(&scope, error),
        }
    }
    let output = Output::new(flags.common.json);
    // A failure that is all there is to say is the last line of the job.
    if !manifests.is_empty() || failures.all.len() != 1 {
        print(&output, &manifests, &failures.all);
    }
    failures.print(&output);
    let mut problems = of_the_future(&manifests);
    if flags.max_age.is_some() {
        problems.extend(age_problems(&manifests, flags.max_age));
    }
    let outcome = match failures.first {
        Some(error) => Err(error),
        None if problems.is_empty() => Ok(()),
        None => Err(JobError::Stale(problems.join("; "))),
    };
    let registry = operator.config.registry_dir();
    output.end(&Status { registry, manifests, failures: failures.all }, outcome)
}

fn manifest_status(
    operator: &Operator,
    scope: Scope,
    now: Timestamp,
    max_age: Option<SignedDuration>,
) -> Result<ManifestStatus, JobError> {
    let manifest = operator.registry().manifest(&scope)?.map(|(manifest, _)| manifest);
    let mut kinds = Vec::new();
    for (kind, uri) in manifest.iter().flat_map(|manifest| &manifest.current) {
        let version = uri.rsplit('/').next().and_then(|file| file.strip_suffix(".json")).unwrap_or_default();
        let record = operator.registry().record(&scope, *kind, version)?;
        let (key, built_at) = if let Some(record) = record {
            (record.artifact_key(), record.built_at)
        } else {
            let blob = read_blob(&*operator.published.objects, &scope, *kind, uri)?;
            (blob.key, blob.build.built_at)
        };
        // Artifacts whose time nobody can read are as old as time.
        let built_at: Timestamp = built_at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let age = age(now, built_at);
        metrics::record(|record| record.set_window(&scope, *kind, key.window));
        kinds.push(KindStatus {
            kind: *kind,
            segment: key.segment,
            window: key.window,
            version: version.to_owned(),
            built_at,
            age_seconds: age.as_secs(),
            uri: uri.clone(),
            stale: max_age.is_some_and(|max_age| age > max_age),
            from_the_future: is_from_the_future(built_at, operator.clock.horizon()),
        });
    }
    if let Some(manifest) = &manifest {
        metrics::record(|record| record.set_manifest(&scope, manifest.updated_at));
    }
    let wanted = operator.config.artifact_kinds.iter();
    let missing = wanted.filter(|kind| kinds.iter().all(|current| current.kind != **kind)).copied().collect();
    Ok(ManifestStatus {
        tenant: scope.tenant.into(),
        surface: scope.surface.into(),
        updated_at: manifest.map(|manifest| manifest.updated_at),
        kinds,
        missing,
    })
}

fn print(output: &Output, manifests: &[ManifestStatus], failures: &[Failure]) {
    if manifests.is_empty() && failures.is_empty() {
        output.line("no manifest in the registry");
        return;
    }
    let mut table = table(["TENANT", "SURFACE", "KIND", "SEGMENT", "WINDOW", "VERSION", "AGE", ""]);
    for manifest in manifests {
        let ManifestStatus { tenant, surface, kinds, missing, .. } = manifest;
        for kind in kinds {
            let segment = kind.segment.as_ref().map_or("-", Segment::as_str);
            let age = readable(SignedDuration::from_secs(kind.age_seconds));
            let stale = match kind {
                KindStatus { from_the_future: true, .. } => "from the future",
                KindStatus { stale: true, .. } => "stale",
                _ => "",
            };
            let (name, window) = (kind.kind.as_str(), kind.window.to_string());
            let version = format!("{:.12}", kind.version);
            table.add_row([tenant, surface, name, segment, &window, &version, &age, stale]);
        }
        for kind in missing {
            table.add_row([tenant, surface, kind.as_str(), "-", "-", "-", "-", "missing"]);
        }
    }
    for Failure { tenant, surface, .. } in failures {
        table.add_row([tenant, surface, "-", "-", "-", "-", "-", "unreadable"]);
    }
    output.line(table.trim_fmt());
}

/// What was built in the future, whatever age is allowed.
fn of_the_future(manifests: &[ManifestStatus]) -> Vec<String> {
    let problem = |manifest: &ManifestStatus, KindStatus { kind, built_at, .. }: &KindStatus| {
        let ManifestStatus { tenant, surface, .. } = manifest;
        format!("{kind} of {tenant}/{surface} was built at {built_at}, which lies in the future")
    };
    let of_future = |manifest: &ManifestStatus| {
        let kinds = manifest.kinds.iter().filter(|kind| kind.from_the_future);
        kinds.map(|kind| problem(manifest, kind)).collect::<Vec<_>>()
    };
    manifests.iter().flat_map(of_future).collect()
}

/// What is older than it may be, or not there.
fn age_problems(manifests: &[ManifestStatus], max_age: Option<SignedDuration>) -> Vec<String> {
    let mut problems = Vec::new();
    if manifests.is_empty() {
        problems.push("there is no manifest in the registry".to_owned());
    }
    for manifest in manifests {
        let place = format!("{}/{}", manifest.tenant, manifest.surface);
        for kind in manifest.kinds.iter().filter(|kind| kind.stale) {
            let age = readable(SignedDuration::from_secs(kind.age_seconds));
            let max_age = readable(max_age.unwrap_or_default());
            problems.push(format!("{} of {place} is {age} old, at most {max_age} expected", kind.kind));
        }
        problems.extend(manifest.missing.iter().map(|kind| format!("{kind} of {place} is missing")));
    }
    problems
}
