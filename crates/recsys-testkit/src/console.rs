//! Runs the commands of a Markdown page, as a reader would type them.
//!
//! A fenced block of language `console` holds commands, one per line that begins with `$ `, each followed by its
//! expected output. In the output, `[..]` matches any text within a line, and a line `...` matches any lines.

use std::fs;
use std::path::Path;
use std::process::Command;

use snapbox::{Assert, IntoData};

/// A command of a page and its expected output.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    expected: String,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line.trim_end() == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            steps.push(Step { line: number + 1, command: command.to_owned(), expected: String::new() });
        } else if inside {
            let expected = &mut steps.last_mut().expect("a block begins with a command").expected;
            expected.extend([line, "\n"]);
        }
    }
    steps
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
        assert!(output.status.success(), "{place}\nfails: {output:#?}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        // Each line with its end, also the last one.
        let actual: String = stdout.lines().flat_map(|line| [line, "\n"]).collect();
        let compared =
            Assert::new().normalize_paths(false).try_eq(None, actual.into_data(), expected.into_data());
        compared.unwrap_or_else(|error| panic!("{place}\n{error}"));
    }
    steps.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_its_console_blocks() {
        let page = "x\n```sh\n$ no\n```\n```console\n$ one\nout\n$ two\n```\n$ no\n";
        let steps = steps(page);
        let steps: Vec<_> = steps.iter().map(|step| (step.line, &*step.command, &*step.expected)).collect();
        assert_eq!(steps, [(6, "one", "out\n"), (8, "two", "")]);
    }

    #[test]
    fn what_a_page_shows_is_compared_with_what_is_printed() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        for (shown, is_right) in [
            ("one\ntwo\nthree\n", true),
            ("one\n...\nth[..]\n", true),
            ("...\n", true),
            ("one\ntwo\n", false),
            ("one\n...\ntwo\n", false),
            ("one\n[..]\nthree[..]x\n", false),
            ("", false),
        ] {
            fs::write(&page, format!("```console\n$ printf 'one\\ntwo\\nthree'\n{shown}```\n")).unwrap();
            let run = std::panic::catch_unwind(|| run_page(&page, folder.path(), |_| ()));
            assert_eq!(run.is_ok(), is_right, "{shown}");
        }
    }
}
