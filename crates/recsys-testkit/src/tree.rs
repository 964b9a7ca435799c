//! The files below a folder.

use std::fs;
use std::path::{Path, PathBuf};

/// Paths of all files below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    visit(folder, &mut found);
    found.sort();
    found
}

/// Those whose names end in `.extension`.
pub fn files_with(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = files_below(folder);
    found.retain(|path| path.extension().is_some_and(|own| own == extension));
    found
}

fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else {
            found.push(path);
        }
    }
}
