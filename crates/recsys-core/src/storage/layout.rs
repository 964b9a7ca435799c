//! The layout: the key of everything that is read or stored.
//!
//! All keys are made here and taken apart here. A key is a path below one of the roots of the configuration:
//!
//! | root | key | holds |
//! |---|---|---|
//! | `raw_events_dir` | `exposure.jsonl` | raw exposures of all days and scopes |
//! | | `TENANT/SURFACE/exposure.DAY.jsonl` | raw exposures of a day |
//! | | `outcome` in place of `exposure` | raw outcomes |
//! | | `.gz` or `.zst` at the end of each | the same, compressed |
//! | `canonical_dir` | `TENANT/SURFACE/scope.json` | the owner of the folder |
//! | | `TENANT/SURFACE/exposures/DAY.jsonl` | canonical exposures of a day |
//! | | `TENANT/SURFACE/outcomes/DAY.jsonl` | canonical outcomes of a day |
//! | | `DAY.refused.jsonl` beside each | a day that a gate has refused |
//! | | `TENANT/SURFACE/quarantine/DAY.jsonl` | raw exposures that break a rule |
//! | | `TENANT/SURFACE/quarantine/outcomes/DAY.jsonl` | raw outcomes that break a rule |
//! | | `TENANT/SURFACE/reports/DAY.json` | the report of a day |
//! | `artifacts_dir` | `TENANT/SURFACE/SEGMENT/KIND/START_END/VERSION.json` | a staged artifact |
//! | | `TENANT/SURFACE/SEGMENT/KIND/START_END/current.version` | the version to publish of a window |
//! | `object_store_dir` | `TENANT/SURFACE/KIND/VERSION.json` | a blob: a published artifact |
//! | `registry_dir` | `current/TENANT/SURFACE/manifest.json` | the blob of each kind that is current |
//! | | `records/TENANT/SURFACE/KIND/VERSION.json` | the record of a published version |
//! | | `history/TENANT/SURFACE/TIME-HASH.json` | a manifest that became current, or was about to |
//! | | `begun/TENANT/SURFACE.json` | the note that a first manifest was swapped in |
//! | | `holds/TENANT/SURFACE.json` | the kinds that no publish moves |
//! | | `gc/TENANT/SURFACE.json` | the claims of garbage collections |
//! | | `notified/TENANT/SURFACE.json` | the manifest that was announced last |
//! | | `.probe/RANDOM` | a test of conditional writes; removed at once |
//! | `checkpoint_dir` | `TENANT/SURFACE.json` | the last day that was published without a gap |
//! | | `failures/TENANT/SURFACE/BINARY.json` | the last failure of a binary |
//!
//! `SEGMENT` is `_all` for an artifact without a segment. `DAY`, `START` and `END` are like `2026-01-31`; `END` is the
//! day after the last. `VERSION` and `HASH` are 64 lower-case hex digits. `TIME` is like `20260102T031500.123456Z`.
//!
//! On a local disk, a root also has `.scratch/` for files that are being written, and `.manifest.json.lock` beside each
//! manifest. Neither has a key.

use std::fmt::Display;

use jiff::Timestamp;

use crate::domain::id::Scope;
use crate::domain::stream::Stream;
use crate::domain::window::{Day, Window};
use crate::encoding::hash::is_sha256;

/// The raw files of all days and scopes: plain, then compressed.
pub fn raw_flat(stream: Stream) -> [String; 3] {
    raw(raw_stem(stream))
}

/// The raw files of a day: plain, then compressed.
pub(crate) fn raw_day(scope: &Scope, stream: Stream, day: Day) -> [String; 3] {
    raw(&format!("{scope}/{}.{day}", raw_stem(stream)))
}

fn raw(stem: &str) -> [String; 3] {
    ["jsonl", "jsonl.gz", "jsonl.zst"].map(|ending| format!("{stem}.{ending}"))
}

fn raw_stem(stream: Stream) -> &'static str {
    match stream {
        Stream::Exposures => "exposure",
        Stream::Outcomes => "outcome",
    }
}

/// The owner of a canonical folder.
pub(crate) fn owner(scope: &Scope) -> String {
    format!("{scope}/scope.json")
}

/// The folder of the canonical days of a stream.
pub(crate) fn days(scope: &Scope, stream: Stream) -> String {
    format!("{scope}/{}", stream.as_str())
}

/// Sorts before the files of `first` and later days, and after those of earlier days.
pub(crate) fn before_day(scope: &Scope, stream: Stream, first: Day) -> String {
    format!("{}/{first}", days(scope, stream))
}

/// A canonical day.
pub(crate) fn day(scope: &Scope, stream: Stream, day: Day) -> String {
    format!("{}/{day}.jsonl", days(scope, stream))
}

/// A canonical day that a gate has refused.
pub(crate) fn refused_day(scope: &Scope, stream: Stream, day: Day) -> String {
    format!("{}/{day}{REFUSED}", days(scope, stream))
}

/// The day of a key made by [`refused_day`]; `None` for other keys.
pub(crate) fn day_of_refused(scope: &Scope, stream: Stream, key: &str) -> Option<Day> {
    below(&days(scope, stream), key)?.strip_suffix(REFUSED)?.parse().ok()
}

const REFUSED: &str = ".refused.jsonl";

/// The raw lines of a day that break a rule.
pub(crate) fn quarantine(scope: &Scope, stream: Stream, day: Day) -> String {
    match stream {
        Stream::Exposures => format!("{scope}/quarantine/{day}.jsonl"),
        Stream::Outcomes => format!("{scope}/quarantine/outcomes/{day}.jsonl"),
    }
}

/// The report of a day.
pub(crate) fn report(scope: &Scope, day: Day) -> String {
    format!("{scope}/reports/{day}.json")
}

/// The folder of the artifacts staged for a window.
pub(crate) fn staging(scope: &Scope, segment: &str, kind: impl Display, window: Window) -> String {
    format!("{scope}/{segment}/{kind}/{window}")
}

/// A staged artifact in a folder made by [`staging`].
pub(crate) fn staged(folder: &str, version: &str) -> String {
    format!("{folder}/{version}.json")
}

/// The file in a folder made by [`staging`] that names the version to publish.
pub(crate) fn staged_version(folder: &str) -> String {
    format!("{folder}/current.version")
}

/// The folder of the blobs of a scope.
pub(crate) fn blobs(scope: &Scope) -> String {
    scope.to_string()
}

/// A blob.
pub(crate) fn blob(scope: &Scope, kind: impl Display, version: &str) -> String {
    format!("{}/{kind}/{version}.json", blobs(scope))
}

/// The version in the key or URI of a blob.
pub fn version_in(uri: &str) -> &str {
    let file = uri.rsplit('/').next().unwrap_or_default();
    file.strip_suffix(".json").unwrap_or(file)
}

/// The folder of the records of a scope.
pub(crate) fn records(scope: &Scope) -> String {
    format!("records/{scope}")
}

/// The record of a published version.
pub fn record(scope: &Scope, kind: impl Display, version: &str) -> String {
    format!("{}/{kind}/{version}.json", records(scope))
}

/// The kind and version of a key in the folder [`blobs`] or [`records`]; `None` for other keys.
pub(crate) fn kind_and_version<'k>(folder: &str, key: &'k str) -> Option<(&'k str, &'k str)> {
    let (kind, file) = below(folder, key)?.split_once('/')?;
    Some((kind, file.strip_suffix(".json").filter(|version| is_sha256(version))?))
}

/// The folder of all manifests.
pub(crate) const MANIFESTS: &str = "current";

/// The manifest of a scope.
pub fn manifest(scope: &Scope) -> String {
    format!("{MANIFESTS}/{scope}/manifest.json")
}

/// The scope of a manifest; `None` for other keys. A folder in its place counts, too: reading it reports the error.
pub(crate) fn scope_of_manifest(key: &str) -> Option<Scope> {
    match key.split('/').collect::<Vec<_>>()[..] {
        [_, tenant, surface, "manifest.json", ..] => scope(tenant, surface),
        _ => None,
    }
}

/// The folder of all histories.
pub(crate) const HISTORIES: &str = "history";

/// The folder of the histories of a tenant.
pub(crate) fn histories(tenant: &str) -> String {
    format!("{HISTORIES}/{tenant}")
}

/// The folder of the history of a scope.
pub(crate) fn history(scope: &Scope) -> String {
    format!("{HISTORIES}/{scope}")
}

/// The history entry of a manifest. Keys sort by time and end with the hash.
pub(crate) fn history_entry(scope: &Scope, time: Timestamp, hash: &str) -> String {
    format!("{}/{}-{hash}.json", history(scope), time.strftime("%Y%m%dT%H%M%S%.6fZ"))
}

/// The hash in the key of a history entry; `None` for other keys.
pub(crate) fn hash_of_entry(key: &str) -> Option<&str> {
    let (_, hash) = key.strip_suffix(".json")?.rsplit_once('-')?;
    is_sha256(hash).then_some(hash)
}

/// The key of a history entry up to its hash: entries of one scope compare by time.
pub(crate) fn time_of_entry(key: &str) -> Option<&str> {
    key.rsplit_once('-').map(|(time, _)| time)
}

/// The folder of all notes of first swaps.
pub(crate) const ALL_BEGUN: &str = "begun";

/// The note that a first manifest was swapped in.
pub(crate) fn begun(scope: &Scope) -> String {
    format!("{ALL_BEGUN}/{scope}.json")
}

/// The scope of a note of a first swap; `None` for other keys.
pub(crate) fn scope_of_begun(key: &str) -> Option<Scope> {
    let (tenant, surface) = below(ALL_BEGUN, key)?.strip_suffix(".json")?.split_once('/')?;
    scope(tenant, surface)
}

/// The holds of a scope.
pub(crate) fn holds(scope: &Scope) -> String {
    format!("holds/{scope}.json")
}

/// The claims of garbage collections of a scope.
pub(crate) fn claims(scope: &Scope) -> String {
    format!("gc/{scope}.json")
}

/// The last manifest of a scope that was announced.
pub fn notified(scope: &Scope) -> String {
    format!("notified/{scope}.json")
}

/// A test of conditional writes.
pub(super) fn probe(random: u128) -> String {
    format!(".probe/{random:032x}")
}

/// The checkpoint of a scope.
pub fn checkpoint(scope: &Scope) -> String {
    format!("{scope}.json")
}

/// The folder of all notes of failures.
pub const FAILURES: &str = "failures";

/// The folder of the notes of failures of a scope.
pub fn failures(scope: &Scope) -> String {
    format!("{FAILURES}/{scope}")
}

/// The note of the last failure of a binary.
pub fn failure(scope: &Scope, binary: &str) -> String {
    format!("{}/{binary}.json", failures(scope))
}

/// The scope of a note of a failure; `None` for other keys.
pub fn scope_of_failure(key: &str) -> Option<Scope> {
    match key.split('/').collect::<Vec<_>>()[..] {
        [_, tenant, surface, _] => scope(tenant, surface),
        _ => None,
    }
}

/// The scope with these names, if they are allowed.
pub(crate) fn scope(tenant: &str, surface: &str) -> Option<Scope> {
    Some(Scope { tenant: tenant.parse().ok()?, surface: surface.parse().ok()? })
}

/// The rest of a key below a folder.
fn below<'k>(folder: &str, key: &'k str) -> Option<&'k str> {
    key.strip_prefix(folder)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_as_they_are() {
        let of = scope("demo", "home").unwrap();
        let (exposures, outcomes) = (Stream::Exposures, Stream::Outcomes);
        let first: Day = "2026-01-01".parse().unwrap();
        let folder = staging(&of, "_all", "cooc", Window::ending_with(first, 1).unwrap());
        let hash = "0a".repeat(32);
        let time: Timestamp = "2026-01-02T03:15:00.123456Z".parse().unwrap();
        let keys = [
            (raw_flat(exposures).join(" "), "exposure.jsonl exposure.jsonl.gz exposure.jsonl.zst"),
            (raw_day(&of, outcomes, first)[2].clone(), "demo/home/outcome.2026-01-01.jsonl.zst"),
            (owner(&of), "demo/home/scope.json"),
            (day(&of, exposures, first), "demo/home/exposures/2026-01-01.jsonl"),
            (day(&of, outcomes, first), "demo/home/outcomes/2026-01-01.jsonl"),
            (refused_day(&of, exposures, first), "demo/home/exposures/2026-01-01.refused.jsonl"),
            (quarantine(&of, exposures, first), "demo/home/quarantine/2026-01-01.jsonl"),
            (quarantine(&of, outcomes, first), "demo/home/quarantine/outcomes/2026-01-01.jsonl"),
            (report(&of, first), "demo/home/reports/2026-01-01.json"),
            (staged(&folder, "v"), "demo/home/_all/cooc/2026-01-01_2026-01-02/v.json"),
            (staged_version(&folder), "demo/home/_all/cooc/2026-01-01_2026-01-02/current.version"),
            (blob(&of, "cooc", "v"), "demo/home/cooc/v.json"),
            (record(&of, "cooc", "v"), "records/demo/home/cooc/v.json"),
            (manifest(&of), "current/demo/home/manifest.json"),
            (history_entry(&of, time, "v"), "history/demo/home/20260102T031500.123456Z-v.json"),
            (begun(&of), "begun/demo/home.json"),
            (holds(&of), "holds/demo/home.json"),
            (claims(&of), "gc/demo/home.json"),
            (notified(&of), "notified/demo/home.json"),
            (checkpoint(&of), "demo/home.json"),
            (failure(&of, "job_publish"), "failures/demo/home/job_publish.json"),
        ];
        for (made, expected) in keys {
            assert_eq!(made, expected);
        }
        // What is made is also taken apart.
        let refused = refused_day(&of, outcomes, first);
        assert_eq!(day_of_refused(&of, outcomes, &refused), Some(first));
        assert!(before_day(&of, outcomes, first) < refused);
        assert_eq!(day_of_refused(&of, outcomes, &day(&of, outcomes, first)), None);
        let record = record(&of, "cooc", &hash);
        assert_eq!(kind_and_version(&records(&of), &record), Some(("cooc", hash.as_str())));
        assert_eq!(kind_and_version(&blobs(&of), &blob(&of, "cooc", "v")), None);
        assert_eq!(version_in(&record), hash);
        let entry = history_entry(&of, time, &hash);
        assert_eq!(hash_of_entry(&entry), Some(hash.as_str()));
        assert_eq!(time_of_entry(&entry), Some("history/demo/home/20260102T031500.123456Z"));
        assert_eq!(scope_of_manifest(&manifest(&of)).as_ref(), Some(&of));
        assert_eq!(scope_of_begun(&begun(&of)).as_ref(), Some(&of));
        assert_eq!(scope_of_failure(&failure(&of, "job_publish")).as_ref(), Some(&of));
    }
}
