//! What a job says on standard output: lines for people as things happen, or one JSON document at the end.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::shell::error::JobError;
use crate::shell::visible;

/// Standard output in one of two forms.
pub(crate) struct Output {
    json: bool,
    /// The first write that failed.
    failure: Cell<Option<io::Error>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, failure: Cell::new(None) }
    }

    /// A line of the summary; left out when a document is asked for.
    pub(crate) fn line(&self, line: impl Display) {
        if !self.json {
            self.write(|out| writeln!(out, "{}", visible::lines(&line.to_string())));
        }
    }

    /// Ends the output, with the document when one is asked for. What was done before a failure is reported,
    /// too. Returns the outcome of the job, or else that of writing.
    pub(crate) fn end(
        self,
        document: &impl Serialize,
        outcome: Result<(), JobError>,
    ) -> Result<(), JobError> {
        if self.json {
            self.write(|out| {
                let document = serde_json::to_string_pretty(document)?;
                writeln!(out, "{}", visible::json(&document))
            });
        }
        outcome.and(self.failure.into_inner().map_or(Ok(()), |error| Err(JobError::Output(error))))
    }

    fn write(&self, write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
        let mut out = io::stdout().lock();
        match write(&mut out).and_then(|()| out.flush()) {
            // Whoever closed the pipe has seen enough: that is no failure of the job.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => self.failure.set(Some(error)),
            _ => {}
        }
    }
}
