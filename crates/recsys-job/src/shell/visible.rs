//! Escapes control characters in text for terminals.
//!
//! Names, addresses and messages come from files and services that others can write to. A control character in them
//! could move the cursor, change colours or rename the window; a bidi control could reorder the text. All output passes
//! through here, so that such characters are shown, not obeyed.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is a control or bidi control character.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces each control character, except those in `kept`, with the output of `escape`.
fn escaped<'a>(text: &'a str, kept: &[char], escape: impl Fn(&mut String, char)) -> Cow<'a, str> {
    let is_escaped = |c: char| is_control(c) && !kept.contains(&c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) { escape(&mut shown, c) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

fn as_in_rust(shown: &mut String, c: char) {
    shown.extend(c.escape_default());
}

/// Escapes a single line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, &[], as_in_rust)
}

/// Escapes text of several lines; line ends are kept.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n'], as_in_rust)
}

/// Escapes a log line, which may have colours. The logging library has already escaped any other ESC.
pub(crate) fn log_line(text: &str) -> Cow<'_, str> {
    escaped(text, &['\u{1b}'], as_in_rust)
}

/// Escapes a JSON document with JSON escapes; its value stays the same.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n'], |shown, c| {
        // All of them are below U+10000.
        let _ = write!(shown, "\\u{:04x}", u32::from(c));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let strange = "a\u{1b}[2J\rb\u{9b}c\u{7f}\u{202e}d\u{2066}\u{200f}\u{61c}\te\n";
        let shown = "a\\u{1b}[2J\\rb\\u{9b}c\\u{7f}\\u{202e}d\\u{2066}\\u{200f}\\u{61c}\\te";
        assert_eq!(line(strange), format!("{shown}\\n"));
        assert_eq!(lines(strange), format!("{shown}\n"));
        assert_eq!(log_line("\u{1b}[2mx\u{1b}[0m\u{202e}\n"), "\u{1b}[2mx\u{1b}[0m\\u{202e}\\n");
        assert_eq!(json("{\n  \"a\": \"\u{9b}\u{202e}\"\n}"), "{\n  \"a\": \"\\u009b\\u202e\"\n}");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["", "demo/home", "Größe 店 שלום", "👩‍👩‍👧 \u{301}e\u{a0}"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
            assert_eq!(json(text), text);
        }
    }
}
