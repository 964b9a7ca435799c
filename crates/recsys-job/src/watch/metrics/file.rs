//! Metrics in a text file for a collector.
//!
//! The file is replaced atomically. Samples that only a successful run sets are carried over from the old file, so that
//! a failure does not erase them.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use recsys_core::artifact::Kind;
use recsys_core::storage::MAX_DOCUMENT_BYTES;

use super::run_metrics::{Ended, Run};
use super::samples::{LAST_SUCCESS, MANIFEST_UPDATED, Sample, plain, text, window_end};

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The path is a directory, link, pipe or the like, which must be neither destroyed nor waited for.
    #[error("it exists and is no regular file")]
    Special,
    /// The samples cannot be encoded.
    #[error(transparent)]
    Text(#[from] prometheus::Error),
}

/// Replaces the file at `path`.
pub(super) fn write(path: &str, mut samples: Vec<Sample>, run: &Run, ended: &Ended) -> Result<(), FileError> {
    let path = Path::new(path);
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(FileError::Special);
    }
    let mut before = String::new();
    if let Ok(file) = File::open(path) {
        // An old file that is too large or not UTF-8 is ignored.
        let _ = file.take(MAX_DOCUMENT_BYTES).read_to_string(&mut before);
    }
    let mut may_be_kept = vec![plain(run, MANIFEST_UPDATED, 0.0)];
    may_be_kept.extend(Kind::ALL.iter().map(|kind| window_end(run.scope.clone(), *kind, 0.0)));
    let series = |sample: &Sample| (sample.name, sample.scope.clone(), sample.label);
    may_be_kept.retain(|sample| samples.iter().all(|known| series(known) != series(sample)));
    if ended.exit_code != 0 {
        may_be_kept.push(plain(run, LAST_SUCCESS, 0.0));
    }
    for sample in may_be_kept {
        samples.extend(kept(run, &before, sample)?);
    }
    let text = text(run, &samples)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Collectors match on the extension, and often run as another user.
    let mut file = tempfile::Builder::new()
        .prefix(".recsys-metrics-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The same sample with its value from an earlier text.
fn kept(run: &Run, before: &str, sample: Sample) -> prometheus::Result<Option<Sample>> {
    let own = text(run, [&Sample { value: 0.0, ..sample.clone() }])?;
    let own = own.lines().find(|line| !line.starts_with('#')).and_then(|line| line.strip_suffix('0'));
    let value = own.and_then(|own| before.lines().find_map(|line| line.strip_prefix(own)));
    Ok(value.and_then(|value| value.parse().ok()).map(|value| Sample { value, ..sample }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Linked;
    use recsys_core::domain::id::Scope;

    fn run(tenant: &str) -> Run {
        let scope = Scope { tenant: tenant.parse().unwrap(), surface: "home".parse().unwrap() };
        Run::begin(Linked::default(), "job_x", None, Some(scope))
    }

    #[test]
    fn what_is_kept_is_of_the_same_labels() {
        let strange = "a\"b";
        let before = text(&run(strange), [&plain(&run(strange), LAST_SUCCESS, 1_767_400_000.25)]).unwrap();
        let value = |run: &Run, before: &str| {
            kept(run, before, plain(run, LAST_SUCCESS, 0.0)).unwrap().map(|sample| sample.value)
        };
        assert_eq!(value(&run(strange), &before), Some(1_767_400_000.25));
        assert_eq!(value(&run("a"), &before), None);
        assert_eq!(value(&run(strange), "garbage\n\u{0}"), None);
    }
}
