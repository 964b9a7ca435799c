//! The workflow template and its schedule. [`Workflow`] imitates Argo's controller for the few features they use, and
//! rejects all others.

use std::cell::RefCell;
use std::collections::BTreeMap;

use expr::{Context, Environment, Value as Expr};
use recsys_core::artifact::Kind;
use serde_json::Value;

use crate::documents::{document, documents, plain, strings};
use crate::kubernetes::settings;
use crate::site::{Container, Site};
use crate::surface::given_up_codes;
use crate::{Outcome, in_order, with_outcome};

const TEMPLATE: &str = "argo/workflow-template.yaml";
const CRON: &str = "argo/cron-workflow.yaml";

type Variables = BTreeMap<String, String>;

/// A submitted workflow.
struct Workflow<'a> {
    site: &'a Site,
    spec: Value,
    global: Variables,
    /// Finished steps, by path.
    report: RefCell<Vec<(String, Outcome)>>,
}

impl<'a> Workflow<'a> {
    /// `argo submit --from workflowtemplate/recsys-pipelines -p NAME=VALUE…`
    fn new(site: &'a Site, parameters: &[(&str, &str)]) -> Self {
        let spec = document(TEMPLATE)["spec"].clone();
        let mut global: Variables = [("workflow.name", "recsys-abc12"), ("workflow.status", "Succeeded")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for parameter in spec["arguments"]["parameters"].as_array().unwrap() {
            global.insert(
                format!("workflow.parameters.{}", plain(&parameter["name"])),
                plain(&parameter["value"]),
            );
        }
        for (name, value) in parameters {
            let old = global.insert(format!("workflow.parameters.{name}"), (*value).to_owned());
            assert!(old.is_some(), "{name} is no parameter");
        }
        Self { site, spec, global, report: RefCell::default() }
    }

    /// Runs an entry point and then the exit handler.
    fn submit(&self, entrypoint: &str, on_exit: &str) -> Outcome {
        let outcome = self.template(entrypoint, entrypoint, &Variables::new());
        self.template(on_exit, on_exit, &Variables::new());
        outcome
    }

    fn template(&self, path: &str, name: &str, arguments: &Variables) -> Outcome {
        let templates = self.spec["templates"].as_array().unwrap();
        let template = templates
            .iter()
            .find(|template| template["name"] == name)
            .unwrap_or_else(|| panic!("no template {name}"));
        let mut variables = self.global.clone();
        for parameter in template["inputs"]["parameters"].as_array().unwrap_or(&Vec::new()) {
            let parameter_name = plain(&parameter["name"]);
            let value = arguments
                .get(&parameter_name)
                .cloned()
                .or_else(|| parameter.get("value").map(|value| filled(&plain(value), &self.global)));
            let value = value.unwrap_or_else(|| panic!("{path}: nobody gives {parameter_name}"));
            variables.insert(format!("inputs.parameters.{parameter_name}"), value);
        }
        for mutex in template["synchronization"]["mutexes"].as_array().unwrap_or(&Vec::new()) {
            filled(&plain(&mutex["name"]), &variables);
        }
        if template.get("container").is_some() {
            let outcome = self.site.step(&container(template, &variables));
            self.report.borrow_mut().push((path.to_owned(), outcome));
            outcome
        } else if template.get("dag").is_some() {
            self.dag(path, template, &variables)
        } else if template.get("steps").is_some() {
            for tasks in template["steps"].as_array().unwrap() {
                for task in tasks.as_array().unwrap() {
                    self.task(&format!("{path}.{}", plain(&task["name"])), task, &variables);
                }
            }
            Outcome::Succeeded
        } else {
            panic!("{path}: this test does not know the template's kind")
        }
    }

    fn dag(&self, path: &str, template: &Value, variables: &Variables) -> Outcome {
        let tasks = template["dag"]["tasks"].as_array().unwrap();
        let steps = tasks.iter().map(|task| {
            // A bare name means that the task succeeded or was skipped.
            let depends = task.get("depends").map(plain).unwrap_or_default();
            let after: Vec<String> = depends
                .split("&&")
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect();
            (plain(&task["name"]), after)
        });
        let outcomes = in_order(steps.collect(), |name| {
            let task = tasks.iter().find(|task| task["name"] == name).unwrap();
            self.task(&format!("{path}.{name}"), task, variables)
        });
        for (name, outcome) in &outcomes {
            if *outcome == Outcome::NotStarted {
                self.report.borrow_mut().push((format!("{path}.{name}"), *outcome));
            }
        }
        all(outcomes.into_iter().map(|(_, outcome)| outcome))
    }

    fn task(&self, path: &str, task: &Value, variables: &Variables) -> Outcome {
        if let Some(when) = task.get("when") {
            // Argo evaluates the condition after filling in the parameters.
            if eval(&filled(&plain(when), variables), &Variables::new()) != Expr::Bool(true) {
                self.report.borrow_mut().push((path.to_owned(), Outcome::Skipped));
                return Outcome::Skipped;
            }
        }
        let items = task.get("withParam").map(|list| {
            let list = filled(&plain(list), variables);
            serde_json::from_str::<Vec<Value>>(&list).unwrap_or_else(|error| panic!("{list}: {error}"))
        });
        let outcomes =
            items.unwrap_or_else(|| vec![Value::Null]).into_iter().enumerate().map(|(number, item)| {
                let mut variables = variables.clone();
                let mut path = path.to_owned();
                match &item {
                    Value::Null => {}
                    Value::Object(fields) => {
                        variables
                            .extend(fields.iter().map(|(key, value)| (format!("item.{key}"), plain(value))));
                        path += &format!("({number})");
                    }
                    other => {
                        variables.insert("item".to_owned(), plain(other));
                        path += &format!("({})", plain(other));
                    }
                }
                let mut arguments = Variables::new();
                for parameter in task["arguments"]["parameters"].as_array().unwrap_or(&Vec::new()) {
                    arguments
                        .insert(plain(&parameter["name"]), filled(&plain(&parameter["value"]), &variables));
                }
                self.template(&path, &plain(&task["template"]), &arguments)
            });
        all(outcomes.collect::<Vec<_>>())
    }

    fn outcomes(&self, outcome: Outcome) -> Vec<String> {
        with_outcome(outcome, &self.report.borrow()).into_iter().map(str::to_owned).collect()
    }
}

/// The container that a template runs.
fn container(template: &Value, variables: &Variables) -> Container {
    let container = &template["container"];
    let words = strings(&container["command"]).into_iter().chain(strings(&container["args"]));
    let mut env = settings(&container["envFrom"]);
    for variable in container["env"].as_array().unwrap() {
        env.insert(plain(&variable["name"]), filled(&plain(&variable["value"]), variables));
    }
    Container { command: words.map(|word| filled(&word, variables)).collect(), env }
}

/// Fills in `{{name}}`, and evaluates `{{=expression}}`.
fn filled(text: &str, variables: &Variables) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("{{") {
        let end = start + text[start..].find("}}").expect("a closing brace");
        let tag = &text[start + 2..end];
        let value = match tag.strip_prefix('=') {
            Some(expression) => eval(expression, variables).as_string().unwrap().to_owned(),
            None => variables.get(tag).unwrap_or_else(|| panic!("{text}: no {tag}")).clone(),
        };
        text.replace_range(start..end + 2, &value);
    }
    text
}

fn all(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    outcomes.into_iter().find(|outcome| !outcome.lets_others_go_on()).unwrap_or(Outcome::Succeeded)
}

/// Evaluates an expression; dots in variable names separate levels.
fn eval(expression: &str, variables: &Variables) -> Expr {
    fn tree(variables: &[(Vec<&str>, &str)]) -> Expr {
        let mut fields: BTreeMap<&str, Vec<(Vec<&str>, &str)>> = BTreeMap::new();
        for (name, value) in variables {
            match name.as_slice() {
                [] => return Expr::from(*value),
                [first, rest @ ..] => fields.entry(first).or_default().push((rest.to_vec(), value)),
            }
        }
        fields.into_iter().map(|(name, below)| (name, tree(&below))).collect()
    }
    let split: Vec<(Vec<&str>, &str)> =
        variables.iter().map(|(name, value)| (name.split('.').collect(), value.as_str())).collect();
    let mut context = Context::default();
    let firsts: std::collections::BTreeSet<&str> = split.iter().map(|(name, _)| name[0]).collect();
    for first in firsts {
        let below: Vec<(Vec<&str>, &str)> = split
            .iter()
            .filter(|(name, _)| name[0] == first)
            .map(|(name, value)| (name[1..].to_vec(), *value))
            .collect();
        context.insert(first, tree(&below));
    }
    Environment::new().eval(expression, &context).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

#[test]
fn the_dag_publishes_a_day_and_again_changes_nothing() {
    let site = Site::with_tables();
    let submit = || {
        let workflow = Workflow::new(&site, &[("db-signals", "true")]);
        assert_eq!(workflow.submit("run", "report"), Outcome::Succeeded, "{:?}", workflow.report);
        workflow.outcomes(Outcome::Succeeded)
    };
    let steps = [
        "report.status",
        "run.content-sim",
        "run.cooc",
        "run.db-signals",
        "run.implicit",
        "run.ingest",
        "run.popularity",
        "run.publish",
        "run.session-seq",
        "run.validate",
    ];
    assert_eq!(submit(), steps);
    assert_eq!(site.version(Kind::Popularity), "0277df26ddf2");
    assert_eq!(site.published().unwrap().len(), 5);
    assert_eq!(site.count("item_covisit_daily"), "114");
    let state = site.state();
    assert_eq!(submit(), steps);
    assert_eq!(site.state(), state);
}

#[test]
fn the_dag_takes_segment_and_window_and_leaves_postgres_alone() {
    let site = Site::of_cluster();
    for day in ["2026-01-01", "2026-01-02"] {
        let parameters = [("segment", "new"), ("window", "2"), ("start", day), ("end", day)];
        let workflow = Workflow::new(&site, &parameters);
        assert_eq!(workflow.submit("run", "report"), Outcome::Succeeded);
        assert_eq!(workflow.outcomes(Outcome::Skipped), ["report.post", "run.db-signals"]);
    }
    let staged = site.objects("artifacts");
    for kind in Kind::ALL {
        let pointer = format!("artifacts/demo/home/new/{kind}/2026-01-01_2026-01-03/current.version");
        assert!(staged.contains_key(&pointer), "{pointer}: {:?}", staged.keys());
    }
    assert_eq!(site.published().unwrap().len(), 5);
}

#[test]
fn what_depends_on_a_step_that_fails_does_not_start() {
    let site = Site::with_tables();
    site.break_binary("job_validate", "RECSYS_PIPELINES__VALIDATION__MIN_EVENTS", "1000");
    let workflow = Workflow::new(&site, &[("db-signals", "true")]);
    assert_eq!(workflow.submit("run", "report"), Outcome::Failed(3));
    assert_eq!(workflow.outcomes(Outcome::Failed(3)), ["run.validate"]);
    assert_eq!(
        workflow.outcomes(Outcome::NotStarted),
        [
            "run.content-sim",
            "run.cooc",
            "run.db-signals",
            "run.implicit",
            "run.popularity",
            "run.publish",
            "run.session-seq"
        ]
    );
    // The exit handler runs even after a failure.
    assert_eq!(workflow.outcomes(Outcome::Succeeded), ["report.status", "run.ingest"]);
    assert_eq!(site.published(), None);
}

#[test]
fn daily_runs_yesterday_for_each_scope_and_one_that_fails_does_not_stop_the_others() {
    let site = Site::of_cluster();
    let cron = document(CRON)["spec"]["workflowSpec"].clone();
    assert_eq!(cron["workflowTemplateRef"]["name"], document(TEMPLATE)["metadata"]["name"]);
    let scopes = r#"[{"tenant": "demo", "surface": "nowhere", "segment": "", "window": ""},
                     {"tenant": "demo", "surface": "home", "segment": "", "window": ""}]"#;
    let mut workflow = Workflow::new(&site, &[("scopes", scopes)]);
    // The annotation as written by a controller in a time zone west of Greenwich.
    workflow.global.insert("workflow.scheduledTime".to_owned(), "2026-01-02T22:00:00-05:00".to_owned());
    assert_eq!(workflow.submit(&plain(&cron["entrypoint"]), &plain(&cron["onExit"])), Outcome::Failed(3));
    assert_eq!(workflow.outcomes(Outcome::Failed(3)), ["daily.scope(0).validate"]);
    assert!(workflow.outcomes(Outcome::Succeeded).contains(&"daily.scope(1).publish".to_owned()));
    assert!(workflow.outcomes(Outcome::Succeeded).contains(&"report-scopes.status(1)".to_owned()));
    // In UTC that is 3 January, so the day to run is 2 January.
    assert_eq!(site.version(Kind::Popularity), "e9a8fc3dfda9");
    // The scopes of the schedule have the same form.
    let parameters = cron["arguments"]["parameters"].as_array().unwrap();
    assert_eq!((parameters.len(), plain(&parameters[0]["name"]).as_str()), (1, "scopes"));
    let listed: Vec<BTreeMap<String, String>> =
        serde_json::from_str(&plain(&parameters[0]["value"])).unwrap();
    assert!(
        listed.iter().all(|scope| scope.keys().eq(["segment", "surface", "tenant", "window"])),
        "{listed:?}"
    );
}

#[test]
fn a_backfill_publishes_once_at_the_end() {
    let site = Site::with_tables();
    let days = [
        ("start", "2026-01-01"),
        ("end", "2026-01-03"),
        ("window", "2"),
        ("db-signals", "true"),
        ("days", r#"["2026-01-03", "2026-01-01", "2026-01-02"]"#),
    ];
    let submit = || {
        let workflow = Workflow::new(&site, &days);
        assert_eq!(workflow.submit("backfill", "report"), Outcome::Succeeded, "{:?}", workflow.report);
    };
    submit();
    let commands = site.log.borrow().clone();
    let nth =
        |binary: &str| commands.iter().filter(|command| command.starts_with(&format!("{binary} "))).count();
    assert_eq!(
        ["job_ingest", "job_validate", "job_cooc", "job_publish", "job_db_signals"].map(nth),
        [3, 1, 3, 1, 1]
    );
    assert_eq!(site.objects("registry/history").len(), 1);
    // A window of two days, although the days were given out of order: all days are ingested before any is built.
    let staged = site.objects("artifacts/demo/home/_all/popularity");
    let pointer = &staged["artifacts/demo/home/_all/popularity/2026-01-02_2026-01-04/current.version"];
    assert!(String::from_utf8_lossy(pointer).starts_with(&site.version(Kind::Popularity)));
    assert_eq!(site.database.rows("select distinct day from item_popularity_daily").len(), 3);
    let state = site.state();
    submit();
    assert_eq!(site.state(), state);

    // If a day cannot be built, nothing is published.
    let site = self::Site::of_cluster();
    site.break_binary("job_implicit", "RECSYS_PIPELINES__LIMITS__MAX_USERS_PER_RUN", "1");
    let workflow = Workflow::new(&site, &days);
    assert_eq!(workflow.submit("backfill", "report"), Outcome::Failed(4));
    assert_eq!(workflow.outcomes(Outcome::NotStarted), ["backfill.db-signals", "backfill.publish"]);
    assert_eq!(site.published(), None);
}

#[test]
fn fan_outs_are_bounded_and_runs_of_one_scope_exclude_each_other() {
    let spec = document(TEMPLATE)["spec"].clone();
    for template in spec["templates"].as_array().unwrap() {
        let name = plain(&template["name"]);
        let fans_out = template["dag"]["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.iter().any(|task| task.get("withParam").is_some()));
        assert_eq!(
            template["parallelism"].as_u64().is_some_and(|limit| (1..=4).contains(&limit)),
            fans_out,
            "{name}"
        );
        let publishes = template["dag"]["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.iter().any(|task| task["name"] == "publish"));
        let mutex = "recsys-{{inputs.parameters.tenant}}-{{inputs.parameters.surface}}";
        assert_eq!(template["synchronization"]["mutexes"][0]["name"] == mutex, publishes, "{name}");
    }
    assert_eq!(document(CRON)["spec"]["concurrencyPolicy"], "Forbid");
}

/// The cloud role belongs to the jobs' account, the cluster permissions to Argo's.
#[test]
fn jobs_and_argo_have_accounts_of_their_own() {
    let account = plain(&document("kubernetes/base/service-account.yaml")["metadata"]["name"]);
    let rbac = documents("argo/rbac.yaml");
    let of_kind = |kind: &str| rbac.iter().find(|object| object["kind"] == kind).unwrap();
    let of_argo = plain(&of_kind("ServiceAccount")["metadata"]["name"]);
    let binding = of_kind("RoleBinding");
    assert_eq!(binding["subjects"].as_array().unwrap().len(), 1);
    assert_eq!(binding["subjects"][0]["name"], of_argo.as_str());
    // The controller finds the token by this name.
    let token = of_kind("Secret");
    assert_eq!(plain(&token["metadata"]["name"]), format!("{of_argo}.service-account-token"));
    assert_eq!(token["metadata"]["annotations"]["kubernetes.io/service-account.name"], of_argo.as_str());

    let spec = document(TEMPLATE)["spec"].clone();
    assert_eq!(spec["serviceAccountName"], of_argo.as_str());
    for template in spec["templates"].as_array().unwrap() {
        if template.get("container").is_some() {
            assert_eq!(template["serviceAccountName"], account.as_str(), "{template}");
            assert_eq!(template["automountServiceAccountToken"], false, "{template}");
            assert_eq!(template["executor"]["serviceAccountName"], of_argo.as_str(), "{template}");
        } else {
            // The agent uses the account of the workflow.
            assert!(template.get("serviceAccountName").is_none(), "{template}");
        }
    }
}

#[test]
fn a_pod_has_as_long_to_end_as_that_of_the_cron_job() {
    let patch = plain(&document(TEMPLATE)["spec"]["podSpecPatch"]);
    let patch: Value = serde_json::from_str(&patch).unwrap();
    let cron = document("kubernetes/base/cron-job.yaml");
    let period = &cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(period.is_u64(), "{period}");
    assert_eq!(&patch["terminationGracePeriodSeconds"], period);
}

#[test]
fn retries_are_for_what_heals() {
    let spec = document(TEMPLATE)["spec"].clone();
    let given_up = given_up_codes();
    let mut containers = 0;
    for template in spec["templates"].as_array().unwrap() {
        if template.get("container").is_none() {
            assert!(template.get("retryStrategy").is_none(), "a whole DAG would be tried again: {template}");
            continue;
        }
        containers += 1;
        let retry = &template["retryStrategy"];
        assert_eq!((&retry["retryPolicy"], &retry["limit"]), (&"Always".into(), &"3".into()));
        // Argo reports -1 for a pod without an exit code.
        for code in [-1, 1, 2, 3, 4, 137, 143] {
            let variables = Variables::from([("lastRetry.exitCode".to_owned(), code.to_string())]);
            let again = eval(&plain(&retry["expression"]), &variables) == Expr::Bool(true);
            assert_eq!(again, !given_up.contains(&code), "{code}");
        }
        assert!(template.get("activeDeadlineSeconds").is_some(), "{template}");
    }
    assert_eq!(containers, 3);
}
