//! Names used in manifests match those of the binaries.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use recsys_testkit::golden::repository;
use recsys_testkit::sandbox::{BINARIES, Finished, Sandbox, binaries};
use serde_json::Value;

use crate::documents::{document, documents, files, objects, plain, strings, text};
use crate::kubernetes::environment_of;

fn help(words: &[&str]) -> String {
    let output = Sandbox::new().command(words[0]).args(&words[1..]).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The exit codes that retrying does not heal, from the binaries' help.
pub(crate) fn given_up_codes() -> Vec<i64> {
    let help = help(&["job_ingest"]);
    let line = help.lines().find(|line| line.ends_with("do not heal by trying again.")).expect("the codes");
    let codes: Vec<i64> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    assert_eq!(codes.len(), 3, "{line}");
    codes
}

/// All containers of all manifests: pods, Argo templates, compose services.
fn containers() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for file in files(".", ".yaml").into_iter().chain(files(".", ".yml")) {
        for document in documents(&file) {
            for object in objects(&document) {
                if object["command"].is_array() {
                    found.push((file.clone(), object.clone()));
                }
            }
        }
    }
    found
}

/// Containers that run one of our binaries, with the words of their command lines.
fn commands() -> Vec<(String, Vec<String>)> {
    let words = |container: &Value| [strings(&container["command"]), strings(&container["args"])].concat();
    let mut commands: Vec<(String, Vec<String>)> =
        containers().into_iter().map(|(file, container)| (file, words(&container))).collect();
    // In the workflow template the job is a parameter; the tasks list its values.
    let jobs: BTreeSet<String> = documents("argo/workflow-template.yaml")
        .iter()
        .flat_map(objects)
        .filter(|object| object["name"] == "job" && object.get("value").is_some())
        .map(|object| plain(&object["value"]))
        .collect();
    let templated: Vec<(String, Vec<String>)> =
        commands.iter().filter(|(_, words)| words[0].starts_with("{{")).cloned().collect();
    commands.retain(|(_, words)| BINARIES.contains(&words[0].as_str()));
    for (file, words) in templated {
        let takes_segment = words.iter().any(|word| word.contains("--segment"));
        for job in &jobs {
            if takes_segment != ["job_ingest", "job_validate"].contains(&job.as_str()) {
                commands.push((file.clone(), [vec![job.clone()], words[1..].to_vec()].concat()));
            }
        }
    }
    commands
}

/// The flags in a word, which may be an Argo expression.
fn flags(word: &str) -> Vec<String> {
    let starts = word
        .match_indices("--")
        .map(|(at, _)| at)
        .filter(|at| !word[..*at].ends_with(|c: char| c.is_alphanumeric()));
    starts
        .map(|at| word[at..].split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap().to_owned())
        .filter(|flag| flag != "--")
        .collect()
}

#[test]
fn every_flag_of_a_manifest_is_one_of_its_binary() {
    let commands = commands();
    assert_eq!(commands.len(), 12 + 1 + 11 + 9 + 1, "{commands:#?}");
    let mut checked = 0;
    for (file, words) in commands {
        let subcommands = words[1..].iter().take_while(|word| !word.starts_with('-') && !word.contains("{{"));
        let line: Vec<&str> = std::iter::once(&words[0]).chain(subcommands).map(String::as_str).collect();
        let help = help(&line);
        for flag in words.iter().flat_map(|word| flags(word)) {
            let known = help.lines().any(|line| line.split_whitespace().next() == Some(flag.as_str()));
            assert!(known, "{file}: {} has no {flag}", line.join(" "));
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
    assert_eq!(
        flags("{{=x == '' ? '--log-format=json' : '--window-days=' + x}}"),
        ["--log-format", "--window-days"]
    );
}

/// Settings of a section and its subsections. An empty section is itself a setting.
fn settings(prefix: &str, value: &Value) -> Vec<String> {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return vec![prefix.trim_end_matches("__").to_owned()];
    };
    fields
        .iter()
        .flat_map(|(key, value)| settings(&format!("{prefix}{}__", key.to_uppercase()), value))
        .collect()
}

#[test]
fn every_variable_of_a_manifest_is_one_of_the_binaries() {
    let config = serde_json::to_value(recsys_job::config::Config::default()).unwrap();
    let known = settings("RECSYS_PIPELINES__", &config);
    let page = fs::read_to_string(repository().join("docs/reference/environment.md")).unwrap();
    let mut found = BTreeSet::new();
    for file in [files("kubernetes", ".yaml"), files("argo", ".yaml"), files("compose", ".yml")].concat() {
        let text = text(&file);
        for (at, _) in text.match_indices("RECSYS_PIPELINES__") {
            let name = text[at..]
                .split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
                .next()
                .unwrap();
            assert!(known.iter().any(|setting| setting == name), "{file}: {name} is no setting");
            found.insert(name.to_owned());
        }
    }
    assert!(found.len() > 10, "{found:?}");
    for (file, container) in containers() {
        let words = [strings(&container["command"]), strings(&container["args"])].concat();
        if !BINARIES.contains(&words[0].as_str()) && !words[0].starts_with("{{") {
            continue;
        }
        let names: Vec<String> = match (&container["env"], &container["environment"]) {
            (Value::Array(variables), _) => {
                variables.iter().map(|variable| plain(&variable["name"])).collect()
            }
            (_, Value::Object(variables)) => variables.keys().cloned().collect(),
            _ => Vec::new(),
        };
        for name in names.iter().filter(|name| !name.starts_with("RECSYS_PIPELINES__")) {
            let is_used = words.iter().any(|word| word.contains(&format!("$({name})")));
            assert!(is_used || page.contains(&format!("`{name}`")), "{file}: nothing knows {name}");
        }
    }
}

/// Without this setting, the lines at the beginning and end of a step are hidden.
#[test]
fn every_installation_logs_its_steps() {
    for overlay in ["local-minio", "production"] {
        assert_eq!(environment_of(overlay)["RUST_LOG"], "info", "{overlay}");
    }
    let mut jobs = 0;
    for service in document("compose/docker-compose.yml")["services"].as_object().unwrap().values() {
        if plain(&service["image"]).contains("recsys-pipelines") {
            assert_eq!(service["environment"]["RUST_LOG"], "info", "{service}");
            jobs += 1;
        }
    }
    assert_eq!(jobs, 13);
}

#[test]
fn the_settings_of_each_installation_are_valid() {
    let sandbox = Sandbox::new();
    let base = plain(&documents("kubernetes/base/config.yaml")[0]["data"]["config.yaml"]);
    let production = documents("kubernetes/overlays/production/config.yaml").remove(0);
    assert_eq!(
        (&production[0]["op"], &production[0]["path"]),
        (&"replace".into(), &"/data/config.yaml".into())
    );
    let production = plain(&production[0]["value"]);
    // It extends the base without changing it; the memory limit, for one, is the same.
    assert!(production.starts_with(&base), "{production}");
    sandbox.write("local-minio.yaml", base);
    sandbox.write("production.yaml", production);
    sandbox.write("compose.yaml", text("compose/config.yaml"));
    let check = |config: &str| {
        let mut command = sandbox.command("recsys-pipelines");
        command.args(["config", "check", "--config", config]);
        command
    };
    let valid = |command: &mut Command| {
        let finished = Finished::from(command.output().unwrap());
        assert_eq!(finished.ok().stdout, "the configuration is valid\n");
    };
    valid(&mut check("compose.yaml"));
    for overlay in ["local-minio", "production"] {
        valid(check(&format!("{overlay}.yaml")).envs(environment_of(overlay)));
    }
}

#[test]
fn the_paths_of_the_image_are_those_of_the_manifests() {
    let dockerfile = text("docker/Dockerfile");
    assert!(dockerfile.contains("\nUSER 65532:65532\n"));
    assert!(dockerfile.contains("\nCOPY --from=build /out/ /usr/local/bin/\n"));
    // Commands are found in that folder by name, and the configuration is the mounted file.
    for (file, words) in commands() {
        let config = words.iter().find(|word| word.contains("/etc/"));
        assert_eq!(
            config.unwrap().trim_start_matches("--config="),
            "/etc/recsys/config.yaml",
            "{file}: {words:?}"
        );
    }
    for (file, container) in containers() {
        for mount in container["volumeMounts"].as_array().unwrap_or(&Vec::new()) {
            if mount["name"] == "config" {
                assert_eq!(mount["mountPath"], "/etc/recsys", "{file}");
            }
        }
    }
    assert!(documents("kubernetes/base/config.yaml")[0]["data"].get("config.yaml").is_some());
}

/// The job binaries are small: they start the program next to them, and report if it is missing.
#[test]
fn a_job_without_the_program_beside_it_says_what_is_missing() {
    let sandbox = Sandbox::new();
    for binary in BINARIES.iter().filter(|binary| **binary != "recsys-pipelines") {
        let alone = sandbox.join(binary);
        fs::copy(binaries().join(binary), &alone).unwrap();
        let finished = Finished::from(Command::new(&alone).arg("--help").output().unwrap());
        let program = sandbox.join("recsys-pipelines");
        finished.fails(2, &[binary, program.to_str().unwrap(), "is not there; install both into one folder"]);
        assert_eq!(finished.stdout, "", "{binary}");
    }
    // With the program in place, it runs as that job.
    fs::copy(binaries().join("recsys-pipelines"), sandbox.join("recsys-pipelines")).unwrap();
    let finished = Finished::from(Command::new(sandbox.join("job_cooc")).arg("--version").output().unwrap());
    assert!(finished.ok().stdout.starts_with("job_cooc "), "{}", finished.stdout);
}

#[test]
fn the_manifest_is_where_the_serving_side_looks() {
    // The registry is below `out_dir`; the rest of the path is fixed by the contract.
    for env in [environment_of("local-minio"), environment_of("production")] {
        assert_eq!(env["RECSYS_PIPELINES__OUT_DIR"], "s3://recsys-artifacts");
        assert!(!env.contains_key("RECSYS_PIPELINES__REGISTRY_DIR"));
    }
    assert_eq!(documents("compose/config.yaml")[0]["out_dir"], "s3://recsys-artifacts");
}
