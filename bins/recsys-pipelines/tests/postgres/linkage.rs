//! Which binaries are linked with a driver.

use std::process::Command;

use recsys_testkit::golden::repository;

const WITH_DATABASE: [&str; 4] = ["job_catalog", "job_db_signals", "job_ingest", "recsys-pipelines"];

#[test]
fn only_the_binaries_that_need_a_database_are_linked_with_a_driver() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut binaries: Vec<String> = std::fs::read_dir(repository().join("bins"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    binaries.sort();
    assert!(binaries.len() > WITH_DATABASE.len());
    for binary in binaries {
        let tree = Command::new(&cargo)
            .args([
                "tree",
                "--offline",
                "--locked",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--package",
                &binary,
            ])
            .current_dir(repository())
            .output()
            .unwrap();
        assert!(tree.status.success(), "{binary}: {}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8_lossy(&tree.stdout);
        let linked = tree.lines().any(|line| line.starts_with("sqlx"));
        assert_eq!(linked, WITH_DATABASE.contains(&&*binary), "{binary}:\n{tree}");
    }
}
