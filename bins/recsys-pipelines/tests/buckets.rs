//! The pipeline with all its data in a bucket and nothing on disk.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;

use recsys_core::artifact::Kind;
use recsys_testkit::reader::read_published;
use recsys_testkit::remote::Remote;
use recsys_testkit::sandbox::{BINARIES, Finished, Sandbox, bytes};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

const DAYS: &str = "--start 2026-01-01 --end 2026-01-03";

fn versions(current: &BTreeMap<Kind, String>) -> BTreeMap<Kind, String> {
    current.iter().map(|(kind, uri)| (*kind, uri.rsplit('/').next().unwrap().to_owned())).collect()
}

/// The same days on disk: all files written, and the current artifacts.
fn on_disk() -> (BTreeMap<String, Vec<u8>>, BTreeMap<Kind, String>) {
    let sandbox = Sandbox::shop();
    sandbox.copy("testdata/catalog/shop.csv", "shop.csv");
    sandbox.configure(&json!({"catalog": {"path": "shop.csv"}, "artifact_kinds": Kind::ALL}));
    sandbox.run_pinned("recsys-pipelines", &format!("run {SCOPE} {DAYS}"));
    let files = sandbox.snapshot("out");
    let files = bytes(&files).into_iter().map(|(name, bytes)| (format!("out/{name}"), bytes.to_vec()));
    let current = read_published(&sandbox.join("out/registry/current/demo/home/manifest.json")).unwrap();
    (files.collect(), versions(&current))
}

/// The objects that contain no location, which are equal byte for byte.
fn portable(objects: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&String, &Vec<u8>> {
    objects.iter().filter(|(name, _)| !name.starts_with("out/registry/")).collect()
}

fn run(remote: &Remote, binary: &str, line: &str) -> Finished {
    let mut command = remote.command(binary);
    command
        .env("SOURCE_DATE_EPOCH", "1767400000")
        .env("RECSYS_RUN_ID", "pinned")
        .args(line.split_whitespace());
    let finished = Finished::from(command.output().unwrap());
    finished.ok();
    let left = std::fs::read_dir(remote.sandbox.path()).unwrap().count();
    assert_eq!(left, 1, "something besides the configuration is on the disk");
    finished
}

#[test]
fn run_and_the_chain_of_jobs_need_no_disk_and_give_what_they_give_on_one() {
    let (files, current) = on_disk();
    let one = Remote::new();
    run(&one, "recsys-pipelines", &format!("run {SCOPE} {DAYS}"));
    assert_eq!(versions(&one.published().unwrap()), current);
    let objects = one.objects("out");
    assert_eq!(portable(&objects), portable(&files));
    assert_eq!(objects.len(), files.len(), "{:?}", objects.keys());

    run(&one, "recsys-pipelines", &format!("run {SCOPE} {DAYS}"));
    assert_eq!(one.objects("out"), objects, "a second run changes nothing");
    let up_to_date = run(&one, "recsys-pipelines", &format!("run {SCOPE} --incremental --end 2026-01-03"));
    assert!(up_to_date.stdout.contains("nothing to do"), "{up_to_date:?}");

    let chain = Remote::new();
    for job in &BINARIES[1..9] {
        run(&chain, job, &format!("{SCOPE} {DAYS}"));
    }
    assert_eq!(versions(&chain.published().unwrap()), current);
    let chained = chain.objects("out");
    let without_checkpoint: BTreeMap<_, _> =
        portable(&files).into_iter().filter(|(name, _)| !name.contains("/checkpoints/")).collect();
    assert_eq!(portable(&chained), without_checkpoint);
}

/// Raw events and quarantine in the bucket work as on disk.
#[test]
fn bad_lines_are_set_aside_in_a_bucket() {
    let mut remote = Remote::new();
    remote.config["validation"] = json!({"max_invalid_ratio": 0.1});
    remote.write_config();
    let raw = remote.key("raw/demo/home/exposure.2026-01-01.jsonl");
    let good = remote.s3.get(&raw).unwrap();
    remote.s3.put(&raw, [b"\xff\n", good.as_slice()].concat());
    let ingest = || run(&remote, "job_ingest", &format!("{SCOPE} --start 2026-01-01"));
    let name = "out/canonical/demo/home/quarantine/2026-01-01.jsonl";
    let summary = format!("  quarantine   s3://{}/{}: 1 lines", remote.s3.bucket, remote.key(name));
    assert!(ingest().stdout.contains(&summary));
    let line = concat!(
        r#"{"file":"demo/home/exposure.2026-01-01.jsonl","line":1,"column":1,"byte_offset":0,"#,
        r#""reason":"the line is not UTF-8","base64":"/w=="}"#
    );
    let objects = remote.objects("out");
    assert_eq!(objects[name], format!("{line}\n").into_bytes());
    ingest();
    assert_eq!(remote.objects("out"), objects);
    remote.s3.put(&raw, good);
    ingest();
    let mut expected = objects;
    expected.remove(name);
    assert_eq!(remote.objects("out"), expected);
}

#[test]
fn the_operators_commands_work_on_a_bucket() {
    let remote = Remote::new();
    run(&remote, "recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"));
    let first = remote.published().unwrap();
    run(&remote, "recsys-pipelines", &format!("run {SCOPE} --start 2026-01-02"));
    let second = remote.published().unwrap();
    assert_ne!(first, second);
    let before = remote.objects("out");

    let status = run(&remote, "recsys-pipelines", "status --config config.json --json");
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["manifests"][0]["kinds"].as_array().unwrap().len(), 5);
    let verified = run(&remote, "recsys-pipelines", "verify --config config.json");
    assert_eq!(verified.stdout.matches("intact").count(), 5);
    run(&remote, "recsys-pipelines", &format!("diff {SCOPE}"));
    run(&remote, "recsys-pipelines", &format!("rollback {SCOPE} --dry-run"));
    assert_eq!(remote.objects("out"), before);

    run(&remote, "recsys-pipelines", &format!("rollback {SCOPE}"));
    assert_eq!(remote.published().unwrap(), first);
    run(&remote, "recsys-pipelines", &format!("rollback {SCOPE}"));
    assert_eq!(remote.published().unwrap(), second);
    let after = remote.objects("out");
    let added: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert!(added.iter().all(|name| name.contains("/registry/history/")), "{added:?}");
    assert_eq!(added.len(), 2, "two entries of the history are all that two rollbacks add");
    let history = run(&remote, "recsys-pipelines", &format!("history {SCOPE} --json"));
    let history: Value = serde_json::from_str(&history.stdout).unwrap();
    let reasons: Vec<&str> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["rollback", "rollback", "publish", "publish"]);

    let blob = second[&Kind::Cooc].clone();
    let key = blob.strip_prefix(&format!("s3://{}/", remote.s3.bucket)).unwrap();
    remote.s3.put(key, "{}");
    remote.run("recsys-pipelines", "verify --config config.json").fails(3, &[&blob, "damaged"]);
}

#[test]
fn sections_of_the_configuration_name_buckets() {
    let mut remote = Remote::new();
    let section = |folder: &str| {
        json!({"type": "minio", "s3": {
            "endpoint": remote.s3.endpoint.trim_start_matches("http://"), "use_ssl": false, "region": "us-east-1",
            "bucket": remote.s3.bucket, "prefix": format!("/{}/{folder}/", remote.prefix),
            "access_key": remote.s3.access_key, "secret_key": remote.s3.secret_key,
        }})
    };
    let (raw, objects) = (section("raw"), section("out/objects"));
    remote.config["raw_source"] = raw;
    remote.config["object_store"] = objects;
    remote.config.as_object_mut().unwrap().remove("raw_events_dir");
    remote.write_config();
    let finished = |mut command: std::process::Command, line: &str| {
        Finished::from(command.args(line.split_whitespace()).output().unwrap())
    };
    // Only the config file names the server.
    let line = format!("run {SCOPE} --start 2026-01-01");
    finished(remote.sandbox.command("recsys-pipelines"), &line).ok();
    let published = remote.published().unwrap();
    assert_eq!(published.len(), 5);
    assert!(published[&Kind::Cooc].contains(&remote.key("out/objects/demo/home/cooc/")), "{published:?}");

    // Two sections for the same bucket, each with its own endpoint and keys.
    remote.config["object_store"]["s3"]["endpoint"] = json!("127.0.0.1:1");
    remote.config["storage"] = json!({"retry_timeout_s": 0});
    remote.write_config();
    finished(remote.sandbox.command("recsys-pipelines"), &format!("run {SCOPE} --start 2026-01-02"))
        .fails(1, &["127.0.0.1:1", "refused"]);

    // Only the environment names the server, in the way of Amazon's own tools.
    let remote = Remote::new();
    let amazon = |allow_http: bool| {
        let mut command = remote.sandbox.command("recsys-pipelines");
        command.env("AWS_ENDPOINT_URL", &remote.s3.endpoint).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", &remote.s3.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", &remote.s3.secret_key);
        if allow_http {
            command.env("AWS_ALLOW_HTTP", "true");
        }
        command
    };
    finished(amazon(false), &line).fails(2, &["plain HTTP", "use_ssl"]);
    assert_eq!(remote.published(), None);
    let mut command = amazon(true);
    // Variables that would override settings and URLs are ignored.
    command.env("AWS_BUCKET", "elsewhere").env("AWS_BUCKET_NAME", "elsewhere").env("AWS_TIMEOUT", "0s");
    command.env("AWS_CONDITIONAL_PUT", "disabled");
    finished(command, &line).ok();
    assert_eq!(remote.published().unwrap().len(), 5);
    // An endpoint in the settings takes precedence over those in the environment.
    let mut command = remote.command("recsys-pipelines");
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1");
    command.env("AWS_ENDPOINT", "http://127.0.0.1:1");
    finished(command, "verify --config config.json").ok();
    // The S3-specific endpoint follows the same rules.
    let mut command = amazon(false);
    command.env_remove("AWS_ENDPOINT_URL").env("AWS_ENDPOINT_URL_S3", &remote.s3.endpoint);
    finished(command, "verify --config config.json").fails(2, &["plain HTTP"]);
}

#[test]
fn folders_and_names_may_hold_what_means_something_in_a_url() {
    let mut remote = Remote::new();
    let odd = "a%20b #c?d@e é";
    let csv = remote.s3.get(&remote.key("shop.csv")).unwrap();
    remote.s3.put(&remote.key("cat é/100%.csv"), csv);
    let root = format!("s3://{}/{}", remote.s3.bucket, remote.prefix);
    remote.config["catalog"]["path"] = json!(format!("{root}/cat é/100%.csv"));
    remote.config["object_store"] = json!({"type": "s3", "s3": {
        "endpoint": remote.s3.endpoint, "use_ssl": false, "bucket": remote.s3.bucket,
        "prefix": format!("{}/out/{odd}", remote.prefix),
        "access_key": remote.s3.access_key, "secret_key": remote.s3.secret_key,
    }});
    remote.write_config();
    run(&remote, "recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"));
    let current = remote.published().unwrap();
    assert!(current[&Kind::Cooc].starts_with(&format!("{root}/out/{odd}/demo/home/cooc/")), "{current:?}");
    run(&remote, "recsys-pipelines", "verify --config config.json");
}

/// A percent sign stands for itself in every setting and flag, as in the URIs of a manifest.
#[test]
fn a_percent_sign_is_one_and_dots_lead_nowhere() {
    let mut remote = Remote::new();
    let day = "demo/home/exposure.2026-01-01.jsonl";
    let raw = remote.s3.get(&remote.key(&format!("raw/{day}"))).unwrap();
    let root = format!("s3://{}/{}", remote.s3.bucket, remote.prefix);
    for folder in ["raw%20x", "dt=2026-01-01%2000%3A00", "a/%2e%2e/c", "o%2Fb"] {
        remote.s3.put(&remote.key(&format!("{folder}/{day}")), &raw);
        remote.config["raw_events_dir"] = json!(format!("{root}/{folder}"));
        remote.config["out_dir"] = json!(format!("{root}/{folder}/out"));
        remote.write_config();
        let finished = run(&remote, "recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"));
        let manifest = format!("{root}/{folder}/out/registry/current/demo/home/manifest.json");
        assert!(finished.stdout.contains(&manifest), "{finished:?}");
        assert!(remote.objects(folder).keys().any(|key| key.ends_with("/out/checkpoints/demo/home.json")));
    }
    for folder in ["raw x", "dt=2026-01-01 00:00", "c", "o/b"] {
        assert!(remote.objects(folder).is_empty(), "{folder}");
    }
    remote.s3.put(&remote.key("my%20cat.csv"), "item_id,tags\nA,x\n");
    let line = format!("{SCOPE} --start 2026-01-01 --input {root}/my%20cat.csv");
    run(&remote, "job_content_sim", &line);
    for folder in ["a/../c", "a/./c", "a//c"] {
        remote.config["out_dir"] = json!(format!("{root}/{folder}"));
        remote.write_config();
        let finished = remote.run("recsys-pipelines", "config check --config config.json");
        finished.fails(2, &["out_dir", "an empty part or dots"]);
    }
}

#[test]
fn an_object_with_a_key_that_cannot_be_listed_is_named() {
    let remote = Remote::new();
    run(&remote, "recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"));
    let strange = remote.key("out/registry/history/demo/home//x");
    let script = "import boto3, os, sys; env = os.environ; boto3.client('s3', endpoint_url=env['E'], \
                  aws_access_key_id=env['A'], aws_secret_access_key=env['S'], region_name='us-east-1')\
                  .put_object(Bucket=env['B'], Key=env['K'], Body=b'')";
    let python = recsys_testkit::golden::repository().join("target/s3-venv/bin/python");
    let put = std::process::Command::new(python)
        .args(["-c", script])
        .envs([("E", &remote.s3.endpoint), ("A", &remote.s3.access_key), ("S", &remote.s3.secret_key)])
        .envs([("B", &remote.s3.bucket), ("K", &strange)])
        .status();
    assert!(put.unwrap().success());
    let finished = remote.run("recsys-pipelines", &format!("history {SCOPE}"));
    finished.fails(2, &["history/demo/home", "cannot be listed", "history/demo/home//x", "remove it"]);
}

#[test]
fn last_write_wins_warns_on_every_swap() {
    let mut remote = Remote::new();
    remote.config["registry"] = json!({"concurrency": "last-write-wins"});
    remote.write_config();
    let warned = |line: &str| {
        let finished = remote.run("recsys-pipelines", line);
        finished.ok().stderr.matches("last-write-wins").count()
    };
    assert_eq!(warned(&format!("run {SCOPE} --start 2026-01-01 --end 2026-01-02")), 2);
    assert_eq!(warned(&format!("rollback {SCOPE}")), 1);
    assert_eq!(warned("verify --config config.json"), 0);
    assert_eq!(remote.published().unwrap().len(), 5);
}

#[test]
fn memory_is_a_root_too() {
    let sandbox = Sandbox::new();
    sandbox.copy("testdata/events/tiny", "raw");
    let config = json!({"out_dir": "memory://test/out", "raw_events_dir": "raw"});
    sandbox.write("config.json", config.to_string());
    let finished = sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01 --json"));
    let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
    let manifest = "memory://test/out/registry/current/demo/home/manifest.json";
    assert_eq!(document["days"][0]["published"]["manifest"], manifest);
    assert_eq!(std::fs::read_dir(sandbox.path()).unwrap().count(), 2);
}

#[test]
fn the_url_of_a_file_is_its_path_as_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.copy("testdata/events/tiny", "raw %20 é");
    sandbox.copy("testdata/catalog/shop.csv", "shop.csv");
    let url = |name: &str| format!("file://{}", sandbox.join(name).display());
    let config = json!({
        "out_dir": url("out %20"), "raw_source": {"dir": url("raw %20 é")},
        "artifact_kinds": ["popularity", "content_sim"], "catalog": {"path": url("shop.csv")},
    });
    sandbox.write("config.json", config.to_string());
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
    let current = read_published(&sandbox.join("out %20/registry/current/demo/home/manifest.json")).unwrap();
    assert!(current[&Kind::Popularity].starts_with(&url("out %20/objects/demo/home/popularity/")));
    sandbox.run("recsys-pipelines", "verify --config config.json").ok();
    sandbox.write("config.json", json!({"out_dir": "file://relative/out"}).to_string());
    sandbox.run("recsys-pipelines", "config check --config config.json").fails(2, &["file://relative/out"]);
}

/// No such servers run here; only problems found without a request are reported.
#[test]
fn buckets_of_other_services_are_known() {
    let sandbox = Sandbox::new();
    let check = |root: &str, environment: &[(&str, &str)]| {
        sandbox.write("config.json", json!({"registry_dir": root}).to_string());
        let mut command = sandbox.command("recsys-pipelines");
        command.envs(environment.iter().copied()).args(["config", "check", "--config", "config.json"]);
        Finished::from(command.output().unwrap())
    };
    check("gs://bucket/folder", &[]).ok();
    check("az://container/folder", &[("AZURE_STORAGE_ACCOUNT_NAME", "account")]).ok();
    check("az://container/folder", &[]).fails(2, &["registry_dir", "az://container", "Account"]);
    check("https://account.blob.core.windows.net/container", &[]).fails(2, &["registry_dir", "az://"]);
    check("S3://bucket", &[]).fails(2, &["registry_dir", "\"S3\""]);
}
