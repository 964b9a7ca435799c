//! Runs the commands of a Markdown page, as a reader would type them.
//!
//! A fenced block of language `console` holds commands, one per line that begins with `$ `, each followed by its
//! expected output. In the output, `[..]` matches any text within a line, and a line `...` matches any lines.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A command of a page and its expected output.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line.trim_end() == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            steps.push(Step { line: number + 1, command: command.to_owned(), expected: Vec::new() });
        } else if inside {
            steps.last_mut().expect("a block begins with a command").expected.push(line.to_owned());
        }
    }
    steps
}

/// Whether a line of output matches a line of the page.
fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some(part) => part.is_empty() || line.ends_with(part),
    }
}

fn matches(expected: &[String], actual: &[&str]) -> bool {
    match (expected, actual) {
        ([], actual) => actual.is_empty(),
        ([any, rest @ ..], actual) if any == "..." => {
            (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..]))
        }
        ([pattern, expected @ ..], [line, actual @ ..]) => {
            line_matches(pattern, line) && matches(expected, actual)
        }
        (_, []) => false,
    }
}

/// Runs every command of `page` in `folder`, in order, after applying `prepare` to it; returns the number of commands.
///
/// # Panics
/// If a command's output differs from the page, or if it fails and the page does not show that.
pub fn run_page(page: &Path, folder: &Path, prepare: impl Fn(&mut Command)) -> usize {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let steps = steps(&text);
    for Step { line, command, expected } in &steps {
        let place = format!("{}:{line}: $ {command}", page.display());
        let mut bash = Command::new("bash");
        bash.current_dir(folder).args(["-c", &format!("exec 2>&1\n{command}")]);
        prepare(&mut bash);
        let output = bash.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let actual: Vec<&str> = stdout.lines().collect();
        assert!(output.status.success(), "{place}\nfails: {output:#?}");
        assert!(
            matches(expected, &actual),
            "{place}\nprints:\n{stdout}\nthe page says:\n{}",
            expected.join("\n")
        );
    }
    steps.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_text_and_lines() {
        assert!(line_matches("a[..]c", "abbc"));
        assert!(line_matches("[..]", ""));
        assert!(line_matches("[..]c", "ccc"));
        assert!(!line_matches("a[..]c", "abbcd"));
        assert!(!line_matches("abc", "abcd"));
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert!(matches(&lines(&["a", "...", "d"]), &["a", "b", "c", "d"]));
        assert!(!matches(&lines(&["a", "...", "d"]), &["a", "b", "c"]));
        assert!(!matches(&lines(&["a"]), &["a", "b"]));
        assert!(matches(&[], &[]));
    }

    #[test]
    fn a_page_is_its_console_blocks() {
        let page = "x\n```sh\n$ no\n```\n```console\n$ one\nout\n$ two\n```\n$ no\n";
        let steps = steps(page);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].command.as_str(), steps[0].expected.len(), steps[0].line), ("one", 1, 6));
        assert_eq!(steps[1].command, "two");
    }
}
