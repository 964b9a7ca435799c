//! The Kubernetes manifests.

use std::collections::BTreeMap;

use recsys_core::artifact::Kind;
use serde_json::Value;

use crate::Outcome;
use crate::documents::{document, documents, files, objects, plain, strings};
use crate::site::{Container, Site};
use crate::surface::given_up_codes;

/// Environment that `envFrom` gives a container in the overlay `local-minio`.
pub(crate) fn settings(env_from: &Value) -> BTreeMap<String, String> {
    let sources: Vec<&str> = objects(env_from).iter().filter_map(|object| object["name"].as_str()).collect();
    assert_eq!(sources, ["recsys-pipelines-env", "recsys-pipelines"]);
    let mut settings = BTreeMap::new();
    let config = &documents("kubernetes/base/config.yaml")[1];
    assert_eq!(config["metadata"]["name"], sources[0]);
    let secret = document("kubernetes/overlays/local-minio/secret.yaml");
    assert_eq!(secret["metadata"]["name"], sources[1]);
    for (name, value) in
        [&config["data"], &secret["stringData"]].iter().flat_map(|data| data.as_object().unwrap())
    {
        settings.insert(name.clone(), plain(value));
    }
    for operation in documents("kubernetes/overlays/local-minio/env.yaml")[0].as_array().unwrap() {
        let name = plain(&operation["path"]).strip_prefix("/data/").unwrap().to_owned();
        settings.insert(name, plain(&operation["value"]));
    }
    // The overlay has no database; the Secret of an installation with one also holds the DSN.
    settings.insert("RECSYS_PIPELINES__DB__DSN".to_owned(), "postgres://recsys@postgres/recsys".to_owned());
    settings
}

/// Pod of the daily run.
fn cron_pod() -> Value {
    document("kubernetes/base/cron-job.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone()
}

/// The only container of a pod, ready to run; `env` replaces its own variables of the same name.
fn container(container: &Value, env: &[(&str, &str)]) -> Container {
    let mut variables = settings(&container["envFrom"]);
    for variable in container["env"].as_array().unwrap() {
        // The downward API provides the name of the job.
        let value = variable.get("value").map_or_else(|| "recsys-job-1".to_owned(), plain);
        variables.insert(plain(&variable["name"]), value);
    }
    variables.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let words = strings(&container["command"]).into_iter().chain(strings(&container["args"]));
    let command = words.map(|word| {
        let filled =
            variables.iter().fold(word, |word, (name, value)| word.replace(&format!("$({name})"), value));
        assert!(!filled.contains("$("), "{filled}");
        filled
    });
    Container { command: command.collect(), env: variables }
}

/// The one-shot Jobs by label, merged with `defaults.yaml`.
fn jobs() -> BTreeMap<String, Value> {
    let defaults = documents("kubernetes/jobs/defaults.yaml").remove(0);
    let mut jobs = BTreeMap::new();
    for mut job in documents("kubernetes/jobs/jobs.yaml") {
        for operation in defaults.as_array().unwrap() {
            assert_eq!(operation["op"], "add");
            let path = plain(&operation["path"]);
            let (parent, field) = path.rsplit_once('/').unwrap();
            let parent = job.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
            parent[field.replace("~1", "/")] = operation["value"].clone();
        }
        jobs.insert(plain(&job["metadata"]["labels"]["app.kubernetes.io/component"]), job);
    }
    jobs
}

#[test]
fn the_cron_job_catches_up_with_every_day_until_yesterday() {
    let site = Site::with_tables();
    let pod = cron_pod();
    // 3 January, 03:00 UTC.
    let daily = container(&pod["containers"][0], &[("SOURCE_DATE_EPOCH", "1767409200")]);
    assert_eq!(site.step(&daily), Outcome::Succeeded);
    assert_eq!(site.version(Kind::Popularity), "e9a8fc3dfda9");
    assert_eq!(site.objects("registry/history").len(), 2);
    assert_eq!(site.count("item_covisit_daily"), (114 + 134).to_string());
    let state = site.state();
    assert_eq!(site.step(&daily), Outcome::Succeeded);
    assert_eq!(site.state(), state);
}

#[test]
fn the_one_shot_jobs_do_a_day_in_steps_and_the_backfill_does_a_range() {
    let site = Site::with_tables();
    let jobs = jobs();
    let run = |name: &str, end: &str| {
        let outcome =
            site.step(&container(&jobs[name]["spec"]["template"]["spec"]["containers"][0], &[("END", end)]));
        assert_eq!(outcome, Outcome::Succeeded, "{name}");
    };
    let steps = [
        "ingest",
        "validate",
        "popularity",
        "cooc",
        "implicit",
        "session-seq",
        "content-sim",
        "publish",
        "db-signals",
        "catalog",
    ];
    for name in steps {
        run(name, "2026-01-01");
    }
    assert_eq!(site.version(Kind::Popularity), "0277df26ddf2");
    assert_eq!(site.count("item_tags"), "20");
    run("backfill", "2026-01-03");
    assert_eq!(site.version(Kind::Popularity), "a8810e9c24d0");
    // There are no other Jobs.
    assert_eq!(jobs.len(), steps.len() + 1);
    let binaries: Vec<String> = jobs
        .values()
        .map(|job| plain(&job["spec"]["template"]["spec"]["containers"][0]["command"][0]))
        .collect();
    for binary in recsys_testkit::sandbox::BINARIES {
        assert!(binaries.contains(&binary.to_owned()), "{binary}");
    }
}

/// Platforms may assign a range of users to each namespace and reject pods that ask for another one.
#[test]
fn a_pod_runs_as_whatever_user_the_platform_assigns() {
    for file in files("kubernetes", ".yaml").into_iter().chain(files("argo", ".yaml")) {
        for document in documents(&file) {
            for object in objects(&document) {
                for field in ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"] {
                    assert!(object.get(field).is_none(), "{file}: {field}");
                }
            }
        }
    }
    let site = Site::with_tables();
    site.user.set(1_000_690_000);
    let daily = container(&cron_pod()["containers"][0], &[("SOURCE_DATE_EPOCH", "1767322800")]);
    assert_eq!(site.step(&daily), Outcome::Succeeded);
    assert_eq!(site.version(Kind::Popularity), "0277df26ddf2");
}

/// How Kubernetes treats a failed pod.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    FailJob,
    Ignore,
    /// Counts as one of the attempts that `backoffLimit` allows.
    Count,
}

fn verdict(policy: &Value, code: i64, disrupted: bool) -> Verdict {
    for rule in policy["rules"].as_array().unwrap() {
        let codes: Vec<i64> = rule["onExitCodes"]["values"]
            .as_array()
            .unwrap_or(&Vec::new())
            .iter()
            .map(|code| code.as_i64().unwrap())
            .collect();
        let applies = match rule["onExitCodes"]["operator"].as_str() {
            Some("In") => codes.contains(&code),
            Some("NotIn") => !codes.contains(&code),
            Some(other) => panic!("{other} is no operator"),
            None => {
                assert_eq!(rule["onPodConditions"][0]["type"], "DisruptionTarget");
                assert_eq!(rule["onPodConditions"][0]["status"], "True");
                disrupted
            }
        };
        if applies {
            return match rule["action"].as_str().unwrap() {
                "FailJob" => Verdict::FailJob,
                "Ignore" => Verdict::Ignore,
                other => panic!("{other}"),
            };
        }
    }
    Verdict::Count
}

#[test]
fn only_a_failure_that_heals_and_a_disruption_are_tried_again() {
    let cron = document("kubernetes/base/cron-job.yaml")["spec"]["jobTemplate"]["spec"].clone();
    let jobs = jobs();
    let specs: Vec<&Value> = std::iter::once(&cron).chain(jobs.values().map(|job| &job["spec"])).collect();
    assert_eq!(specs.len(), 12);
    for spec in specs {
        let policy = &spec["podFailurePolicy"];
        for code in given_up_codes() {
            assert_eq!(verdict(policy, code, false), Verdict::FailJob, "{code}");
            assert_eq!(verdict(policy, code, true), Verdict::FailJob, "{code}");
        }
        assert_eq!(verdict(policy, 1, false), Verdict::Count);
        for code in [1, 137, 143] {
            assert_eq!(verdict(policy, code, true), Verdict::Ignore, "{code}");
        }
        for code in [101, 134, 137] {
            assert_eq!(verdict(policy, code, false), Verdict::FailJob, "{code}");
        }
        // The policy names a container, and requires that pods are never restarted in place.
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        let name = &pod["containers"][0]["name"];
        for rule in policy["rules"].as_array().unwrap() {
            if let Some(codes) = rule.get("onExitCodes") {
                assert_eq!(&codes["containerName"], name);
            }
        }
        let number = |field: &str| spec[field].as_u64().unwrap();
        assert!(number("backoffLimit") <= 5);
        assert!((3600..86_400).contains(&number("activeDeadlineSeconds")));
        assert!(number("ttlSecondsAfterFinished") >= 86_400);
    }
    assert_eq!(document("kubernetes/base/cron-job.yaml")["spec"]["concurrencyPolicy"], "Forbid");
}

fn bytes(quantity: &Value) -> u64 {
    let text = plain(quantity);
    let (number, unit) = text.split_at(text.len() - 2);
    let unit = match unit {
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        other => panic!("{other}"),
    };
    number.parse::<u64>().unwrap() * unit
}

#[test]
fn pods_have_no_rights_and_the_memory_that_the_budget_asks_for() {
    let config: Value =
        serde_saphyr::from_str(&plain(&documents("kubernetes/base/config.yaml")[0]["data"]["config.yaml"]))
            .unwrap();
    let budget = config["resources"]["memory_bytes"].as_u64().unwrap();
    let mut pods: Vec<(String, Value)> = vec![("the CronJob".to_owned(), cron_pod())];
    pods.extend(jobs().into_iter().map(|(name, job)| (name, job["spec"]["template"]["spec"].clone())));
    let workflow = document("argo/workflow-template.yaml")["spec"].clone();
    for template in workflow["templates"].as_array().unwrap() {
        if let Some(container) = template.get("container") {
            let mut pod = workflow.clone();
            pod["containers"] = Value::Array(vec![container.clone()]);
            pods.push((plain(&template["name"]), pod));
        }
    }
    assert_eq!(pods.len(), 15);
    for (name, pod) in pods {
        let container = &pod["containers"][0];
        let (of_pod, of_container) = (&pod["securityContext"], &container["securityContext"]);
        assert_eq!(of_pod["runAsNonRoot"], true, "{name}");
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(of_container["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(of_container["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(strings(&of_container["capabilities"]["drop"]), ["ALL"], "{name}");

        let (requests, limits) = (&container["resources"]["requests"], &container["resources"]["limits"]);
        assert_eq!(requests["memory"], limits["memory"], "{name}");
        if name != "status" {
            assert_eq!(bytes(&limits["memory"]), budget * 5 / 4, "{name}");
        }

        // The only writable volume is for temporary files, and smaller than the pod's storage limit.
        let scratch =
            pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "scratch").unwrap();
        if name != "status" {
            assert!(bytes(&scratch["emptyDir"]["sizeLimit"]) < bytes(&limits["ephemeral-storage"]), "{name}");
        }
        let writable: Vec<String> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|mount| mount["readOnly"] != true)
            .map(|mount| plain(&mount["mountPath"]))
            .collect();
        assert_eq!(writable, [plain(&config["resources"]["temp_dir"])], "{name}");
        let tmpdir = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .find(|variable| variable["name"] == "TMPDIR")
            .unwrap();
        assert_eq!(tmpdir["value"], config["resources"]["temp_dir"], "{name}");
    }
}

/// Settings of an overlay, merged over the base.
pub(crate) fn environment_of(overlay: &str) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = documents("kubernetes/base/config.yaml")[1]["data"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect();
    for operation in documents(&format!("kubernetes/overlays/{overlay}/env.yaml"))[0].as_array().unwrap() {
        env.insert(
            plain(&operation["path"]).strip_prefix("/data/").unwrap().to_owned(),
            plain(&operation["value"]),
        );
    }
    env
}

#[test]
fn what_a_pod_refers_to_is_there() {
    let mut there: Vec<String> = files("kubernetes/base", ".yaml")
        .iter()
        .chain(&files("argo", ".yaml"))
        .flat_map(|file| documents(file))
        .filter_map(|document| document["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    // This Secret is created by each installation.
    there.push(plain(&document("kubernetes/overlays/local-minio/secret.yaml")["metadata"]["name"]));
    let workflow = document("argo/workflow-template.yaml");
    let jobs: Vec<Value> = jobs().into_values().collect();
    let (mut references, mut secrets) = (0, 0);
    for document in jobs.iter().chain([&document("kubernetes/base/cron-job.yaml"), &workflow]) {
        for object in objects(document) {
            let sources =
                ["configMapRef", "secretRef", "configMap"].iter().filter_map(|field| object.get(field));
            let referred = sources
                .filter_map(|reference| reference["name"].as_str())
                .chain(object["serviceAccountName"].as_str());
            for name in referred {
                references += 1;
                assert!(there.iter().any(|other| other == name), "{name}");
            }
            // With a role for the bucket and no database, there is nothing to put into a Secret, so it is optional.
            if let Some(secret) = object.get("secretRef") {
                secrets += 1;
                assert_eq!(secret["optional"], true, "{secret}");
            }
        }
    }
    assert!(references > 40, "{references}");
    // In the CronJob, in each one-shot Job, and in three steps of the workflow.
    assert_eq!(secrets, 1 + 11 + 3);
}
