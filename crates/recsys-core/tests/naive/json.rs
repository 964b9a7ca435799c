//! Documents and versions.

use std::fmt::Write;

use recsys_core::artifact::{ArtifactKey, Kind};
use recsys_core::encoding::hash::sha256;

/// JSON whose fields keep their order.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Whole(u64),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(character)).unwrap();
            }
            other => out.push(other),
        }
    }
    out + "\""
}

/// The shortest decimal that reads back the same; of two, the nearer; of two as near, the even one.
pub(crate) fn decimal(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    // The standard library knows the length, and breaks ties the other way.
    let shortest = format!("{number:e}");
    let digits = shortest.split('e').next().unwrap().split('.').nth(1).map_or(0, str::len);
    let nearest = format!("{number:.digits$e}");
    let scientific = if nearest.parse() == Ok(number) { nearest } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    without_exponent(mantissa, exponent.parse().unwrap())
}

fn without_exponent(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    // Where the point stands among the digits.
    let point = exponent + 1;
    let text = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap()))
    } else {
        let point = usize::try_from(point).unwrap();
        let padded = format!("{digits:0<point$}");
        let (whole, fraction) = padded.split_at(point);
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    };
    format!("{sign}{text}")
}

impl Json {
    pub(crate) fn compact(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => decimal(*number),
            Self::Text(text) => quoted(text),
            Self::List(list) => {
                format!("[{}]", list.iter().map(Self::compact).collect::<Vec<_>>().join(","))
            }
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{}", value.compact()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
        }
    }

    pub(crate) fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    pub(crate) fn object(fields: impl Into<Vec<(&'static str, Json)>>) -> Self {
        Self::Object(fields.into())
    }
}

fn document(key: &ArtifactKey, payload: &Json, build: Json) -> Json {
    let window = [("start", key.window.start()), ("end", key.window.end())];
    let window = window.map(|(edge, day)| (edge, Json::Text(format!("{day}T00:00:00Z"))));
    let field = match key.kind {
        Kind::Popularity | Kind::ContentSim => "items",
        Kind::Cooc => "neighbors",
        Kind::Implicit | Kind::SessionSeq => "users",
    };
    let mut fields = vec![
        ("v", Json::Whole(1)),
        ("artifact_type", Json::text(&key.kind)),
        ("tenant", Json::text(&key.scope.tenant)),
        ("surface", Json::text(&key.scope.surface)),
    ];
    fields.extend(key.segment.as_ref().map(|segment| ("segment", Json::text(segment))));
    fields.extend([("window", Json::object(window)), (field, payload.clone()), ("build", build)]);
    Json::Object(fields)
}

/// The version and the finished document.
pub(crate) fn finished(
    key: &ArtifactKey,
    payload: &Json,
    built_at: &str,
    source_hash: &str,
) -> (String, String) {
    let blank = Json::object([("built_at", Json::text("")), ("version", Json::text(""))]);
    let version = sha256(document(key, payload, blank).compact().as_bytes());
    let build = Json::object([
        ("built_at", Json::text(built_at)),
        ("version", Json::text(&version)),
        ("source_hash", Json::text(source_hash)),
    ]);
    let text = document(key, payload, build).compact();
    (version, text)
}

/// A list of objects with `item_id` and one number.
pub(crate) fn scored<N>(items: &[(String, N)], field: &'static str, number: impl Fn(&N) -> Json) -> Json {
    let item =
        |(id, score): &(String, N)| Json::object([("item_id", Json::text(id)), (field, number(score))]);
    Json::List(items.iter().map(item).collect())
}
