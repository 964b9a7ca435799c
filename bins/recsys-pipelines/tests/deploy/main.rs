//! What is in `deploy/` does what it says: the steps of the compose file and of the DAGs run as processes, with the
//! commands, arguments and environment that they declare, against real servers; and every name that a manifest
//! uses exists. `scripts/check-deploy` holds the same files against their schemas.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]
#![allow(clippy::print_stderr, reason = "why a step failed is shown with the test that fails by it")]

mod argo;
mod compose;
mod documents;
mod kubernetes;
mod monitoring;
mod site;
mod surface;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    /// With this exit code.
    Failed(i32),
    /// Its condition said no; what depends on it goes on.
    Skipped,
    /// Something that it depends on did not succeed.
    NotStarted,
}

impl Outcome {
    fn lets_others_go_on(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }
}

/// Runs steps, given as names and what each depends on. Of those that may run it takes the one that is declared last, so
/// that a dependency that nobody has declared shows.
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

/// The steps with this outcome, in the order of their names.
fn with_outcome(outcome: Outcome, steps: &[(String, Outcome)]) -> Vec<&str> {
    let mut names: Vec<&str> =
        steps.iter().filter(|(_, other)| *other == outcome).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}
