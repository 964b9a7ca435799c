//! YAML as a configuration format.

use figment::providers::Format;
use serde::de::DeserializeOwned;
use serde_saphyr::{Options, UserMessageFormatter, options};

/// YAML 1.2 that rejects duplicate keys and bounds aliases, depth and size.
pub(super) struct Yaml;

impl Format for Yaml {
    type Error = figment::Error;

    const NAME: &'static str = "YAML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, figment::Error> {
        // Use the messages for end users; the default ones mention options of the library.
        let shown = |error: serde_saphyr::Error| error.render_with_formatter(&UserMessageFormatter).into();
        serde_saphyr::from_str_with_options(text, rules()).map_err(shown)
    }
}

fn rules() -> Options {
    options! {
        // A line of the file may hold a secret.
        with_snippet: false,
        // Keep `no` (a bucket) and `007` (a tenant) as text.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use figment::Figment;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(text: &str) -> Result<Value, String> {
        Figment::from(Yaml::string(text)).extract().map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_those_of_yaml_1_2() {
        for (text, value) in [
            ("", json!({})),
            ("# nothing\n", json!({})),
            ("\u{feff}a: 1\n", json!({"a": 1})),
            ("---\na: 1\n...\n", json!({"a": 1})),
            ("a: yes\nb: no\nc: on\nd: True\n", json!({"a": "yes", "b": "no", "c": "on", "d": true})),
            ("a: 007\nb: 0o17\nc: 1_000\nd: '1'\n", json!({"a": "007", "b": 15, "c": "1_000", "d": "1"})),
            ("a: 2026-01-01\nb: 12:30:45\n", json!({"a": "2026-01-01", "b": "12:30:45"})),
            ("a: ~\nb:\n", json!({"a": null, "b": null})),
            ("a: 18446744073709551615\nb: -5\nc: 0.25\n", json!({"a": u64::MAX, "b": -5, "c": 0.25})),
            ("a: &x {b: 1}\nc: {<<: *x, d: 2}\n", json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}})),
            ("a: !!str 5\nb: !other x\n", json!({"a": "5", "b": "x"})),
        ] {
            assert_eq!(parsed(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_text() {
        for (text, said) in [
            ("a: 1\na: hunter2\n", "line 2, column 1"),
            ("a: 1\n---\nb: hunter2\n", "line 3"),
            ("- hunter2\n", "line 1, column 1"),
            ("hunter2\n", "line 1, column 1"),
            ("a:\n  b: [hunter2\n", "line 2, column 6"),
            ("a: \"hunter2\n", "line 1, column 4"),
            ("a:\n\tb: hunter2\n", "line 2"),
            ("a: *hunter\n", "line 1, column 4"),
            ("a: .nan\n", "line 1"),
            ("a: !!int hunter2\n", "line 1"),
            ("a: !!binary hunter2\n", "line 1"),
            ("a: \"\\xhunter2\"\n", "line 1"),
            ("hunter2: [}\n", "line 1"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(said) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut aliases = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..20 {
            let before = vec![format!("*a{}", level - 1); 10].join(",");
            writeln!(aliases, "a{level}: &a{level} [{before}]").unwrap();
        }
        let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
        let mut deep_block = String::new();
        for depth in 0..2_000 {
            writeln!(deep_block, "{}a:", " ".repeat(depth)).unwrap();
        }
        for bomb in [aliases, deep, "a: ".to_owned() + &"{a: ".repeat(100_000), deep_block] {
            assert!(parsed(&bomb).is_err(), "{bomb:.80}");
        }
    }
}
