//! Services that refuse, fail, hang or send wrong answers: one line with endpoint, bucket and key, the right exit code,
//! and the old manifest stays. Transient errors are retried.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;

use recsys_testkit::proxy::{NetworkFault, Proxy};
use recsys_testkit::remote::Remote;
use recsys_testkit::sandbox::Finished;
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

const RUN: &str = "--start 2026-01-02";

/// A pipeline that has published its first day, with a proxy in front of its server and short timeouts.
struct Shop {
    remote: Remote,
    proxy: Proxy,
    before: BTreeMap<String, Vec<u8>>,
}

impl Shop {
    fn new() -> Self {
        let mut remote = Remote::new();
        remote.config["storage"] = json!({"timeout_s": 2, "retry_timeout_s": 1});
        remote.write_config();
        remote.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
        let before = remote.objects("out/registry/current");
        let proxy = Proxy::start(remote.s3.address());
        remote.endpoint = proxy.endpoint();
        Self { remote, proxy, before }
    }

    fn run(&self) -> Finished {
        self.remote.run("recsys-pipelines", &format!("run {SCOPE} {RUN}"))
    }

    /// Asserts that the second day fails with one line that contains `parts`, and that the first day stays current.
    #[track_caller]
    fn fails(&self, finished: &Finished, code: i32, parts: &[&str]) {
        finished.fails(code, parts);
        assert!(!finished.stderr.contains(&self.remote.s3.secret_key));
        assert_eq!(self.remote.objects("out/registry/current"), self.before);
        assert_eq!(self.remote.published().unwrap().len(), 5);
    }

    /// Asserts that waiting was announced with endpoint and remaining time; returns the output without that line.
    fn waits(&self, finished: &Finished, seconds: u32) -> Finished {
        let told = format!("waiting for an answer of {}, for {seconds} s at most", self.remote.endpoint);
        let lines: Vec<&str> = finished.stderr.lines().collect();
        let [waiting, error] = lines[..] else { panic!("{finished:#?}") };
        assert!(waiting.contains(&told), "{finished:#?}");
        Finished { code: finished.code, stdout: finished.stdout.clone(), stderr: format!("{error}\n") }
    }

    fn object(&self, name: &str) -> String {
        format!("s3://{}/{}", self.remote.s3.bucket, self.remote.key(name))
    }

    /// Like [`Self::run`], with one setting changed for this run.
    fn run_with(&self, pointer: &str, value: Value) -> Finished {
        let mut config = self.remote.config.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        self.remote.sandbox.write("config.json", config.to_string());
        let finished = self.run();
        self.remote.write_config();
        finished
    }

    fn run_at(&mut self, endpoint: &str) -> Finished {
        let before = std::mem::replace(&mut self.remote.endpoint, endpoint.to_owned());
        let finished = self.run();
        self.remote.endpoint = before;
        finished
    }
}

fn answer(status: u16, code: &str, message: &str) -> NetworkFault {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    NetworkFault::Answer { status, body }
}

#[test]
fn a_missing_bucket() {
    let shop = Shop::new();
    for root in ["out_dir", "raw_events_dir"] {
        let gone = "s3://no-such-bucket-anywhere/folder";
        let finished = shop.run_with(&format!("/{root}"), json!(gone));
        let endpoint = &shop.remote.endpoint;
        shop.fails(&finished, 2, &["no-such-bucket-anywhere", "folder", endpoint, "no such bucket"]);
    }
    let finished = shop.run_with("/catalog/path", json!("s3://no-such-bucket-anywhere/shop.csv"));
    shop.fails(&finished, 2, &["s3://no-such-bucket-anywhere/shop.csv", "no such bucket"]);
    for command in ["status", "verify"] {
        let mut config = shop.remote.config.clone();
        config["out_dir"] = json!("s3://no-such-bucket-anywhere");
        shop.remote.sandbox.write("config.json", config.to_string());
        let finished = shop.remote.run("recsys-pipelines", &format!("{command} --config config.json"));
        shop.fails(&finished, 2, &["no-such-bucket-anywhere", "no such bucket"]);
    }
}

#[test]
fn credentials_that_nobody_knows_and_regions_that_are_not_the_bucket_s() {
    let shop = Shop::new();
    let cases = [
        (answer(400, "ExpiredToken", "too late"), ["credentials", "ExpiredToken"]),
        (answer(403, "RequestTimeTooSkewed", "too late"), ["clock", "RequestTimeTooSkewed"]),
        (answer(403, "InvalidAccessKeyId", "no such key"), ["credentials", "InvalidAccessKeyId"]),
        (answer(403, "SignatureDoesNotMatch", "wrong secret"), ["credentials", "SignatureDoesNotMatch"]),
        (
            answer(400, "AuthorizationHeaderMalformed", "expecting eu-west-1"),
            ["region", "expecting eu-west-1"],
        ),
        (answer(301, "PermanentRedirect", "use another endpoint"), ["region", "set the region"]),
    ];
    for (fault, [what, detail]) in cases {
        shop.proxy.clear();
        shop.proxy.rule("GET", "", None, fault.clone());
        let finished = shop.run();
        let endpoint = &shop.remote.endpoint;
        shop.fails(&finished, 2, &[&shop.object("out/checkpoints/demo/home.json"), endpoint, what, detail]);
        // The same for a write.
        shop.proxy.clear();
        shop.proxy.rule("PUT", "", None, fault);
        shop.fails(&shop.run(), 2, &["cannot write", &shop.object("out/"), endpoint, what, detail]);
    }
}

#[test]
fn nothing_may_be_read_that_is_denied_and_nothing_denied_is_missing() {
    let shop = Shop::new();
    let line = format!("run {SCOPE} {RUN}");
    let keys = [
        "raw/demo/home/exposure.2026-01-02.jsonl",
        "shop.csv",
        "out/canonical/demo/home/exposures/2026-01-02.jsonl",
        "out/checkpoints/demo/home.json",
        "out/artifacts/demo/home/_all/cooc/2026-01-02_2026-01-03/current.version",
        "out/objects/demo/home/cooc/",
        "out/registry/current/demo/home/manifest.json",
        "out/registry/records/demo/home/cooc/",
    ];
    for key in keys {
        shop.proxy.clear();
        shop.proxy.rule("GET", &shop.remote.key(key), None, answer(403, "AccessDenied", "not for you"));
        let finished = shop.remote.run("recsys-pipelines", &line);
        shop.fails(&finished, 2, &[&shop.object(key), &shop.remote.endpoint, "denies", "AccessDenied"]);
    }
    // Not even if an empty day is allowed.
    shop.proxy.clear();
    shop.proxy.rule("GET", "exposure.2026-01-02.jsonl", None, answer(403, "AccessDenied", ""));
    let mut config = shop.remote.config.clone();
    config["validation"] = json!({"min_events": 0});
    shop.remote.sandbox.write("config.json", config.to_string());
    for (job, line) in [("recsys-pipelines", line), ("job_ingest", format!("{SCOPE} {RUN}"))] {
        let finished = shop.remote.run(job, &line);
        shop.fails(&finished, 2, &[&shop.object("raw/demo/home/exposure.2026-01-02.jsonl"), "denies"]);
    }
    // Servers that answer with the status only.
    shop.proxy.clear();
    shop.proxy.rule("GET", "", None, NetworkFault::Answer { status: 403, body: String::new() });
    shop.fails(&shop.run(), 2, &["denies", "403 Forbidden"]);
}

#[test]
fn servers_that_are_not_there() {
    let mut shop = Shop::new();
    let checkpoint = shop.object("out/checkpoints/demo/home.json");
    let refused = shop.run_at("http://127.0.0.1:1");
    shop.fails(&refused, 1, &[&checkpoint, "http://127.0.0.1:1 cannot be reached", "refused"]);
    let unknown = shop.run_at("http://no-such-host.invalid:9000");
    shop.fails(&unknown, 1, &[&checkpoint, "http://no-such-host.invalid:9000 cannot be reached", "lookup"]);
    let secure = shop.remote.s3.endpoint.replace("http://", "https://");
    let finished = shop.run_at(&secure);
    shop.fails(&finished, 2, &[&checkpoint, &secure, "no secure connection", "use_ssl: false"]);
}

#[test]
fn a_storm_of_503_fails_in_the_end_and_a_shower_does_not() {
    let shop = Shop::new();
    for method in ["GET", "PUT"] {
        shop.proxy.clear();
        shop.proxy.rule(method, "", None, answer(503, "SlowDown", "reduce your rate"));
        let endpoint = &shop.remote.endpoint;
        shop.fails(&shop.run(), 1, &[&shop.object("out/"), endpoint, "503", "SlowDown", "reduce your rate"]);
    }
    shop.proxy.clear();
    for method in ["GET", "PUT"] {
        shop.proxy.rule(method, "", Some(3), answer(503, "SlowDown", "reduce your rate"));
        shop.proxy.rule(method, "", Some(2), NetworkFault::Drop);
    }
    // A single request may meet all of them.
    shop.run_with("/storage/retry_timeout_s", json!(30)).ok();
    assert_ne!(shop.remote.objects("out/registry/current"), shop.before);
    assert_eq!(shop.remote.published().unwrap().len(), 5);
}

#[test]
fn a_server_that_does_not_answer() {
    let shop = Shop::new();
    let day = "raw/demo/home/exposure.2026-01-02.jsonl";
    shop.proxy.rule("GET", day, None, NetworkFault::Stall);
    shop.fails(
        &shop.waits(&shop.run_with("/storage/timeout_s", json!(6)), 10),
        1,
        &[&shop.object(day), &shop.remote.endpoint, "did not answer in time"],
    );
    shop.proxy.clear();
    shop.proxy.rule("PUT", "manifest.json", None, NetworkFault::Stall);
    let finished = shop.waits(&shop.run_with("/storage/timeout_s", json!(6)), 10);
    shop.fails(&finished, 1, &["manifest.json", &shop.remote.endpoint, "did not answer in time"]);
}

/// Operators at a terminal do not wait for as long as jobs do.
#[test]
fn an_operators_command_is_bounded_until_the_first_answer() {
    let mut shop = Shop::new();
    shop.remote.config["storage"] = json!({"operator_timeout_s": 6});
    shop.remote.write_config();
    shop.proxy.rule("GET", "", None, NetworkFault::Stall);
    let status = "status --config config.json --tenant demo --surface home --log-format text";
    let environment = shop.remote.s3.settings_at(&shop.remote.endpoint);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for line in [status.to_owned(), format!("history {SCOPE}"), format!("rollback {SCOPE}")] {
        let finished = shop.remote.sandbox.run_bounded("recsys-pipelines", &line, &environment);
        shop.fails(&shop.waits(&finished, 3), 1, &[&shop.remote.endpoint, "did not answer in time"]);
    }
    // An error that arrives is reported in place of the timeout.
    let nobody = shop.remote.s3.settings_at("http://127.0.0.1:1");
    let nobody: Vec<(&str, &str)> =
        nobody.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let finished = shop.remote.sandbox.run_bounded("recsys-pipelines", status, &nobody);
    shop.fails(&finished, 1, &["cannot be reached", "refused"]);
    // After the first answer, the longer timeout of jobs applies.
    shop.proxy.clear();
    shop.remote.config["storage"] = json!({"operator_timeout_s": 4, "timeout_s": 6});
    shop.remote.write_config();
    shop.proxy.rule("GET", "manifest.json", None, NetworkFault::Stall);
    // Without a surface, the list comes first, and it is answered.
    let finished = shop.remote.run("recsys-pipelines", "status --config config.json --log-format text");
    shop.fails(&shop.waits(&finished, 9), 1, &["manifest.json", "did not answer in time"]);
}

#[test]
fn a_body_that_breaks_off() {
    let shop = Shop::new();
    let keys = [
        "raw/demo/home/exposure.2026-01-02.jsonl",
        "shop.csv",
        "out/registry/current/demo/home/manifest.json",
        "out/objects/demo/home/cooc/",
    ];
    for key in keys {
        shop.proxy.clear();
        shop.proxy.rule("GET", &shop.remote.key(key), None, NetworkFault::Truncate(50));
        shop.fails(&shop.run(), 1, &[&shop.object(key), &shop.remote.endpoint, "broke off"]);
    }
    // A single truncated answer does no harm: the rest is fetched.
    shop.proxy.clear();
    for key in keys {
        shop.proxy.rule("GET", &shop.remote.key(key), Some(1), NetworkFault::Truncate(50));
    }
    shop.run_with("/storage/retry_timeout_s", json!(30)).ok();
    assert_ne!(shop.remote.objects("out/registry/current"), shop.before);
    shop.remote.published().unwrap();
}

/// The write was done, and its answer was lost.
#[test]
fn a_lost_answer_to_any_write_is_no_lost_write() {
    let shop = Shop::new();
    let history = |shop: &Shop| shop.remote.objects("out/registry/history").len();
    assert_eq!(history(&shop), 1);
    for (name, day) in [("manifest.json", "02"), ("/history/", "03")] {
        shop.proxy.clear();
        shop.proxy.rule("PUT", name, Some(1), NetworkFault::AnswerLost);
        let line = format!("run {SCOPE} --start 2026-01-{day} --json");
        let finished = shop.remote.run("recsys-pipelines", &line);
        let document: Value = serde_json::from_str(&finished.ok().stdout).unwrap();
        assert_eq!(document["days"][0]["published"]["swapped"], true, "{name}");
    }
    let listed = shop.remote.run("recsys-pipelines", &format!("history {SCOPE} --json"));
    let listed: Value = serde_json::from_str(&listed.ok().stdout).unwrap();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 3);
    assert_eq!(history(&shop), 3);
    // All answers lost: a read settles whether the swap was done.
    shop.proxy.clear();
    shop.proxy.rule("PUT", "manifest.json", None, NetworkFault::AnswerLost);
    shop.remote.run("recsys-pipelines", &format!("rollback {SCOPE}")).ok();
    assert_eq!(history(&shop), 4);
}

/// 404 pages of a proxy or another server that does not know the bucket.
#[test]
fn a_404_of_somebody_else_is_no_missing_day() {
    let shop = Shop::new();
    let pages = ["<html>404 page not found</html>", "default backend - 404", ""];
    for key in ["raw/demo/home/exposure.2026-01-02.jsonl", "out/registry/current/demo/home/manifest.json"] {
        for body in pages {
            shop.proxy.clear();
            shop.proxy.rule(
                "GET",
                &shop.remote.key(key),
                None,
                NetworkFault::Answer { status: 404, body: body.to_owned() },
            );
            shop.fails(&shop.run(), 1, &[&shop.object(key), &shop.remote.endpoint, "404", "right endpoint"]);
        }
    }
}

/// Listings have error types of their own in the library.
#[test]
fn whoever_may_not_list_is_told_so() {
    let shop = Shop::new();
    let listing = "list-type=2";
    let cases = [
        (answer(403, "AccessDenied", "no"), ["denies", "AccessDenied"]),
        (answer(403, "SignatureDoesNotMatch", "no"), ["credentials", "SignatureDoesNotMatch"]),
        (answer(401, "Unauthorized", "no"), ["credentials", "Unauthorized"]),
        (NetworkFault::Answer { status: 403, body: String::new() }, ["denies", "403 Forbidden"]),
        (answer(404, "NoSuchBucket", "no"), ["no such bucket", "cannot list"]),
    ];
    for (fault, parts) in cases {
        shop.proxy.clear();
        shop.proxy.rule("GET", listing, None, fault);
        for line in ["status --config config.json".to_owned(), format!("history {SCOPE}")] {
            shop.fails(&shop.remote.run("recsys-pipelines", &line), 2, &parts);
        }
    }
}

#[test]
fn a_conflict_is_tried_again_and_never_taken_for_a_document_that_is_there() {
    let shop = Shop::new();
    // In the order of writing: each document exists before the next one is refused.
    for name in ["/objects/", "/records/", "/history/"] {
        shop.proxy.clear();
        shop.proxy.rule("PUT", name, None, answer(409, "OperationAborted", "try again"));
        shop.fails(&shop.run(), 1, &[&shop.remote.endpoint, "409", "OperationAborted"]);
        shop.proxy.clear();
        shop.proxy.rule("PUT", name, None, answer(412, "PreconditionFailed", "it is there"));
        shop.fails(&shop.run(), 1, &["s3://", "again"]);
    }
    shop.proxy.clear();
    for name in ["/history/", "/records/", "/objects/", "manifest.json"] {
        shop.proxy.rule("PUT", name, Some(2), answer(409, "ConditionalRequestConflict", "try again"));
    }
    shop.run().ok();
    assert_eq!(shop.remote.published().unwrap().len(), 5);
}

/// The answer to the swap is lost, and then the server fails.
#[test]
fn a_rollback_that_may_have_been_done_is_not_to_be_repeated() {
    let shop = Shop::new();
    shop.run().ok();
    shop.proxy.rule("PUT", "manifest.json", None, NetworkFault::AnswerLost);
    // Plan and swap may read the manifest; the check afterwards fails.
    shop.proxy.pass("GET", "current/demo/home/manifest.json", 3);
    shop.proxy.rule("GET", "current/demo/home/manifest.json", None, answer(503, "SlowDown", "later"));
    let finished = shop.remote.run("recsys-pipelines", &format!("rollback {SCOPE}"));
    finished.fails(3, &["cannot tell whether", "manifest.json", "history"]);
    assert_eq!(shop.remote.objects("out/registry/current").len(), 1);
}

/// The answer to a write of the probe is lost.
#[test]
fn a_probe_that_stumbles_condemns_nobody() {
    let shop = Shop::new();
    shop.proxy.rule("PUT", "/.probe/", Some(1), NetworkFault::AnswerLost);
    shop.run().ok();
    let shop = Shop::new();
    shop.proxy.rule("PUT", "/.probe/", None, answer(412, "PreconditionFailed", "always"));
    shop.fails(&shop.run(), 2, &["refuses conditional writes whose condition holds"]);
    // Publishers do not need permission to delete.
    shop.proxy.clear();
    shop.proxy.rule("DELETE", "", None, answer(403, "AccessDenied", "no"));
    shop.run().ok();
}

/// A server that accepts every write, whatever its condition.
#[test]
fn a_server_that_ignores_conditions() {
    let shop = Shop::new();
    shop.proxy.rule("PUT", "", None, NetworkFault::IgnoreCondition);
    let registry = shop.object("out/registry/");
    shop.fails(&shop.run(), 2, &[&registry, "ignores the condition", "registry.concurrency"]);
    let rollback = shop.remote.run("recsys-pipelines", &format!("rollback {SCOPE} --steps 0"));
    rollback.ok();
    assert_eq!(shop.remote.objects("out/registry/.probe").len(), 0);
    let probes = shop.proxy.requests().iter().filter(|line| line.contains("/.probe/")).count();
    assert!(probes < 10, "{probes} requests to find out once");

    let mut config = shop.remote.config.clone();
    config["registry"] = json!({"concurrency": "last-write-wins"});
    shop.remote.sandbox.write("config.json", config.to_string());
    let finished = shop.run();
    assert!(finished.ok().stderr.contains("last-write-wins"), "{finished:?}");
    assert_ne!(shop.remote.objects("out/registry/current"), shop.before);
}

/// Servers that support plain requests only.
#[test]
fn a_server_without_multi_object_deletion_deletes() {
    let mut shop = Shop::new();
    shop.remote.config["validation"] = json!({"max_invalid_ratio": 0.5, "min_events": 0});
    shop.remote.write_config();
    shop.proxy.rule("POST", "delete", None, answer(501, "NotImplemented", "no"));
    let raw = shop.remote.key("raw/demo/home/exposure.2026-01-02.jsonl");
    let good = shop.remote.s3.get(&raw).unwrap();
    let files = |folder: &str| shop.remote.objects(folder).into_keys().collect::<Vec<_>>();
    // A day with a bad line, then the corrected day.
    shop.remote.s3.put(&raw, [b"bad\n", good.as_slice()].concat());
    shop.run().ok();
    assert_eq!(
        files("out/canonical/demo/home/quarantine"),
        ["out/canonical/demo/home/quarantine/2026-01-02.jsonl"]
    );
    shop.remote.s3.put(&raw, &good);
    shop.run().ok();
    assert_eq!(files("out/canonical/demo/home/quarantine"), [""; 0]);
    // A day whose raw file becomes empty.
    shop.remote.s3.put(&raw, "");
    shop.remote.run("job_ingest", &format!("{SCOPE} {RUN}")).ok();
    assert!(!files("out/canonical").iter().any(|name| name.ends_with("exposures/2026-01-02.jsonl")));
    // Collect garbage twice: the first collection leaves nothing that blocks the second.
    for outcome in [": deleted\n", ", 0 bytes: nothing to delete\n"] {
        let mut command = shop.remote.command("recsys-pipelines");
        command.env("SOURCE_DATE_EPOCH", "4000000000").args(["gc", "--config", "config.json"]);
        let flags = ["--older-than", "1h", "--keep", "1", "--delete"];
        let finished = Finished::from(command.args(flags).output().unwrap());
        assert!(finished.ok().stdout.ends_with(outcome), "{finished:?}");
    }
    assert!(!shop.proxy.requests().iter().any(|request| request.starts_with("POST ")));
}

/// A leftover that misleads nobody may stay, with a warning; one that would count is an error.
#[test]
fn a_leftover_that_cannot_be_removed_is_named() {
    let mut shop = Shop::new();
    shop.remote.config["validation"] = json!({"max_invalid_ratio": 0.5, "min_events": 0});
    shop.remote.write_config();
    let raw = shop.remote.key("raw/demo/home/exposure.2026-01-02.jsonl");
    let good = shop.remote.s3.get(&raw).unwrap();
    shop.remote.s3.put(&raw, [b"bad\n", good.as_slice()].concat());
    shop.run().ok();
    shop.proxy.rule("DELETE", "canonical", None, answer(403, "AccessDenied", "not for you"));
    shop.remote.s3.put(&raw, &good);
    let finished = shop.remote.run("recsys-pipelines", &format!("run {SCOPE} {RUN} --log-format text"));
    let warning = finished.ok().stderr.lines().find(|line| line.contains("WARN")).unwrap();
    let file = shop.object("out/canonical/demo/home/quarantine/2026-01-02.jsonl");
    for part in [&*file, "no line is invalid any more", "denies"] {
        assert!(warning.contains(part), "{finished:#?}");
    }
    shop.remote.s3.put(&raw, "");
    let file = shop.object("out/canonical/demo/home/exposures/2026-01-02.jsonl");
    let finished = shop.remote.run("job_ingest", &format!("{SCOPE} {RUN} --log-format text"));
    assert_eq!(finished.code, Some(2), "{finished:#?}");
    assert!(
        finished.stderr.lines().last().unwrap().contains(&format!("cannot remove {file}")),
        "{finished:#?}"
    );
}

#[test]
fn a_server_that_does_not_know_conditions() {
    let shop = Shop::new();
    let unknown =
        "<Error><Code>NotImplemented</Code><Message>A header you provided implies no</Message></Error>";
    for header in ["if-match:", "if-none-match:"] {
        shop.proxy.rule("PUT", "", None, NetworkFault::AnswerWith(header, 501, unknown.to_owned()));
        let parts = ["refuses conditional writes", "another store for registry_dir", "last-write-wins"];
        shop.fails(&shop.run(), 2, &parts);
        // Blobs are content-addressed, so overwriting one is harmless.
        let mut config = shop.remote.config.clone();
        config["registry_dir"] = json!("registry");
        config["artifact_kinds"] = json!(["popularity"]);
        config["out_dir"] = json!(format!("{}/{}", config["out_dir"].as_str().unwrap(), &header[..7]));
        shop.remote.sandbox.write("config.json", config.to_string());
        shop.run().ok();
        config.as_object_mut().unwrap().remove("registry_dir");
        config["registry"] = json!({"concurrency": "last-write-wins"});
        shop.remote.sandbox.write("config.json", config.to_string());
        shop.run().ok();
        shop.remote.write_config();
        shop.proxy.clear();
    }
}

/// As with Object Lock.
#[test]
fn a_bucket_that_wants_checksums() {
    let shop = Shop::new();
    let wanted = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for \
                  Put Object requests with Object Lock parameters</Message></Error>";
    let rule = || {
        shop.proxy.rule(
            "PUT",
            "",
            None,
            NetworkFault::AnswerWithout("x-amz-checksum-", 400, wanted.to_owned()),
        );
    };
    rule();
    shop.fails(&shop.run(), 2, &["takes no write without a checksum", "AWS_CHECKSUM_ALGORITHM"]);
    let with = |algorithm: &str| {
        let mut command = shop.remote.command("recsys-pipelines");
        command
            .env("AWS_CHECKSUM_ALGORITHM", algorithm)
            .args(format!("run {SCOPE} {RUN}").split_whitespace());
        Finished::from(command.output().unwrap())
    };
    shop.fails(&with("md5"), 2, &["AWS_CHECKSUM_ALGORITHM must be SHA256 or CRC64NVME"]);
    with("SHA256").ok();
    assert_ne!(shop.remote.objects("out/registry/current"), shop.before);
}

#[test]
fn what_is_forbidden_is_not_always_the_fault_of_the_key() {
    let shop = Shop::new();
    let day = "raw/demo/home/exposure.2026-01-02.jsonl";
    for (method, status, code, exit, what) in [
        ("GET", 403, "InvalidObjectState", 2, "keeps it in an archive"),
        ("GET", 403, "UserSuspended", 2, "closed the account"),
        ("GET", 403, "UserProjectAccountProblem", 2, "closed the account"),
        ("PUT", 403, "ObjectLocked", 2, "forbids it"),
        ("PUT", 403, "QuotaExceeded", 1, "has no room"),
        ("PUT", 400, "XMinioAdminBucketQuotaExceeded", 1, "has no room"),
        ("PUT", 507, "XMinioStorageFull", 1, "has no room"),
    ] {
        shop.proxy.clear();
        let part = if method == "GET" { shop.remote.key(day) } else { String::new() };
        shop.proxy.rule(method, &part, None, answer(status, code, "its own words"));
        let finished = shop.run();
        shop.fails(&finished, exit, &[&shop.remote.endpoint, what, code, "its own words"]);
        assert!(!finished.stderr.contains("access key"), "{finished:?}");
    }
    shop.proxy.clear();
    shop.proxy.rule(
        "PUT",
        "",
        None,
        answer(403, "AccessDenied", "Cannot upload files, storage cap exceeded."),
    );
    shop.fails(&shop.run(), 1, &["has no room", "cap exceeded"]);
}

/// Retryable error codes, whatever the status.
#[test]
fn what_passes_by_itself_is_tried_again() {
    let shop = Shop::new();
    for (status, code) in [
        (400, "RequestTimeout"),
        (408, "RequestTimeout"),
        (409, "OperationAborted"),
        (403, "RequestLimitExceeded"),
        (429, "TooManyRequests"),
        (503, "SlowDown"),
        (500, "InternalError"),
    ] {
        shop.proxy.clear();
        for method in ["GET", "PUT"] {
            shop.proxy.rule(method, "", Some(2), answer(status, code, "later"));
        }
        // A single request may meet both.
        shop.run_with("/storage/retry_timeout_s", json!(30)).ok();
        // After the last retry, the server's answer is reported.
        shop.proxy.clear();
        shop.proxy.rule("GET", "home.json", None, answer(status, code, "later"));
        let parts = [shop.remote.endpoint.clone(), format!("{status} "), format!("{code} later")];
        shop.run().fails(1, &parts.each_ref().map(String::as_str));
    }
}

#[test]
fn an_answer_without_a_length_is_said_to_be_that() {
    let shop = Shop::new();
    shop.proxy.rule("GET", "", None, NetworkFault::WithoutLength);
    let object = shop.object("out/checkpoints/demo/home.json");
    shop.fails(&shop.run(), 2, &[&object, &shop.remote.endpoint, "Content-Length", "proxy"]);
}
