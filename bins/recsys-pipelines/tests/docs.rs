//! Checks the documentation: its commands run, its command-line reference equals the programs' help, its links resolve,
//! and it covers every setting.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use recsys_testkit::console::run_page;
use recsys_testkit::golden::repository;
use recsys_testkit::postgres::Database;
use recsys_testkit::s3::S3;
use recsys_testkit::sandbox::{BINARIES, Sandbox, binaries};
use recsys_testkit::tree::files_with;
use serde_json::Value;

/// Their servers and delays are waited for, more than they compute.
const PAGES_AT_A_TIME: usize = 4;

/// Runs a page in a folder that starts as a copy of a clone's files. `BUCKET_URL` names a bucket folder of its own;
/// settings give the binaries access to it, and `AWS_*` variables other programs. A page that mentions `DATABASE_URL`
/// gets an empty database and the setting for it.
fn run(page: &Path) -> usize {
    let sandbox = Sandbox::new();
    for folder in ["configs", "testdata", "schemas"] {
        sandbox.copy(folder, folder);
    }
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap());
    let s3 = S3::from_env();
    let bucket_url = format!("s3://{}/{}", s3.bucket, S3::unique_prefix());
    let database = fs::read_to_string(page).unwrap().contains("DATABASE_URL").then(Database::new);
    run_page(page, sandbox.path(), |command| {
        sandbox.prepare(command);
        command.env("PATH", &path).env("BUCKET_URL", &bucket_url).envs(s3.settings());
        command.env("AWS_ENDPOINT_URL", &s3.endpoint).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", &s3.access_key).env("AWS_SECRET_ACCESS_KEY", &s3.secret_key);
        command.env_remove("DATABASE_URL");
        if let Some(database) = &database {
            command.env("DATABASE_URL", database.url()).env("RECSYS_PIPELINES__DB__DSN", database.url());
        }
    })
}

#[test]
fn psql_is_there_for_the_pages_that_ask_a_database() {
    let version = Command::new("psql").arg("--version").output();
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "psql is not on the PATH; it comes with PostgreSQL, which scripts/setup installs"
    );
}

#[test]
fn every_command_of_the_pages_does_what_its_page_shows() {
    // The last pages, the tutorials, take longest and begin.
    let pages = Mutex::new(files_with(&repository().join("docs"), "md"));
    let next = || pages.lock().unwrap().pop();
    let work = || {
        let (mut commands, mut failures) = (0, Vec::new());
        while let Some(page) = next() {
            match std::panic::catch_unwind(|| run(&page)) {
                Ok(count) => commands += count,
                // The message is printed already; it names the line.
                Err(_) => failures.push(page),
            }
        }
        (commands, failures)
    };
    let done: Vec<(usize, Vec<PathBuf>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..PAGES_AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let failures: Vec<&PathBuf> = done.iter().flat_map(|(_, failures)| failures).collect();
    assert!(failures.is_empty(), "pages that do not show what happens, see above: {failures:#?}");
    let commands: usize = done.iter().map(|(commands, _)| commands).sum();
    assert!(commands > 20, "only {commands} commands were found");
}

/// The README assumes a clone, so its commands run in the repository.
#[test]
fn the_commands_of_the_readme_do_what_it_shows() {
    let commands = run_page(&repository().join("README.md"), &repository(), |command| {
        command.env_remove("RUST_LOG").env_remove("CARGO_MANIFEST_DIR");
    });
    assert!(commands > 0);
}

fn help(arguments: &[&str]) -> String {
    let mut command = Sandbox::new().command(arguments[0]);
    let output =
        command.current_dir("/").args(&arguments[1..]).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_command_line_reference_is_what_the_programs_say() {
    let mut page =
        "# Command line\n\nEvery binary and its flags, as `--help` prints them. A test writes this page \
                    (`UPDATE_DOCS=1 cargo test --test docs`) and fails when it is out of date.\n"
            .to_owned();
    for binary in BINARIES {
        let commands: &[&[&str]] = &[
            &[],
            &["run"],
            &["status"],
            &["show"],
            &["history"],
            &["rollback"],
            &["release"],
            &["verify"],
            &["diff"],
            &["gc"],
            &["db"],
            &["db", "init"],
            &["config"],
            &["config", "show"],
            &["config", "check"],
        ];
        let lines = if binary == "recsys-pipelines" { commands } else { &commands[..1] };
        for line in lines {
            let line = [&[binary], *line].concat();
            write!(page, "\n## {}\n\n```text\n{}```\n", line.join(" "), help(&line)).unwrap();
        }
    }
    let path = repository().join("docs/reference/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference/cli.md is out of date; run UPDATE_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn every_link_leads_somewhere() {
    let mut all = files_with(&repository().join("docs"), "md");
    all.extend(
        ["README.md", "schemas/README.md", "testdata/README.md", "deploy/README.md"]
            .map(|page| repository().join(page)),
    );
    let mut links = 0;
    for page in all {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let path = page.parent().unwrap().join(target);
                assert!(path.exists(), "{}: {link}", page.display());
                links += 1;
            }
        }
    }
    assert!(links > 20, "only {links} links were found");
}

/// A leftover variable would still be set on the next page, with a wrong target.
#[test]
fn a_page_takes_back_what_it_exports() {
    let mut exported = 0;
    for page in files_with(&repository().join("docs"), "md") {
        let text = fs::read_to_string(&page).unwrap();
        let words_after = |command: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.trim_start_matches("$ ").strip_prefix(command));
            lines
                .flat_map(str::split_whitespace)
                .map(|word| word.split('=').next().unwrap().to_owned())
                .collect()
        };
        let unset = words_after("unset ");
        // `PATH` may stay changed.
        for name in words_after("export ").iter().filter(|name| *name != "PATH") {
            assert!(unset.contains(name), "{}: {name} stays in the environment", page.display());
            exported += 1;
        }
    }
    assert!(exported > 5, "{exported}");
}

#[test]
fn the_licences_that_every_package_names_are_there() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("license = \"MIT OR Apache-2.0\""));
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    for (file, words) in [("LICENSE-MIT", "Permission is hereby granted"), ("LICENSE-APACHE", "Version 2.0")]
    {
        let text = fs::read_to_string(repository().join(file)).unwrap();
        assert!(text.contains(words), "{file}");
        assert!(readme.contains(&format!("]({file})")), "{file} is not in the README");
    }
}

/// Settings of a section and its subsections. An empty section is itself a setting.
fn settings(prefix: &str, value: &Value) -> Vec<String> {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return vec![prefix.trim_end_matches('.').to_owned()];
    };
    fields.iter().flat_map(|(key, value)| settings(&format!("{prefix}{key}."), value)).collect()
}

/// The three models have most settings in common, so the pages have each once.
fn of_any_kind(setting: String) -> String {
    let kinds = ["models.cooc.", "models.implicit.", "models.session_seq."];
    let below = kinds.iter().find_map(|kind| setting.strip_prefix(kind));
    below.map(|below| format!("models.<kind>.{below}")).unwrap_or(setting)
}

#[test]
fn the_configuration_reference_knows_every_setting() {
    let page = fs::read_to_string(repository().join("docs/reference/configuration.md")).unwrap();
    let config = serde_json::to_value(recsys_job::config::Config::default()).unwrap();
    let settings = settings("", &config);
    assert!(settings.len() > 40, "{settings:?}");
    assert!(settings.contains(&"object_store.s3.endpoint".to_owned()), "{settings:?}");
    for setting in settings {
        let setting = of_any_kind(setting);
        assert!(page.contains(&format!("`{setting}`")), "{setting} is not on the page");
    }
}

/// Rust files that end up in the binaries.
fn sources() -> Vec<PathBuf> {
    let parts = ["crates/recsys-core/src", "crates/recsys-job/src", "crates/recsys-postgres/src", "bins"];
    let mut found: Vec<_> =
        parts.iter().flat_map(|part| files_with(&repository().join(part), "rs")).collect();
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
    found
}

#[test]
fn the_reference_knows_every_environment_variable_that_is_read() {
    let page = fs::read_to_string(repository().join("docs/reference/environment.md")).unwrap();
    let on_page = |name: &str| page.contains(&format!("`{name}`"));
    let config = serde_json::to_value(recsys_job::config::Config::default()).unwrap();
    for setting in settings("", &config) {
        let name = of_any_kind(setting).replace('.', "__").to_uppercase();
        let name = format!("RECSYS_PIPELINES__{name}");
        let of_table = page.contains(&format!("`{name}__<"));
        assert!(on_page(&name) || of_table, "{name} is not on the page");
    }
    // Every file that reads the environment, and the variables it reads.
    let known: &[(&str, &[&str])] = &[
        ("recsys-core/src/storage/root.rs", &["GOOGLE_*", "AZURE_*"]),
        (
            "recsys-core/src/storage/s3.rs",
            &["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP"],
        ),
        ("recsys-core/src/storage/bucket.rs", &["TMPDIR"]),
        ("recsys-core/src/columnar/spill/mod.rs", &["TMPDIR"]),
        ("recsys-job/src/config/mod.rs", &["TMPDIR"]),
        ("recsys-job/src/config/load.rs", &["RECSYS_PIPELINES__…"]),
        ("recsys-job/src/config/look_alike.rs", &["RECSYS_PIPELINES__…"]),
        ("recsys-job/src/shell/clock.rs", &["SOURCE_DATE_EPOCH"]),
        ("recsys-job/src/pipeline/context.rs", &["USER", "LOGNAME"]),
        ("recsys-job/src/shell/logging.rs", &["RUST_LOG"]),
        ("recsys-job/src/config/notify.rs", &["${NAME}"]),
        ("recsys-job/src/shell/run_id.rs", &["RECSYS_RUN_ID"]),
        ("recsys-postgres/src/dsn.rs", &["PGSSLMODE", "PGSSLROOTCERT"]),
    ];
    let reads = ["env::var", "env::temp_dir", "env::home_dir", "Builder::from_env", "option_env!"];
    let mut seen = 0;
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        if !reads.iter().any(|read| text.contains(read)) {
            continue;
        }
        let entry = known.iter().find(|(known, _)| path.ends_with(known));
        let (_, names) =
            entry.unwrap_or_else(|| panic!("{} reads the environment: of what?", path.display()));
        for name in *names {
            assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
        }
        // Variable names appear as string literals. Unit tests may use others.
        let program = text.split("#[cfg(test)]").next().unwrap();
        for word in program.split('"').filter(|word| {
            word.len() > 3
                && word.contains('_')
                && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        }) {
            assert!(
                page.contains(&format!("`{}", word.trim_end_matches('_'))),
                "{word} of {}",
                path.display()
            );
        }
        seen += 1;
    }
    assert_eq!(seen, known.len());
}
