//! The compose file.

use std::collections::BTreeMap;

use recsys_core::artifact::Kind;
use serde_json::{Map, Value};

use crate::documents::{document, plain, strings, text};
use crate::site::{Container, Site};
use crate::{Outcome, in_order, with_outcome};

/// The test environment provides these servers, so they are not started here.
const SERVERS: [&str; 2] = ["minio", "postgres"];

/// The project as `docker compose` resolves it, with the values of `.env.example`.
fn project() -> Value {
    project_with(&[])
}

/// Like [`project`], with some variables replaced.
fn project_with(others: &[(&str, &str)]) -> Value {
    let lines = text("compose/.env.example");
    let mut variables: BTreeMap<&str, &str> =
        lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
    for (name, value) in others {
        assert!(variables.insert(name, value).is_some(), ".env.example has no {name}");
    }
    let mut project = document("compose/docker-compose.yml");
    interpolate(&mut project, &variables);
    project
}

fn interpolate(value: &mut Value, variables: &BTreeMap<&str, &str>) {
    match value {
        Value::String(text) => {
            while let Some(start) = text.find("${") {
                let end = start + text[start..].find('}').expect("a closing brace");
                let name = text[start + 2..end].split(':').next().unwrap().to_owned();
                let value =
                    variables.get(name.as_str()).unwrap_or_else(|| panic!(".env.example has no {name}"));
                text.replace_range(start..=end, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| interpolate(item, variables)),
        Value::Object(fields) => fields.values_mut().for_each(|field| interpolate(field, variables)),
        _ => {}
    }
}

fn services(project: &Value) -> &Map<String, Value> {
    project["services"].as_object().unwrap()
}

fn is_job(service: &Value) -> bool {
    plain(&service["image"]).starts_with("recsys-pipelines")
}

fn container(service: &Value) -> Container {
    let environment = service["environment"].as_object().unwrap();
    let env = environment.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    Container { command: strings(&service["command"]), env }
}

/// Imitates the script of the service `buckets`, which uses `mc`.
fn fill_buckets(site: &Site, service: &Value) -> Outcome {
    assert_eq!(strings(&service["volumes"]), ["../../testdata:/sample:ro"]);
    let mut made: Vec<String> = Vec::new();
    for line in strings(&service["command"])[0].lines() {
        let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        let place = |word: &str| {
            let (bucket, key) = word.strip_prefix("store/").unwrap().split_once('/').unwrap();
            assert!(made.contains(&bucket.to_owned()), "{line}: nobody has made {bucket}");
            (bucket.to_owned(), key.to_owned())
        };
        let sample = |word: &str| word.replace("/sample", "testdata");
        match words[..] {
            ["mc", "alias", "set", "store", ref access @ ..] => {
                // Compose turns `$$` into `$`, which the shell then expands.
                let named: Vec<&str> =
                    access.iter().map(|word| word.trim_matches('"').strip_prefix("$$").unwrap()).collect();
                assert_eq!(named, ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
                assert!(named.iter().all(|name| service["environment"][name].is_string()), "{service}");
            }
            ["mc", "mb", ref buckets @ ..] => {
                made.extend(buckets.iter().map(|bucket| bucket.strip_prefix("store/").unwrap().to_owned()));
            }
            ["mc", "mirror", from, to] => {
                let (bucket, key) = place(to);
                site.upload(&sample(from), &bucket, &key);
            }
            ["mc", "cp", from, to] => {
                let (bucket, key) = place(to);
                let from = recsys_testkit::golden::repository().join(sample(from));
                site.put(&bucket, &key, std::fs::read(from).unwrap());
            }
            _ => panic!("{line}: this test does not know what it does"),
        }
    }
    assert_eq!(made, ["recsys-raw", "recsys-artifacts"]);
    Outcome::Succeeded
}

/// `docker compose up`.
fn up(site: &Site) -> Vec<(String, Outcome)> {
    let project = project();
    let services = services(&project);
    // Services with a profile are not started.
    let started = services.iter().filter(|(_, service)| service.get("profiles").is_none());
    let steps = started.map(|(name, service)| {
        let empty = Map::new();
        let after = service["depends_on"].as_object().unwrap_or(&empty);
        for (other, how) in after {
            let expected = if SERVERS.contains(&other.as_str()) {
                "service_healthy"
            } else {
                "service_completed_successfully"
            };
            assert_eq!(how["condition"], expected, "{name} after {other}");
        }
        (name.clone(), after.keys().cloned().collect())
    });
    in_order(steps.collect(), |name| match name {
        name if SERVERS.contains(&name) => Outcome::Succeeded,
        "buckets" => fill_buckets(site, &services[name]),
        name => site.step(&container(&services[name])),
    })
}

fn site() -> Site {
    Site::new(&text("compose/config.yaml"))
}

#[test]
fn a_day_goes_from_raw_events_to_a_manifest_and_signals_and_again_changes_nothing() {
    let site = site();
    let first = up(&site);
    assert!(first.iter().all(|(_, outcome)| *outcome == Outcome::Succeeded), "{first:?}");
    // The tutorials show the same versions.
    let versions: Vec<String> = Kind::ALL.iter().map(|kind| site.version(*kind)).collect();
    assert_eq!(versions, ["0277df26ddf2", "c7b0d01d1a07", "81f07982e3da", "2f9cbb1df624", "2cca7107ad39"]);
    assert_eq!(site.count("item_popularity_daily"), "18");
    assert_eq!(site.count("item_covisit_daily"), "114");
    assert_eq!(site.count("item_tags"), "20");

    let state = site.state();
    let second = up(&site);
    assert!(second.iter().all(|(_, outcome)| *outcome == Outcome::Succeeded), "{second:?}");
    assert_eq!(site.state(), state);
}

#[test]
fn what_depends_on_a_step_that_fails_does_not_start() {
    let site = site();
    site.break_binary("job_cooc", "RECSYS_PIPELINES__LIMITS__MAX_SESSIONS_PER_RUN", "1");
    let services = up(&site);
    assert_eq!(with_outcome(Outcome::Failed(4), &services), ["cooc"]);
    assert_eq!(with_outcome(Outcome::NotStarted, &services), ["db-signals", "publish", "status"]);
    assert_eq!(site.published(), None);
    assert_eq!(site.count("item_popularity_daily"), "0");

    site.mend();
    let services = up(&site);
    assert!(services.iter().all(|(_, outcome)| *outcome == Outcome::Succeeded), "{services:?}");
    assert_eq!(site.published().unwrap().len(), 5);
}

#[test]
fn jobs_have_no_rights_and_one_place_to_write_to() {
    let project = project();
    let jobs: Vec<(&String, &Value)> =
        services(&project).iter().filter(|(_, service)| is_job(service)).collect();
    assert_eq!(jobs.len(), 13);
    for (name, job) in jobs {
        assert_eq!(job["user"], "65532:65532", "{name}");
        assert_eq!(job["read_only"], true, "{name}");
        assert_eq!(strings(&job["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&job["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(strings(&job["volumes"]), ["./config.yaml:/etc/recsys/config.yaml:ro"], "{name}");
        assert_eq!(strings(&job["tmpfs"]), ["/scratch:mode=1777,size=1g"], "{name}");
        assert_eq!(job["environment"]["TMPDIR"], "/scratch", "{name}");
    }
    assert_eq!(document("compose/config.yaml")["resources"]["temp_dir"], "/scratch");
}

/// Compose builds all services with a `build` in parallel, so only one of them may build a given tag.
#[test]
fn the_image_is_built_once_and_never_pulled() {
    let project = project();
    let services = services(&project);
    let built: Vec<&String> =
        services.iter().filter(|(_, service)| service.get("build").is_some()).map(|(name, _)| name).collect();
    assert_eq!(built, ["minio", "tables"]);
    // The client ships in the server's image, which is built before it is needed.
    assert_eq!(services["buckets"]["image"], services["minio"]["image"]);
    assert_eq!(services["buckets"]["pull_policy"], "never");
    for (name, job) in services.iter().filter(|(_, service)| is_job(service)) {
        assert_eq!(job["image"], services["tables"]["image"], "{name}");
        assert_eq!(job["pull_policy"], "never", "{name}");
    }
}

/// The makers of this server no longer publish images, and the last one has a known vulnerability (CVE-2025-62506).
#[test]
fn minio_is_built_from_its_sources_at_a_release_without_the_hole() {
    let minio = &project()["services"]["minio"];
    let dockerfile = plain(&minio["build"]["dockerfile"]);
    let dockerfile = text(dockerfile.strip_prefix("deploy/").unwrap());
    let release = dockerfile.lines().find_map(|line| line.strip_prefix("ARG MINIO_RELEASE=")).unwrap();
    // Releases are named by their time.
    assert!(release >= "RELEASE.2025-10-15T17-29-55Z", "{release}");
    assert!(
        dockerfile.contains("go install -trimpath -ldflags=-s \"github.com/minio/minio@${MINIO_RELEASE}\"")
    );
    let image = plain(&minio["image"]);
    assert_eq!(image.rsplit(':').next().unwrap(), release);
    let overlay = document("kubernetes/overlays/local-minio/kustomization.yaml");
    assert!(
        overlay["images"].as_array().unwrap().iter().any(|image| image["newTag"] == release),
        "{overlay}"
    );
}

#[test]
fn another_s3_server_takes_the_place_of_minio_by_one_variable() {
    let endpoint = "https://127.0.0.1:1";
    let project = project_with(&[("S3_ENDPOINT", endpoint)]);
    let speaks: Vec<(&String, &Value)> =
        services(&project).iter().filter(|(name, _)| !SERVERS.contains(&name.as_str())).collect();
    assert_eq!(speaks.len(), 14);
    for (name, service) in &speaks {
        assert_eq!(service["environment"]["AWS_ENDPOINT_URL"], endpoint, "{name}");
        assert!(!service["environment"].to_string().contains("minio:9000"), "{name}");
    }
    // Also with TLS: the connection fails, but the settings are accepted.
    let site = site();
    let mut status = container(&services(&project)["status"]);
    status.env.insert("RECSYS_PIPELINES__STORAGE__RETRY_TIMEOUT_S".to_owned(), "0".to_owned());
    // Hide the warning about the checkpoints, which are in the same bucket.
    status.env.insert("RUST_LOG".to_owned(), "error".to_owned());
    site.run(&status).fails(1, &[endpoint, "cannot be reached"]);
}

/// Showing the status must not run a day, which would publish again after a rollback.
#[test]
fn the_command_of_the_operator_starts_nothing_else() {
    let cli = &project()["services"]["cli"];
    assert!(cli.get("depends_on").is_none(), "{cli}");
    assert_eq!(strings(&cli["profiles"]), ["cli"]);
    assert_eq!(strings(&cli["entrypoint"]), ["recsys-pipelines"]);
}

#[test]
fn every_binary_is_a_service() {
    let project = project();
    let commands: Vec<String> = services(&project)
        .values()
        .filter(|service| is_job(service))
        .map(|service| container(service).command[0].clone())
        .collect();
    for binary in recsys_testkit::sandbox::BINARIES {
        assert!(commands.iter().any(|command| command == binary), "{binary}");
    }
}

/// Many orders work by chance, so check the declared dependencies, too.
#[test]
fn each_service_waits_for_what_it_needs() {
    let project = project();
    let builders = "content-sim cooc implicit popularity session-seq";
    let chain = [
        ("buckets", "minio"),
        ("tables", "postgres"),
        ("ingest", "buckets"),
        ("validate", "ingest"),
        ("popularity", "validate"),
        ("cooc", "validate"),
        ("implicit", "validate"),
        ("session-seq", "validate"),
        ("content-sim", "validate"),
        ("publish", builders),
        ("db-signals", "publish tables"),
        ("catalog", "buckets tables"),
        ("status", "catalog db-signals"),
    ];
    let services = services(&project);
    // Plus the service for operator's commands, which waits for nothing.
    assert_eq!(services.len(), chain.len() + SERVERS.len() + 1);
    for (name, after) in chain {
        let names: Vec<&str> =
            services[name]["depends_on"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.join(" "), after, "{name}");
    }
}
