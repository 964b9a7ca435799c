//! Mistakes of users, inputs and machines: the right exit code, one clear line, and the previous manifest still current
//! with blobs that verify.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::input::source::EventSource;
use recsys_job::config::{Config, ConfigError, Input, Linked};
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::{MANIFEST, SCOPE};
use serde_json::{Value, json};

const DAY: &str = "--start 2026-01-02";
const RAW: &str = "raw/demo/home/exposure.2026-01-02.jsonl";

/// A pipeline that has published the first day of the shop; the second is next.
struct Shop {
    sandbox: Sandbox,
    config: Value,
    manifest: Vec<u8>,
}

impl Shop {
    fn new() -> Self {
        let sandbox = Sandbox::shop();
        sandbox.copy("testdata/catalog/shop.csv", "shop.csv");
        let config = json!({
            "out_dir": "out",
            "raw_events_dir": "raw",
            "artifact_kinds": ["popularity", "cooc", "implicit", "content_sim", "session_seq"],
            "catalog": {"path": "shop.csv"},
        });
        sandbox.write("config.json", config.to_string());
        sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
        let manifest = fs::read(sandbox.join(MANIFEST)).unwrap();
        Self { sandbox, config, manifest }
    }

    /// Edits the lines of the second day.
    fn raw(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let text = fs::read(self.sandbox.join(RAW)).unwrap();
        let mut lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        change(&mut lines);
        self.sandbox.write(RAW, lines.join(&b'\n'));
    }

    /// Replaces `from` in the third line of the second day.
    fn third_line(&self, from: &str, to: &str) {
        self.raw(|lines| {
            let line = String::from_utf8(lines[2].clone()).unwrap();
            assert!(line.contains(from), "{from} is not in {line}");
            lines[2] = line.replacen(from, to, 1).into_bytes();
        });
    }

    fn configure(&self, pointer: &str, value: Value) {
        let mut config = self.config.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        if !parent.is_empty() && config.pointer(parent).is_none() {
            config[&parent[1..]] = json!({});
        }
        config.pointer_mut(parent).unwrap()[key] = value;
        self.sandbox.write("config.json", config.to_string());
    }

    /// Current version of a kind.
    fn manifest_version(&self, kind: &str) -> String {
        let manifest: Value = serde_json::from_slice(&self.manifest).unwrap();
        let uri = manifest["current"][kind].as_str().unwrap();
        uri.rsplit('/').next().unwrap().trim_end_matches(".json").to_owned()
    }

    #[track_caller]
    fn refuses(&self, code: i32, parts: &[&str]) {
        self.check(&self.sandbox.run("recsys-pipelines", &format!("run {SCOPE} {DAY}")), code, parts);
    }

    #[track_caller]
    fn check(&self, finished: &Finished, code: i32, parts: &[&str]) {
        finished.fails(code, parts);
        assert!(!finished.stderr.contains("hunter2") && !finished.stderr.contains("4711"), "{finished:?}");
        assert_eq!(fs::read(self.sandbox.join(MANIFEST)).unwrap(), self.manifest, "the manifest has changed");
        assert_eq!(read_published(&self.sandbox.join(MANIFEST)).unwrap().len(), 5);
    }
}

#[test]
fn flags() {
    let shop = Shop::new();
    let run = |line: &str| shop.sandbox.run("recsys-pipelines", line);
    let check = |line: &str, parts: &[&str]| shop.check(&run(line), 2, parts);
    check(&format!("run {SCOPE} --start 2026-02-30"), &["2026-02-30", "YYYY-MM-DD"]);
    check(&format!("run {SCOPE} --start tomorrow"), &["tomorrow", "YYYY-MM-DD"]);
    check(
        &format!("run {SCOPE} --start 2026-01-02 --end 2026-01-01"),
        &["--end 2026-01-01 is before --start 2026-01-02"],
    );
    check(&format!("run {SCOPE}"), &["--start", "not provided"]);
    check(&format!("run {SCOPE} {DAY} --window-days 0"), &["--window-days", "0"]);
    check(&format!("run {SCOPE} {DAY} --segment _all"), &["_all", "reserved"]);
    check(&format!("run {SCOPE} {DAY} --windw-days 2"), &["--windw-days", "--window-days"]);
    for tenant in ["../x", "a/b", ".", "..", ""] {
        let mut command = shop.sandbox.command("recsys-pipelines");
        command.args(["run", "--config", "config.json", "--surface", "home", "--start", "2026-01-02"]);
        let finished = command.arg(format!("--tenant={tenant}")).output().unwrap().into();
        shop.check(&finished, 2, &["--tenant"]);
    }
    for id in ["a\nb", "a\u{7f}", "\u{85}b\tc"] {
        let mut command = shop.sandbox.command("job_ingest");
        command.args([
            "--config",
            "config.json",
            "--tenant",
            "demo",
            "--surface",
            id,
            "--start",
            "2026-01-02",
        ]);
        shop.check(&command.output().unwrap().into(), 2, &["surface"]);
    }
    shop.check(
        &run(&format!("run {SCOPE} --start 2026-01-01 --end 2027-01-01")),
        4,
        &["max_days_backfill", "366", "365"],
    );
}

#[test]
fn configuration() {
    let shop = Shop::new();
    let run = |line: &str| shop.sandbox.run("recsys-pipelines", line);
    let missing = "run --config nowhere.json --tenant demo --surface home --start 2026-01-02";
    shop.check(&run(missing), 2, &["nowhere.json", "No such file"]);
    shop.configure("/limit", json!({}));
    shop.refuses(2, &["config.json", "`limit`", "did you mean `limits`?"]);
    shop.configure("/limits/max_event_per_run", json!(1));
    shop.refuses(2, &["`limits.max_event_per_run`", "did you mean `max_events_per_run`?"]);
    shop.configure("/artifact_kinds", json!(["cooc", "populrity"]));
    shop.refuses(2, &["artifact_kinds", "`populrity`", "did you mean `popularity`?"]);
    shop.configure("/artifact_kinds", json!(["cooc", "cooc"]));
    shop.refuses(2, &["artifact_kinds", "twice"]);
    shop.configure("/window_days/cooc", json!(0));
    shop.refuses(2, &["window_days.cooc is 0; it must be a whole number of 1 or more"]);
    // What a program is linked with decides which types and sections there are.
    for (raw_source, says) in [
        (json!({"type": "postgre"}), "raw_source.type: unknown value `postgre`; did you mean `postgres`?"),
        (json!({"type": "parquet"}), "unknown value `parquet`; expected one of fs, s3, minio, postgres"),
        (json!({"type": 1}), "raw_source.type is 1; it must be a string"),
        (json!({"dri": "raw"}), "config.json: unknown key `raw_source.dri`; did you mean `dir`?"),
        (json!({"parquet": {}}), "`raw_source.parquet`; expected one of type, dir, s3, postgres"),
        (json!({"postgres": {"dns": "x"}}), "`raw_source.postgres.dns`; did you mean `dsn`?"),
    ] {
        shop.configure("/raw_source", raw_source);
        shop.refuses(2, &[says]);
    }
    shop.configure("/registry/concurrency", json!("none"));
    shop.refuses(2, &["registry.concurrency", "compare-and-swap", "last-write-wins"]);
    for gate in ["max_artifact_change", "max_volume_spike"] {
        shop.configure(&format!("/validation/{gate}"), json!(50));
        shop.refuses(2, &[gate, "to 51 times what it was", "50 % is 0.5"]);
    }
    shop.configure("/storage/timeout_s", json!(0));
    shop.refuses(2, &["storage.timeout_s"]);
    shop.configure("/limits", json!([1, 2]));
    shop.refuses(2, &["limits must be a section"]);
    shop.configure("/limits/max_users_per_run", json!("many"));
    shop.refuses(2, &["limits.max_users_per_run", "\"many\"", "it must be a whole number of 0 or more"]);
    shop.sandbox.write("config.json", "{\"out_dir\": \"out\",\n \"raw_events_dir\"");
    shop.refuses(2, &["config.json", "line 2"]);
    shop.sandbox.write("config.toml", "[object_store.s3]\nsecret_key = hunter2\n");
    let toml = "run --config config.toml --tenant demo --surface home --start 2026-01-02";
    shop.check(&run(toml), 2, &["config.toml", "line 2"]);
    shop.sandbox.write("config.ini", "");
    let ini = "run --config config.ini --tenant demo --surface home --start 2026-01-02";
    shop.check(&run(ini), 2, &["config.ini", ".json, .yaml, .yml or .toml"]);
    shop.configure("/raw_events_dir", json!("nowhere"));
    shop.refuses(2, &["nowhere", "does not exist", "raw_events_dir"]);
    shop.configure("/catalog/path", json!("nowhere.csv"));
    shop.refuses(2, &["nowhere.csv", "does not exist"]);

    let environment = |name: &str, value: &str, parts: &[&str]| {
        shop.sandbox.write("config.json", shop.config.to_string());
        let mut command = shop.sandbox.command("recsys-pipelines");
        command.env(name, value).args(format!("run {SCOPE} {DAY}").split_whitespace());
        shop.check(&command.output().unwrap().into(), 2, parts);
    };
    environment(
        "RECSYS_PIPELINES__LIMITS__MAX_EVENT",
        "1",
        &["RECSYS_PIPELINES__LIMITS__MAX_EVENT:", "`limits.max_event`"],
    );
    environment(
        "RECSYS_PIPELINES__OUTDIR",
        "x",
        &["RECSYS_PIPELINES__OUTDIR:", "did you mean RECSYS_PIPELINES__OUT_DIR?"],
    );
    let mut twice = shop.sandbox.command("recsys-pipelines");
    twice.env("RECSYS_PIPELINES__OUT_DIR", "out").env("recsys_pipelines__out_dir", "x");
    let twice = twice.args(format!("run {SCOPE} {DAY}").split_whitespace()).output().unwrap().into();
    shop.check(&twice, 2, &["RECSYS_PIPELINES__OUT_DIR", "the same setting", "keep one of them"]);
    environment("RECSYS_PIPELINES__LIMITS____MAX", "1", &["RECSYS_PIPELINES__LIMITS____MAX", "missing"]);
    environment("SOURCE_DATE_EPOCH", "yesterday", &["SOURCE_DATE_EPOCH", "yesterday"]);
    environment("RUST_LOG", "=,=", &["RUST_LOG"]);
}

/// An input with a name, and nothing to read.
#[derive(Debug)]
struct Named(&'static str);

impl Input for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn check(&self, _: &Config) -> Result<(), ConfigError> {
        Ok(())
    }

    fn open(&self, _: &Config, _: &Scope, _: Day) -> anyhow::Result<Box<dyn EventSource>> {
        anyhow::bail!("there is nothing to read")
    }
}

#[test]
fn an_input_has_a_type_and_a_section_where_it_is_linked() {
    let sandbox = Sandbox::new();
    let source = json!({"type": "parquet", "parquet": {"item": "sku"}});
    sandbox.write("config.json", json!({"raw_source": source}).to_string());
    let load = |linked| Config::load(Some(&sandbox.join("config.json")), linked);
    let config = load(Linked { database: None, inputs: &[&Named("csv"), &Named("parquet")] }).unwrap();
    assert_eq!(config.raw_source.r#type, "parquet");
    assert_eq!(config.raw_source.sections["parquet"]["item"], "sku");
    let error = load(Linked { database: None, inputs: &[&Named("csv")] }).unwrap_err();
    assert!(
        error.to_string().contains("unknown value `parquet`; expected one of fs, s3, minio, csv"),
        "{error}"
    );
}

#[test]
fn models() {
    let shop = Shop::new();
    shop.configure("/models", json!({"cooc": {"scorer": "bm25"}}));
    shop.refuses(2, &["config.json", "models.cooc.scorer", "`bm25`", "count, cosine,", "session_ridge"]);
    shop.configure("/models", json!({"implicit": {"scorer": "local_rigde"}}));
    shop.refuses(2, &["models.implicit.scorer", "did you mean `local_ridge`?"]);
    shop.configure("/models", json!({"cooc": {"scorer": "cosine", "delta": 2}}));
    let rules = "models.cooc.delta is a setting of sequential_rules and session_ridge; the scorer is cosine";
    shop.refuses(2, &["config.json", rules]);
    shop.configure("/models", json!({"cooc": {"scorer": "cosine", "exclude_seen": false}}));
    shop.refuses(2, &["models.cooc.exclude_seen is a setting of implicit"]);
    shop.configure("/models", json!({"session_seq": {"max_neighbors": 20}}));
    shop.refuses(2, &["models.session_seq.max_neighbors has no effect with the scorer count"]);
    shop.configure("/models", json!({"implicit": {"scorer": "local_ridge", "dropout": 1}}));
    shop.refuses(2, &["config.json", "models.implicit.dropout is 1", "below 1"]);
    shop.configure("/models", json!({"implicit": {"scorer": "cosine", "basis": {"events": []}}}));
    shop.refuses(2, &["models.implicit.basis.events is empty", "exposure, click and conversion"]);
    shop.configure("/models", json!({"implicit": {"scorer": "cosine", "basis": {"events": ["view"]}}}));
    shop.refuses(2, &["models.implicit.basis.events", "`view`"]);
    shop.configure("/models", json!({"content_sim": {"scorer": "cosine"}}));
    shop.refuses(2, &["unknown key `models.content_sim`"]);
    let mut config = shop.config.clone();
    config["models"] = json!({"implicit": {"scorer": "cosine", "filters": {"available_only": true}}});
    config["catalog"] = json!({});
    config["artifact_kinds"] = json!(["implicit"]);
    shop.sandbox.write("config.json", config.to_string());
    shop.refuses(2, &["config.json", "models.implicit.filters", "catalog.path is missing"]);
}

/// Settings of models from the environment: text, numbers and lists.
#[test]
fn models_from_the_environment() {
    let shop = Shop::new();
    let with = |variables: &[(&str, &str)], line: &str| -> Finished {
        let mut command = shop.sandbox.command("recsys-pipelines");
        for (name, value) in variables {
            command.env(format!("RECSYS_PIPELINES__MODELS__IMPLICIT__{name}"), value);
        }
        command.args(line.split_whitespace()).output().unwrap().into()
    };
    let good = [
        ("SCORER", "local_ridge"),
        ("RIDGE", "50"),
        ("BASIS__EVENTS", "[\"click\",\"conversion\"]"),
        ("FILTERS__TAGS_NONE", "[\"18+\"]"),
        ("EXCLUDE_SEEN", "false"),
    ];
    let shown = with(&good, "config show --json --config config.json");
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let value = |setting: &str| &shown[format!("models.implicit.{setting}")]["value"];
    assert_eq!(value("scorer"), "local_ridge");
    assert_eq!(value("ridge"), 50.0);
    assert_eq!(*value("basis.events"), json!(["click", "conversion"]));
    assert_eq!(*value("filters.tags_none"), json!(["18+"]));
    assert_eq!(*value("exclude_seen"), json!(false));
    assert!(shown.get("models.implicit.shrink").is_none(), "a setting of another scorer");
    let origin = &shown["models.implicit.ridge"]["origin"];
    assert_eq!(origin, "environment variable RECSYS_PIPELINES__MODELS__IMPLICIT__RIDGE");
    for (variable, value, part) in [
        ("RIDGE", "0", "models.implicit.ridge is 0; it must be a number above 0"),
        ("BASIS__EVENTS", "[]", "models.implicit.basis.events is empty"),
        ("DELTA", "1", "models.implicit.delta is a setting of"),
    ] {
        let refused = with(&[("SCORER", "local_ridge"), (variable, value)], &format!("run {SCOPE} {DAY}"));
        let origin = format!("environment variable RECSYS_PIPELINES__MODELS__IMPLICIT__{variable}: ");
        shop.check(&refused, 2, &[&origin, part]);
    }
}

#[test]
fn configured_roots() {
    let shop = Shop::new();
    shop.configure("/registry_dir", json!(" "));
    shop.refuses(2, &["registry_dir", "empty"]);
    shop.configure("/canonical_dir", json!("ftp://server/canonical"));
    shop.refuses(2, &["canonical_dir", "\"ftp\"", "s3://"]);
    shop.configure("/canonical_dir", json!("s3:/bucket/canonical"));
    shop.refuses(2, &["canonical_dir", "\"s3\"", "s3://"]);
    shop.configure("/canonical_dir", json!("file://canonical"));
    shop.refuses(2, &["canonical_dir", "file:///"]);
    shop.configure("/canonical_dir", json!("s3://bucket/a/../b"));
    shop.refuses(2, &["canonical_dir", "dots"]);
    shop.configure("/canonical_dir", json!("s3:///canonical"));
    shop.refuses(2, &["canonical_dir", "names no bucket"]);
    shop.configure("/canonical_dir", json!("s3://key:hunter2@bucket/canonical"));
    shop.refuses(2, &["canonical_dir", "more than bucket and folder"]);
    shop.configure("/canonical_dir", json!("s3://bucket/canonical?x=hunter2"));
    shop.refuses(2, &["canonical_dir", "more than bucket and folder"]);
    // Unused settings are checked, too.
    shop.configure("/object_store_dir", json!("s3://key:hunter2@bucket/x"));
    shop.refuses(2, &["object_store_dir", "more than bucket and folder"]);
    shop.configure("/catalog/path", json!("s3://bucket/shop.csv?signature=hunter2"));
    shop.refuses(2, &["catalog.path", "more than bucket and folder"]);
    shop.configure("/catalog/path", json!("https://server/shop.csv?signature=hunter2"));
    shop.refuses(2, &["catalog.path", "\"https\""]);
    shop.configure("/raw_source", json!({"s3": {"endpoint": "https://joe:hunter2@server"}}));
    shop.refuses(2, &["raw_source.s3", "user or password"]);
    for endpoint in ["", " https://server", "https://ser ver", "https://server?x=1", "server:9000/#x"] {
        shop.configure("/object_store", json!({"s3": {"endpoint": endpoint}}));
        shop.refuses(2, &["object_store.s3", "endpoint"]);
    }
    let key = json!({"bucket": "b", "access_key": "a\n", "secret_key": "hunter2"});
    shop.configure("/object_store", json!({"type": "s3", "s3": key}));
    shop.refuses(2, &["object_store", "line ends"]);
    shop.configure("/object_store", json!({"type": "s3", "s3": {"bucket": "b", "prefix": "../up"}}));
    shop.refuses(2, &["object_store", "dots"]);
    shop.configure("/object_store", json!({"type": "s3"}));
    shop.refuses(2, &["object_store.s3.bucket", "missing"]);
    let s3 = |settings: Value| json!({"type": "minio", "s3": settings});
    shop.configure("/object_store", s3(json!({"bucket": "b", "endpoint": "http://localhost:1"})));
    shop.refuses(2, &["object_store", "plain HTTP", "use_ssl"]);
    shop.configure(
        "/object_store",
        s3(json!({"bucket": "b", "endpoint": "https://localhost:1", "use_ssl": false})),
    );
    shop.refuses(2, &["object_store", "https://", "use_ssl"]);
    shop.configure("/object_store", s3(json!({"bucket": "b", "endpoint": "https://a:hunter2@localhost:1"})));
    shop.refuses(2, &["object_store", "user or password"]);
    shop.configure("/object_store", s3(json!({"bucket": "b", "access_key": "a"})));
    shop.refuses(2, &["object_store", "secret_key"]);
    shop.configure("/object_store", s3(json!({"bucket": "b", "secret_key": 4711})));
    shop.refuses(2, &["object_store.s3.secret_key", "text in quotes"]);
    shop.configure("/object_store", s3(json!("hunter2")));
    shop.refuses(2, &["object_store.s3 must be a section"]);
}

#[test]
fn raw_lines() {
    // A change to the third line, and the expected parts of the error.
    let cases: &[(&str, &str, &[&str])] = &[
        ("\"rank\"", "rank\"", &[":3:"]),
        ("}", "", &[":3:", "EOF"]),
        ("\"v\":1", "\"v\":2", &["`v` is 2"]),
        ("\"v\":1,", "", &["`v` is missing"]),
        ("\"v\":1", "\"v\":\"1\"", &[":3:", "field `v` is the string \"1\"; it must be a whole number"]),
        ("\"session_id\":\"", "\"session_id\":\" \",\"x\":\"", &["`session_id` is empty"]),
        ("\"item_id\":", "\"item\":", &["`item_id` is missing"]),
        ("\"tenant\":\"demo\"", "\"tenant\":\"\"", &["`tenant` is empty"]),
        ("\"surface\":\"home\"", "\"surface\":null", &["`surface` is missing"]),
        ("\"rank\":", "\"rank\":-", &["`rank` is -", "0 or more"]),
        ("\"rank\":", "\"rank\":99999999999999999999", &[":3:", "it must be a whole number"]),
        ("\"ts\":\"2026-01-02T", "\"ts\":\"2026-01-02 ", &["`ts`", "RFC 3339"]),
        ("\"item_id\":", "\"item_id\":\"x\",\"item_id\":", &["duplicate field `item_id`"]),
        ("\"item_id\":\"", "\"item_id\":\"\\ud800", &[":3:", "hex escape"]),
        ("{", "[{", &[":3:"]),
    ];
    let shop = Shop::new();
    let good = fs::read(shop.sandbox.join(RAW)).unwrap();
    for (from, to, parts) in cases {
        shop.third_line(from, to);
        let place = format!("{RAW}:3");
        shop.refuses(3, &[&[place.as_str(), "correct the line or take it out"], *parts].concat());
        shop.sandbox.write(RAW, &good);
    }
    shop.raw(|lines| lines[2][20] = 0xff);
    shop.refuses(3, &[RAW, ":3:21: ", "UTF-8"]);
    shop.sandbox.write(RAW, &good);
    shop.raw(|lines| lines[2].resize(20_000_000, b'x'));
    shop.refuses(3, &[RAW, ":3: ", "longer than 1048576 bytes"]);
    shop.sandbox.write(RAW, &good);
    shop.sandbox.run("recsys-pipelines", &format!("run {SCOPE} {DAY}")).ok();
}

#[test]
fn raw_files() {
    let shop = Shop::new();
    let good = fs::read(shop.sandbox.join(RAW)).unwrap();
    fs::remove_file(shop.sandbox.join(RAW)).unwrap();
    shop.refuses(3, &["min_events", "2026-01-02", "0 events", "no raw file"]);
    shop.sandbox.write(RAW, String::from_utf8_lossy(&good).replace("\"demo\"", "\"Demo\""));
    shop.refuses(3, &["min_events", "0 events", RAW, "107 lines, 107 foreign"]);
    shop.sandbox.write(RAW, "\n\n");
    shop.refuses(3, &["min_events", "2026-01-02", "0 events"]);
    // The first day has canonical data, which a lost raw file must not erase.
    let first = "raw/demo/home/exposure.2026-01-01.jsonl";
    let canonical = shop.sandbox.snapshot("out/canonical");
    fs::remove_file(shop.sandbox.join(first)).unwrap();
    let finished = shop.sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01"));
    shop.check(&finished, 3, &["would be erased", "validation.min_events"]);
    assert_eq!(shop.sandbox.snapshot("out/canonical"), canonical);
    shop.sandbox.write(first, &good);

    // A dangling link is not a day without a file.
    fs::remove_file(shop.sandbox.join(RAW)).unwrap();
    std::os::unix::fs::symlink("/nowhere", shop.sandbox.join(RAW)).unwrap();
    shop.refuses(1, &[RAW, "a link to a file that does not exist"]);
    fs::remove_file(shop.sandbox.join(RAW)).unwrap();
    shop.sandbox.write(RAW, &good);

    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&good).unwrap();
    let gz = gz.finish().unwrap();
    fs::remove_file(shop.sandbox.join(RAW)).unwrap();
    shop.sandbox.write(&format!("{RAW}.gz"), &gz[..gz.len() / 2]);
    shop.refuses(1, &[".jsonl.gz", "cannot read"]);
    fs::remove_file(shop.sandbox.join(format!("{RAW}.gz"))).unwrap();
    let zst = zstd::encode_all(good.as_slice(), 1).unwrap();
    shop.sandbox.write(&format!("{RAW}.zst"), &zst[..zst.len() / 2]);
    shop.refuses(1, &[".jsonl.zst", "cannot read"]);
    fs::remove_file(shop.sandbox.join(format!("{RAW}.zst"))).unwrap();

    fs::create_dir(shop.sandbox.join(RAW)).unwrap();
    shop.refuses(3, &[RAW, "a folder, whose files are not read"]);
    fs::remove_dir(shop.sandbox.join(RAW)).unwrap();

    shop.sandbox.write(RAW, &good);
    fs::set_permissions(shop.sandbox.join(RAW), fs::Permissions::from_mode(0o000)).unwrap();
    open_to_all(&shop.sandbox);
    let finished = shop.sandbox.run_unprivileged("recsys-pipelines", &format!("run {SCOPE} {DAY}"));
    shop.check(&finished, 1, &[RAW, "Permission denied"]);
}

/// Makes the test's files writable for the unprivileged user.
fn open_to_all(sandbox: &Sandbox) {
    assert!(Command::new("chmod").args(["-R", "a+rwX"]).arg(sandbox.join("out")).status().unwrap().success());
}

#[test]
fn hard_limits() {
    let shop = Shop::new();
    for (limit, max) in [
        ("max_events_per_run", 100),
        ("max_sessions_per_run", 10),
        ("max_users_per_run", 5),
        ("max_distinct_items_per_run", 10),
        ("max_items_per_session", 3),
        ("max_artifact_bytes", 500),
        ("max_catalog_items", 19),
        ("max_tags_per_item", 1),
    ] {
        shop.configure(&format!("/limits/{limit}"), json!(max));
        shop.refuses(4, &[limit, &format!(" of at most {max}"), &format!("limits.{limit}")]);
    }
    shop.configure("/limits/max_artifact_bytes", json!(0));
    shop.sandbox.run("recsys-pipelines", &format!("run {SCOPE} {DAY}")).ok();
}

#[test]
fn a_document_that_is_too_large_names_the_cut_with_which_it_fits() {
    let shop = Shop::new();
    for (kind, bytes) in [("popularity", 800), ("cooc", 2500), ("implicit", 2500)] {
        let run = |limits: Value| {
            let mut config = shop.config.clone();
            config["artifact_kinds"] = json!([kind]);
            config["limits"] = limits;
            shop.sandbox.write("config.json", config.to_string());
            shop.sandbox.run("recsys-pipelines", &format!("run {SCOPE} {DAY}"))
        };
        let refused = run(json!({"max_artifact_bytes": bytes}));
        let (_, advice) = refused.stderr.split_once(", or lower limits.").expect("a cut");
        let (cut, rest) = advice.split_once(" to ").expect("a value");
        let most: u64 = rest.split_once(", with which it fits").expect("the end").0.parse().unwrap();
        assert_eq!(run(json!({"max_artifact_bytes": bytes, cut: most + 1})).code, Some(4), "{kind}");
        run(json!({"max_artifact_bytes": bytes, cut: most})).ok();
    }
}

#[test]
fn catalogues() {
    let shop = Shop::new();
    let job = |input: &str| shop.sandbox.run("job_content_sim", &format!("{SCOPE} {DAY} --input {input}"));
    shop.sandbox.write("a.csv", "sku,tags\nA,x\n");
    shop.check(&job("a.csv"), 3, &["a.csv:1", "item_id"]);
    shop.sandbox.write("a.csv", "item_id,tags\nA,x\n\"B\n\",y\nC,x,y\n");
    shop.check(&job("a.csv"), 3, &["a.csv:5", "3 fields", "2"]);
    shop.sandbox.write("a.csv", b"item_id,tags\nA,x\nB,\xff\n");
    shop.check(&job("a.csv"), 3, &["a.csv:3", "UTF-8"]);
    shop.sandbox.write("a.csv", "item_id,tags\nA,x\nB,x\nA,y\n");
    shop.check(&job("a.csv"), 3, &["a.csv:4", "\"A\"", "line 2"]);
    shop.sandbox
        .write("a.jsonl", "{\"item_id\":\"A\",\"tags\":[\"x\"]}\n{\"item_id\":\"B\",\"tags\":\"x\"}\n");
    shop.check(
        &job("a.jsonl"),
        3,
        &["a.jsonl:2", "field `tags` is the string \"x\"; it must be a list of strings"],
    );
    shop.sandbox.write("a.txt", "item_id\n");
    shop.check(&job("a.txt"), 2, &["a.txt", "csv or jsonl"]);
    shop.check(&job("nowhere.csv"), 2, &["nowhere.csv", "does not exist"]);
    // A catalogue without tags does not replace one with tags.
    shop.sandbox.write("a.csv", "item_id,tags\nA,\n");
    job("a.csv").ok();
    let empty = shop.sandbox.run("job_publish", &format!("{SCOPE} {DAY}"));
    let line = empty.stderr.lines().last().unwrap();
    assert!(empty.code == Some(3) && line.contains("the new content_sim is empty"), "{empty:#?}");
    assert_eq!(fs::read(shop.sandbox.join(MANIFEST)).unwrap(), shop.manifest);
    let wrong = shop.sandbox.run("job_content_sim", &format!("{SCOPE} {DAY} --input a.txt --format xml"));
    shop.check(&wrong, 2, &["xml", "csv and jsonl"]);
}

#[test]
fn staged_artifacts() {
    let shop = Shop::new();
    let job = |job: &str| shop.sandbox.run(job, &format!("{SCOPE} {DAY}"));
    shop.check(&job("job_publish"), 1, &["nothing is staged", "run the builder jobs first"]);
    job("job_ingest").ok();
    let folder = "out/artifacts/demo/home/_all/popularity/2026-01-02_2026-01-03";
    let pointer = format!("{folder}/current.version");
    let damage = |damage: &dyn Fn(&str, String)| {
        job("job_popularity").ok();
        let version = fs::read_to_string(shop.sandbox.join(&pointer)).unwrap();
        let file = format!("{folder}/{}.json", version.trim());
        damage(&file, fs::read_to_string(shop.sandbox.join(&file)).unwrap());
    };
    let write = |file: &str, text: String| drop(shop.sandbox.write(file, text));

    damage(&|file, text| write(file, text.replacen("\"count\":", "\"count\":1", 1)));
    shop.check(&job("job_publish"), 3, &[folder, "its content has version"]);
    damage(&|file, text| write(file, text[..text.len() / 2].to_owned()));
    shop.check(&job("job_publish"), 3, &[folder, "EOF"]);
    damage(&|file, text| write(file, text.replace("\"v\":1", "\"v\":1,\"extra\":1")));
    shop.check(&job("job_publish"), 3, &[folder, "unknown field `extra`"]);
    damage(&|file, _| fs::remove_file(shop.sandbox.join(file)).unwrap());
    shop.check(&job("job_publish"), 3, &["current.version", "does not exist", "build the artifact again"]);
    damage(&|_, _| write(&pointer, "latest\n".to_owned()));
    shop.check(&job("job_publish"), 3, &["current.version", "does not hold a version"]);
    // An intact artifact of another window, under this window's name.
    damage(&|_, _| {
        let other = folder.replace("2026-01-02_2026-01-03", "2026-01-01_2026-01-02");
        for (name, (_, bytes)) in shop.sandbox.snapshot(&other) {
            shop.sandbox.write(&format!("{folder}/{name}"), bytes);
        }
    });
    shop.check(&job("job_publish"), 3, &[folder, "2026-01-01_2026-01-02", "not popularity"]);
    // A limit lowered after the artifact was built.
    damage(&|_, _| shop.configure("/limits/max_items_per_artifact", json!(3)));
    shop.check(&job("job_publish"), 4, &["max_items_per_artifact", "20 of at most 3"]);
    shop.sandbox.write("config.json", shop.config.to_string());

    // Building again repairs everything.
    job("job_popularity").ok();
    job("job_publish").ok();
}

#[test]
fn published_documents_that_were_damaged() {
    let shop = Shop::new();
    let second_day = || shop.sandbox.run("recsys-pipelines", &format!("run {SCOPE} {DAY}"));
    // A blob of the second day exists, but its content does not match its name.
    second_day().ok();
    let blob = read_published(&shop.sandbox.join(MANIFEST)).unwrap().into_values().next().unwrap();
    let blob = &blob["file://".len()..];
    let good = fs::read(blob).unwrap();
    fs::write(shop.sandbox.join(MANIFEST), &shop.manifest).unwrap();
    fs::write(blob, &good[..good.len() - 10]).unwrap();
    shop.check(&second_day(), 3, &["blob file://", "move it away"]);
    fs::write(blob, &good).unwrap();
    // The record of a current artifact, edited to describe another one.
    let version = shop.manifest_version("cooc");
    let name = format!("out/registry/records/demo/home/cooc/{version}.json");
    let record = fs::read_to_string(shop.sandbox.join(&name)).unwrap();
    shop.sandbox.write(&name, record.replace("\"demo\"", "\"demi\""));
    shop.check(&second_day(), 3, &[&name, "of another artifact"]);
    shop.sandbox.write(&name, record);
    // An unreadable manifest is not replaced.
    shop.sandbox.write(MANIFEST, "{\"v\":1}");
    second_day().fails(3, &[MANIFEST, "is not a manifest", "missing field"]);
    assert_eq!(fs::read(shop.sandbox.join(MANIFEST)).unwrap(), b"{\"v\":1}");
    shop.sandbox.write(MANIFEST, &shop.manifest);
    // An unreadable checkpoint stops the run before it does anything.
    let checkpoint = "out/checkpoints/demo/home.json";
    let before = fs::read(shop.sandbox.join(checkpoint)).unwrap();
    shop.sandbox.write(checkpoint, "{\"day\":\"soon\"}");
    shop.check(&second_day(), 3, &[checkpoint, "soon"]);
    shop.sandbox.write(checkpoint, before);
    // Canonical data with an event of another surface.
    let canonical = "out/canonical/demo/home/exposures/2026-01-02.jsonl";
    let text = fs::read_to_string(shop.sandbox.join(canonical)).unwrap();
    shop.sandbox.write(canonical, text.replacen("\"home\"", "\"other\"", 1));
    let job = shop.sandbox.run("job_popularity", &format!("{SCOPE} {DAY}"));
    shop.check(&job, 3, &[canonical, "ingest the day again"]);
}

#[test]
fn output_that_cannot_be_written() {
    let shop = Shop::new();
    // Too small for the canonical file, but large enough for everything before it.
    for blocks in [0, 1, 4, 8, 16] {
        let mut command = Command::new("sh");
        shop.sandbox.prepare(&mut command);
        let binary = recsys_testkit::sandbox::binaries().join("recsys-pipelines");
        let line = format!("ulimit -f {blocks}; exec {} run {SCOPE} {DAY}", binary.display());
        let finished: Finished = command.args(["-c", &line]).output().unwrap().into();
        shop.check(&finished, 1, &["cannot write out/", "File too large"]);
    }
    assert!(
        Command::new("chmod").args(["-R", "a-w"]).arg(shop.sandbox.join("out")).status().unwrap().success()
    );
    let finished = shop.sandbox.run_unprivileged("recsys-pipelines", &format!("run {SCOPE} {DAY}"));
    shop.check(&finished, 1, &["out/canonical", "Permission denied"]);
    assert!(
        Command::new("chmod").args(["-R", "u+w"]).arg(shop.sandbox.join("out")).status().unwrap().success()
    );
    shop.sandbox.run("recsys-pipelines", &format!("run {SCOPE} {DAY}")).ok();
}
