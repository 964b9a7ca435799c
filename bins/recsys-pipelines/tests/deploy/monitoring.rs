//! The alert rules and the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use recsys_testkit::golden::repository;
use serde_json::Value;

use crate::documents::{document, objects, plain, text};

/// The metrics named in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("recsys_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_use_metrics_that_there_are() {
    let page = fs::read_to_string(repository().join("docs/reference/metrics.md")).unwrap();
    // The first column of the page's tables.
    let known: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `recsys_")?.split_once('`'))
        .map(|(name, _)| format!("recsys_{name}"))
        .collect();
    let dashboard: Value = serde_json::from_str(&text("monitoring/grafana-dashboard.json")).unwrap();
    let panels: Vec<String> =
        objects(&dashboard).iter().filter_map(|object| object["expr"].as_str()).map(str::to_owned).collect();
    let rules = document("monitoring/alerts.yaml");
    let rules: Vec<String> = objects(&rules)
        .iter()
        .filter(|object| object.get("expr").is_some())
        .map(|object| plain(&object["expr"]))
        .collect();
    assert!(panels.len() > 10 && rules.len() > 5, "{panels:?} {rules:?}");
    for expression in panels.iter().chain(&rules) {
        let used = metrics(expression);
        assert!(
            !used.is_empty() && used.is_subset(&known),
            "{expression}: {used:?} are not all in {known:?}"
        );
    }
    // Every metric has a panel.
    let seen: BTreeSet<String> = panels.iter().flat_map(|expression| metrics(expression)).collect();
    let times = ["recsys_run_start_timestamp_seconds", "recsys_run_end_timestamp_seconds"].map(str::to_owned);
    assert_eq!(known.difference(&seen).cloned().collect::<Vec<_>>(), Vec::from_iter(BTreeSet::from(times)));
}

/// Output of `scripts/alert-rules`.
fn alert_rules(flags: &[&str]) -> Value {
    let script = repository().join("scripts/alert-rules");
    let output = Command::new(&script).args(flags).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[test]
fn the_prometheus_operator_gets_the_same_rules() {
    let rules = document("monitoring/alerts.yaml");
    let object = document("monitoring/prometheus-rule.yaml");
    assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(object["kind"], "PrometheusRule");
    assert_eq!(object["spec"]["groups"], rules["groups"], "run scripts/alert-rules --write");
    assert_eq!(alert_rules(&["--prometheus-rule"]), object);
    assert_eq!(alert_rules(&[]), rules);
}

#[test]
fn a_link_to_a_runbook_begins_with_the_address_that_is_given() {
    let address = "https://git.example.com/recsys-pipelines/blob/main";
    let rules = alert_rules(&["--runbooks", address]);
    let object = alert_rules(&["--runbooks", &format!("{address}/"), "--prometheus-rule"]);
    assert_eq!(object["spec"]["groups"], rules["groups"]);
    let mut links = 0;
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let link = plain(&rule["annotations"]["runbook_url"]);
        let path = link.strip_prefix(address).and_then(|path| path.strip_prefix('/'));
        assert!(repository().join(path.unwrap_or_else(|| panic!("{link}"))).is_file(), "{link}");
        links += 1;
    }
    assert_eq!(links, document("monitoring/alerts.yaml")["groups"][0]["rules"].as_array().unwrap().len());
}

#[test]
fn every_alert_has_a_runbook_and_a_test() {
    let rules = document("monitoring/alerts.yaml");
    let tests = text("monitoring/alerts-test.yaml");
    let page = fs::read_to_string(repository().join("docs/how-to/monitor.md")).unwrap();
    let mut alerts = 0;
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = plain(&rule["alert"]);
        let runbook = plain(&rule["annotations"]["runbook_url"]);
        assert!(repository().join(&runbook).is_file(), "{name}: {runbook}");
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not on the page");
        alerts += 1;
    }
    assert_eq!(alerts, 9);
}
