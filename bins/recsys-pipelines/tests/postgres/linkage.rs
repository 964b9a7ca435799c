//! Libraries that the programs are linked with.

use std::process::Command;

use recsys_testkit::golden::repository;

/// Packages that a program is linked with.
fn linked(arguments: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe"]);
    let tree = tree.args(arguments).current_dir(repository()).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_programs_of_the_jobs_are_small() {
    assert_eq!(linked(&["--package", "jobs"]), ["jobs"]);
}

#[test]
fn a_driver_is_linked_where_it_is_asked_for() {
    let has_driver = |arguments: &[&str]| linked(arguments).iter().any(|name| name.starts_with("sqlx"));
    let program = ["--package", "recsys-pipelines"];
    assert!(has_driver(&program));
    assert!(!has_driver(&[&program[..], &["--no-default-features", "--features", "http"]].concat()));
}
