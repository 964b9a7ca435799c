//! The encoder of compact JSON against one that knows the contract and nothing else.

use recsys_core::encoding::json;
use serde_json::{Number, Value};

/// Takes bytes as JSON, as text and as numbers: the encoder writes what the contract says, and that reads back as
/// what was written.
pub fn canonical_json(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice(data) {
        check(&value);
    }
    check(&Value::from(String::from_utf8_lossy(data)));
    for bytes in data.chunks_exact(8) {
        let bytes = bytes.try_into().unwrap();
        check(&u64::from_le_bytes(bytes).into());
        check(&i64::from_le_bytes(bytes).into());
        check(&f64::from_le_bytes(bytes).into());
    }
}

fn check(value: &Value) {
    let encoded = String::from_utf8(json::to_vec(value)).unwrap();
    assert_eq!(encoded, naive(value));
    let read: Value = serde_json::from_str(&encoded).unwrap();
    assert!(same(&read, value), "{value} is read back as {read}");
}

fn naive(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => decimal(number),
        Value::String(text) => quoted(text),
        Value::Array(values) => format!("[{}]", values.iter().map(naive).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{}:{}", quoted(name), naive(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// An integer in its digits. Any other number is the shortest decimal that reads back the same, without an exponent,
/// and without a fraction if it has none.
fn decimal(number: &Number) -> String {
    let (true, Some(value)) = (number.is_f64(), number.as_f64()) else { return number.to_string() };
    if value == 0.0 {
        return "0".to_owned();
    }
    let shortest = value.to_string();
    let encoded = String::from_utf8(json::to_vec(number)).unwrap();
    if encoded == shortest {
        return shortest;
    }
    // Of two decimals that are as short and as near, the standard library may take either; the contract's is the
    // even one.
    let (digits, as_short) = (significant(&encoded), significant(&shortest));
    assert_eq!(digits.len(), as_short.len(), "{encoded} for {shortest}");
    assert!(digits.ends_with(['2', '4', '6', '8']), "{encoded} for {shortest}");
    assert_eq!(encoded.parse(), Ok(value), "{encoded} for {shortest}");
    encoded
}

/// The digits of a decimal without the zeros at its ends.
fn significant(decimal: &str) -> String {
    decimal.replace(['-', '.'], "").trim_matches('0').to_owned()
}

/// Whether two documents hold the same values. A number may be of another type: 1.0 is written as 1.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.keys().eq(other.keys())
                && one.values().zip(other.values()).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}
