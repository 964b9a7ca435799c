//! The golden cases: inputs, and the versions that an independent implementation computed for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use recsys_core::artifact::Kind;
use recsys_core::domain::id::{Scope, Segment, Surface, Tenant};
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::{Day, Window};
use serde::Deserialize;

/// Environment variable that names a folder with more cases. If set, the folder must exist.
pub const EXTRA_CASES: &str = "RECSYS_EXTRA_GOLDEN_DIR";

#[derive(Deserialize)]
struct CaseFile {
    tenant: Tenant,
    surface: Surface,
    segment: Option<Segment>,
    window: Window,
    limits: Limits,
    versions: BTreeMap<Kind, String>,
}

/// A golden case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Folder of the case; it holds `exposure.jsonl` and may hold `catalog.csv`.
    pub dir: PathBuf,
    /// Tenant and surface to build for.
    pub scope: Scope,
    /// Segment to build for, if any.
    pub segment: Option<Segment>,
    /// Window to build.
    pub window: Window,
    /// Limits to build with.
    pub limits: Limits,
    /// Limits that differ from the defaults, as written in the file.
    pub limits_json: serde_json::Value,
    /// Expected version of each kind that the case covers.
    pub versions: BTreeMap<Kind, String>,
}

impl Case {
    fn load(dir: &Path) -> Self {
        let path = dir.join("case.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: CaseFile =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json: serde_json::Value = serde_json::from_str(&text).expect("parsed a moment ago");
        Self {
            dir: dir.to_owned(),
            scope: Scope { tenant: file.tenant, surface: file.surface },
            segment: file.segment,
            window: file.window,
            limits: file.limits,
            limits_json: json["limits"].clone(),
            versions: file.versions,
        }
    }

    /// Name of the case: its folder name.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// First day of the window.
    pub fn first_day(&self) -> Day {
        self.window.start()
    }

    /// Last day of the window.
    pub fn last_day(&self) -> Day {
        self.window.days().last().expect("a window has days")
    }

    /// Number of days in the window.
    pub fn window_days(&self) -> usize {
        self.window.days().count()
    }
}

/// Root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// All cases of the repository and of [`EXTRA_CASES`], sorted by path; of equal names, the first counts.
///
/// # Panics
/// If a folder or a case cannot be read.
pub fn cases() -> Vec<Case> {
    let mut folders = vec![repository().join("testdata/golden")];
    folders.extend(std::env::var_os(EXTRA_CASES).map(PathBuf::from));
    let mut cases = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let dirs = entries.map(|entry| entry.expect("a readable folder").path());
        cases.extend(dirs.filter(|dir| dir.join("case.json").exists()).map(|dir| Case::load(&dir)));
    }
    cases.sort_by(|a, b| a.dir.cmp(&b.dir));
    cases.dedup_by(|a, b| a.name() == b.name());
    assert!(cases.len() >= 19, "only {} golden cases were found", cases.len());
    cases
}
