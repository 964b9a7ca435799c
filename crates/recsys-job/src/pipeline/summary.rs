//! What a job says of its days: lines for people as each is done, and the document that `--json` prints at the end.

use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use serde::Serialize;

use crate::pipeline::context::Context;
use crate::shell::output::Output;

/// The document that a job prints with `--json`.
#[derive(Serialize)]
struct Document<'a, D> {
    #[serde(flatten)]
    scope: &'a Scope,
    days: Vec<D>,
}

/// What a job says of its days.
pub(crate) struct Summary<'a, D> {
    pub(crate) output: Output,
    document: Document<'a, D>,
    /// What the job ends with if no day fails.
    pub(crate) held: Option<anyhow::Error>,
}

impl<'a, D: Serialize> Summary<'a, D> {
    pub(crate) fn new(ctx: &'a Context, json: bool) -> Self {
        let document = Document { scope: &ctx.scope, days: Vec::new() };
        Self { output: Output::new(json), document, held: None }
    }

    /// Works on one day after the other. The output ends with the days that were done, whatever became of the others.
    pub(crate) fn each_day(
        mut self,
        days: Vec<Day>,
        mut work: impl FnMut(Day, &mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let done = days.into_iter().try_for_each(|day| work(day, &mut self));
        self.end(done)
    }

    /// Begins the lines about a day.
    pub(crate) fn about(&self, day: Day) -> &Output {
        self.output.line(format_args!("{} {day}", self.document.scope));
        &self.output
    }

    /// Puts what was done into the document.
    pub(crate) fn add(&mut self, done: D) {
        self.document.days.push(done);
    }

    /// Ends the output. Returns the outcome of the job.
    pub(crate) fn end(self, done: anyhow::Result<()>) -> anyhow::Result<()> {
        let Self { output, document, held, .. } = self;
        output.end(&document, done.and(held.map_or(Ok(()), Err)))
    }
}
