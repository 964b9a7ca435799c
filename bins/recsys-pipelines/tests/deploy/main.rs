//! Checks that the files in `deploy/` work. The steps of the compose file and the DAGs run as processes, with their
//! declared commands, arguments and environment, against real servers; and every name used in a manifest exists.
//! `scripts/check-deploy` validates the same files against their schemas.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]
#![allow(clippy::print_stderr, reason = "why a step failed is shown with the test that fails by it")]

mod argo;
mod compose;
mod documents;
mod kubernetes;
mod monitoring;
mod site;
mod surface;

/// Outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    /// With this exit code.
    Failed(i32),
    /// Its condition was false; steps that depend on it still run.
    Skipped,
    /// A dependency did not succeed.
    NotStarted,
}

impl Outcome {
    fn lets_others_go_on(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }
}

/// Runs steps, given as names and dependencies. Of the steps that are ready, the one declared last runs first, which
/// exposes undeclared dependencies.
fn in_order(
    steps: Vec<(String, Vec<String>)>,
    mut run: impl FnMut(&str) -> Outcome,
) -> Vec<(String, Outcome)> {
    let mut done: Vec<(String, Outcome)> = Vec::new();
    let mut waiting = steps;
    while !waiting.is_empty() {
        let outcome_of =
            |name: &String| done.iter().find(|(step, _)| step == name).map(|(_, outcome)| *outcome);
        let next = waiting.iter().rposition(|(_, after)| after.iter().all(|name| outcome_of(name).is_some()));
        let (name, after) =
            &waiting[next.unwrap_or_else(|| panic!("a circle, or a name that is not there: {waiting:?}"))];
        let ready = after.iter().all(|name| outcome_of(name).unwrap().lets_others_go_on());
        let outcome = if ready { run(name) } else { Outcome::NotStarted };
        let name = name.clone();
        waiting.retain(|(other, _)| *other != name);
        done.push((name, outcome));
    }
    done
}

/// The steps with this outcome, sorted by name.
fn with_outcome(outcome: Outcome, steps: &[(String, Outcome)]) -> Vec<&str> {
    let mut names: Vec<&str> =
        steps.iter().filter(|(_, other)| *other == outcome).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}
