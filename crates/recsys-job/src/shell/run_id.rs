//! The id of the whole run, shared by its jobs and part of every log line.

use std::sync::OnceLock;

use crate::shell::error::JobError;

static CURRENT: OnceLock<String> = OnceLock::new();

/// Environment variable by which a scheduler gives all jobs of a run the same id.
const RECSYS_RUN_ID: &str = "RECSYS_RUN_ID";

/// Long enough for ids that schedulers build from names and times.
const MAX_BYTES: usize = 128;

/// The id of this run, once [`begin`] was called.
pub(crate) fn current() -> Option<String> {
    CURRENT.get().cloned()
}

/// Sets the id: the one in the environment, or a new one.
pub(crate) fn begin() -> anyhow::Result<String> {
    let id = match std::env::var_os(RECSYS_RUN_ID) {
        Some(id) if !id.is_empty() => check(id.to_str())?,
        _ => format!("{:012x}", fastrand::u64(..1 << 48)),
    };
    Ok(CURRENT.get_or_init(|| id).clone())
}

/// The id is part of every log line, so blanks and control characters are rejected.
fn check(id: Option<&str>) -> anyhow::Result<String> {
    let id = id.filter(|id| id.len() <= MAX_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()));
    id.map(str::to_owned).ok_or_else(|| {
        let line =
            format!("{RECSYS_RUN_ID} must be at most {MAX_BYTES} printable ASCII characters without blanks");
        JobError::Usage(line).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_printable() {
        let longest = "x".repeat(MAX_BYTES);
        for good in ["a", "scheduled__2026-01-01T00:00:00+00:00", "\"{}", &longest] {
            assert_eq!(check(Some(good)).unwrap(), good);
        }
        let too_long = "x".repeat(MAX_BYTES + 1);
        for bad in [Some("a b"), Some("a\nb"), Some("a\u{1b}[2J"), Some("ü"), Some(&too_long[..]), None] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
