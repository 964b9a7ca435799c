//! The golden cases: inputs, and the versions that an independent implementation computed for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use recsys_core::artifact::Kind;
use recsys_core::domain::id::{Scope, Segment, Surface, Tenant};
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::{Day, Window};
use serde::Deserialize;

/// Names a folder with further cases. When it is set, the folder must exist.
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

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The folder, which holds `exposure.jsonl` and perhaps `catalog.csv`.
    pub dir: PathBuf,
    /// Whose events are built.
    pub scope: Scope,
    /// The segment that is built.
    pub segment: Option<Segment>,
    /// The window that is built.
    pub window: Window,
    /// The limits to build with.
    pub limits: Limits,
    /// The limits that differ from the defaults, as they stand in the file.
    pub limits_json: serde_json::Value,
    /// The expected version of each kind that the case fixes.
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

    /// The name of the case.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The first day of the window.
    pub fn first_day(&self) -> Day {
        self.window.start()
    }

    /// The last day of the window.
    pub fn last_day(&self) -> Day {
        self.window.days().last().expect("a window has days")
    }

    /// The number of days in the window.
    pub fn window_days(&self) -> usize {
        self.window.days().count()
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// All cases: those of the repository, and those of [`EXTRA_CASES`].
///
/// # Panics
/// When a folder or a case cannot be read.
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
