//! The layout: the keys of what is read or stored below a root.

use crate::domain::id::Scope;
use crate::domain::stream::Stream;
use crate::domain::window::Day;

/// The raw files of all days and scopes: plain, then compressed.
pub fn raw_flat(stream: Stream) -> [String; 3] {
    raw(raw_stem(stream))
}

/// The raw files of a day: plain, then compressed.
pub(crate) fn raw_day(scope: &Scope, stream: Stream, day: Day) -> [String; 3] {
    raw(&format!("{scope}/{}.{day}", raw_stem(stream)))
}

fn raw(stem: &str) -> [String; 3] {
    ["jsonl", "jsonl.gz", "jsonl.zst"].map(|ending| format!("{stem}.{ending}"))
}

fn raw_stem(stream: Stream) -> &'static str {
    match stream {
        Stream::Exposures => "exposure",
        Stream::Outcomes => "outcome",
    }
}

/// The owner of a canonical folder.
pub(crate) fn owner(scope: &Scope) -> String {
    format!("{scope}/scope.json")
}

/// The folder of the canonical days of a stream.
pub(crate) fn days(scope: &Scope, stream: Stream) -> String {
    format!("{scope}/{}", stream.as_str())
}

/// Sorts before the files of `first` and later days, and after those of earlier days.
pub(crate) fn before_day(scope: &Scope, stream: Stream, first: Day) -> String {
    format!("{}/{first}", days(scope, stream))
}

/// A canonical day.
pub(crate) fn day(scope: &Scope, stream: Stream, day: Day) -> String {
    format!("{}/{day}.jsonl", days(scope, stream))
}

/// A canonical day that a gate has refused.
pub(crate) fn refused_day(scope: &Scope, stream: Stream, day: Day) -> String {
    format!("{}/{day}{REFUSED}", days(scope, stream))
}

/// The day of a key made by [`refused_day`]; `None` for other keys.
pub(crate) fn day_of_refused(scope: &Scope, stream: Stream, key: &str) -> Option<Day> {
    below(&days(scope, stream), key)?.strip_suffix(REFUSED)?.parse().ok()
}

const REFUSED: &str = ".refused.jsonl";

/// The raw lines of a day that break a rule.
pub(crate) fn quarantine(scope: &Scope, stream: Stream, day: Day) -> String {
    match stream {
        Stream::Exposures => format!("{scope}/quarantine/{day}.jsonl"),
        Stream::Outcomes => format!("{scope}/quarantine/outcomes/{day}.jsonl"),
    }
}

/// The report of a day.
pub(crate) fn report(scope: &Scope, day: Day) -> String {
    format!("{scope}/reports/{day}.json")
}

/// The rest of a key below a folder.
fn below<'k>(folder: &str, key: &'k str) -> Option<&'k str> {
    key.strip_prefix(folder)?.strip_prefix('/')
}
