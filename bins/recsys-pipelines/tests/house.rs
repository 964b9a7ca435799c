//! Architecture rules: modules import only downwards in the order of `lib.rs`, and never in a cycle. Read from the
//! `use` lines.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use recsys_testkit::golden::repository;
use recsys_testkit::tree::files_with;

/// A module: its imports and its re-exports.
#[derive(Debug, Default)]
struct Module {
    imports: BTreeSet<String>,
    /// From the re-exported name to its path.
    hands_on: BTreeMap<String, String>,
}

/// Modules of a crate by path, such as `storage::bucket`; `lib.rs` has the empty path.
fn modules(source: &Path) -> BTreeMap<String, Module> {
    let files = files_with(source, "rs");
    let names: BTreeSet<String> = files.iter().map(|file| path_of(source, file)).collect();
    let mut modules = BTreeMap::new();
    for file in &files {
        let own = path_of(source, file);
        let text = fs::read_to_string(file).unwrap();
        // Imports of tests do not count.
        let program = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let is_folder = file.file_name().unwrap() == "mod.rs"
            || file.file_name().unwrap() == "lib.rs"
            || file.with_extension("").is_dir();
        let mut module = Module::default();
        for (is_public, path) in uses(program) {
            let Some(path) = absolute(&path, &own, is_folder, &names) else { continue };
            if is_public {
                let name = path.rsplit("::").next().unwrap().to_owned();
                module.hands_on.insert(name, path);
            } else {
                module.imports.insert(path);
            }
        }
        // Paths used in the middle of the code.
        for found in program.split("crate::").skip(1) {
            let path: String =
                found.chars().take_while(|it| it.is_alphanumeric() || *it == '_' || *it == ':').collect();
            module.imports.insert(path.trim_end_matches(':').to_owned());
        }
        modules.insert(own, module);
    }
    modules
}

fn path_of(source: &Path, file: &Path) -> String {
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    match parts[..] {
        ["lib"] => String::new(),
        [ref folder @ .., "mod"] => folder.join("::"),
        ref parts => parts.join("::"),
    }
}

/// Paths of the `use` lines, one per name, each with whether the line re-exports it.
fn uses(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        let (is_public, rest) = match line.split_once("use ") {
            Some(("", rest)) => (false, rest),
            Some((before, rest)) if before.starts_with("pub") => (true, rest),
            _ => continue,
        };
        let mut statement = rest.to_owned();
        while !statement.contains(';') {
            statement += lines.next().unwrap();
        }
        let statement: String =
            statement.split(';').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        expand("", &statement, &mut |path| found.push((is_public, path)));
    }
    found
}

/// Calls `take` with every path of a tree such as `a::{b, c::{self, d}}`.
fn expand(prefix: &str, tree: &str, take: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some((path, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap();
        let path = format!("{prefix}{name}");
        return take(path.strip_suffix("::self").unwrap_or(&path).to_owned());
    };
    let inner = &rest[..rest.rfind('}').unwrap()];
    let (mut depth, mut start) = (0, 0);
    let prefix = format!("{prefix}{path}");
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                expand(&prefix, &inner[start..at], take);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&prefix, &inner[start..], take);
    }
}

/// Path from the crate root; none for a path of another crate.
fn absolute(path: &str, own: &str, is_folder: bool, names: &BTreeSet<String>) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let mut base: Vec<&str> = own.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest = path;
    if let Some(own) = rest.strip_prefix("self::") {
        rest = own;
    } else if rest.starts_with("super::") {
        while let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
        }
    } else {
        // A child module, or another crate.
        let first = rest.split("::").next().unwrap();
        let child = [&base[..], &[first]].concat().join("::");
        if !is_folder || !names.contains(&child) {
            return None;
        }
    }
    Some(
        [base.join("::").as_str(), rest]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("::"),
    )
}

/// The module that a path leads to, following re-exports.
fn leads_to(path: &str, modules: &BTreeMap<String, Module>) -> Option<String> {
    let parts: Vec<&str> = path.split("::").collect();
    let longest =
        (0..=parts.len()).rev().find(|length| modules.contains_key(&parts[..*length].join("::")))?;
    let module = parts[..longest].join("::");
    let handed_on = parts.get(longest).and_then(|name| modules[&module].hands_on.get(*name));
    match handed_on {
        Some(further) if further != path => leads_to(further, modules),
        _ => Some(module),
    }
}

/// From each module to the modules it imports.
fn arrows(modules: &BTreeMap<String, Module>) -> BTreeMap<&str, BTreeSet<String>> {
    let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (own, module) in modules {
        let to = module.imports.iter().filter_map(|path| leads_to(path, modules));
        arrows.insert(own, to.filter(|to| to != own && !to.is_empty()).collect());
    }
    arrows
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap()
}

/// Top-level modules (rooms) in the order of `lib.rs`.
fn rooms(source: &Path) -> Vec<String> {
    let text = fs::read_to_string(source.join("lib.rs")).unwrap();
    let module = |line: &str| {
        let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    text.lines().filter_map(module).collect()
}

fn sources() -> [PathBuf; 2] {
    ["recsys-core", "recsys-job"].map(|name| repository().join("crates").join(name).join("src"))
}

#[test]
fn a_room_imports_only_from_those_above_it() {
    for source in sources() {
        let (rooms, modules) = (rooms(&source), modules(&source));
        let place = |module: &str| rooms.iter().position(|name| name == room(module));
        let mut upward = Vec::new();
        let mut count = 0;
        for (from, all) in arrows(&modules).into_iter().filter(|(from, _)| !from.is_empty()) {
            for to in all {
                count += 1;
                assert!(place(from).is_some() && place(&to).is_some(), "{from} -> {to}: no room of lib.rs");
                if place(&to) > place(from) {
                    upward.push(format!("{from} -> {to}"));
                }
            }
        }
        assert!(count > 100, "{count} arrows were read");
        assert_eq!(upward, Vec::<String>::new(), "{}", source.display());
    }
}

/// All modules reachable from one module.
fn reached<'a>(arrows: &'a BTreeMap<&str, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&BTreeSet<String>> = vec![&arrows[from]];
    while let Some(all) = next.pop() {
        next.extend(all.iter().filter(|to| reached.insert(to.as_str())).map(|to| &arrows[to.as_str()]));
    }
    reached
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let others =
        ["recsys-postgres", "recsys-testkit"].map(|name| repository().join("crates").join(name).join("src"));
    for source in sources().into_iter().chain(others) {
        let modules = modules(&source);
        let arrows = arrows(&modules);
        let all: BTreeMap<&str, BTreeSet<&str>> =
            arrows.keys().map(|from| (*from, reached(&arrows, from))).collect();
        // An import belongs to a cycle if its target leads back to its source.
        let circles: Vec<String> = arrows
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (*from, to.as_str())))
            .filter(|(from, to)| all[to].contains(from))
            .map(|(from, to)| format!("{from} -> {to}"))
            .collect();
        assert_eq!(circles, Vec::<String>::new(), "{}", source.display());
    }
}

#[test]
fn every_room_says_what_it_is_for() {
    for source in sources() {
        for folder in
            fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
        {
            let text = fs::read_to_string(folder.join("mod.rs")).unwrap();
            let words: usize = text
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .map(|line| line.split_whitespace().count())
                .sum();
            assert!(words >= 30, "{}: {words} words", folder.display());
        }
    }
}

/// The tables of the page on the architecture.
#[test]
fn the_page_on_the_house_lists_its_rooms_in_their_order() {
    let page = fs::read_to_string(repository().join("docs/explanation/architecture.md")).unwrap();
    for source in sources() {
        let places =
            rooms(&source).into_iter().map(|room| page.find(&format!("| `{room}`")).map(|at| (at, room)));
        let listed: Option<Vec<(usize, String)>> = places.collect();
        let Some(listed) = listed else { panic!("{}: a room is not on the page", source.display()) };
        assert!(listed.is_sorted(), "{listed:?}");
    }
}
