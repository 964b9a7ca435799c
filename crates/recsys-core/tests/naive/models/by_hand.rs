//! Small cases, worked out by hand.

use recsys_core::columnar::spill::Budget;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::models::{Model, ModelKind};
use recsys_core::domain::weights::Weights;
use recsys_core::input::catalog::Catalog;
use serde_json::{Value, json};

use super::{Case, Days};

/// Lines of sessions, whose items are seen one second after the other; each has a user of its own.
fn lines(sessions: &[&str]) -> Vec<String> {
    let events = (0..)
        .zip(sessions)
        .flat_map(|(at, session)| (0..).zip(session.chars()).map(move |event| (at, event)));
    let line = |(at, (second, item)): (i32, (i32, char))| {
        json!({"v": 1, "ts": format!("2026-01-03T08:00:0{second}Z"), "tenant": "demo", "surface": "home",
            "user_id": format!("u{at}"), "session_id": format!("s{at}"), "item_id": item.to_string()})
        .to_string()
    };
    events.map(line).collect()
}

/// The content of the document from `{"scorer": …}` and its rows.
fn content(kind: ModelKind, sessions: &[&str], settings: Value) -> String {
    let model: Model = serde_json::from_value(settings).unwrap();
    let model = model.resolve(kind).unwrap().unwrap();
    let limits = Limits { min_cooc_support: 1, ..Limits::default() };
    let (weights, catalog, budget) = (Weights::default(), &Catalog::default(), &Budget::default());
    let case = Case { model, kind, weights, limits: &limits, catalog, budget };
    let document = case.document(&Days::new(&lines(sessions), &[], 3, budget));
    let (_, rest) = document.split_once("\"window\":").unwrap();
    let (_, rest) = rest.split_once("},").unwrap();
    let (content, _) = rest.split_once(",\"build\":").unwrap();
    content.to_owned()
}

/// Rows as `a: b 2 0.5, c 1 0.25 | b: …`, or of users without counts.
fn text(rows: &str) -> String {
    let row = |row: &str| {
        let (id, list) = row.split_once(':').unwrap();
        let item = |item: &str| {
            let words: Vec<&str> = item.split_whitespace().collect();
            match words[..] {
                [item, count, score] => format!(r#"{{"item_id":"{item}","count":{count},"score":{score}}}"#),
                [item, score] => format!(r#"{{"item_id":"{item}","score":{score}}}"#),
                _ => panic!("{item:?}"),
            }
        };
        let list: Vec<String> = list.split(',').filter(|item| !item.trim().is_empty()).map(item).collect();
        let kind = if id.trim().starts_with('u') { "user" } else { "item" };
        format!(r#"{{"{kind}_id":"{}","items":[{}]}}"#, id.trim(), list.join(","))
    };
    let name = if rows.starts_with('u') { "users" } else { "neighbors" };
    let rows: Vec<String> = rows.split('|').filter(|row| !row.trim().is_empty()).map(row).collect();
    format!("\"{name}\":[{}]", rows.join(","))
}

/// Item a is in 2 sessions, b in 3, c in 2, of 3; a and b share 2, a and c 1, b and c 2.
const SESSIONS: [&str; 3] = ["ab", "abc", "cb"];

#[test]
fn cooc_is_as_by_hand() {
    // 2^-d is what is left of an event after d steps.
    let halving = 1.0 / std::f64::consts::LN_2;
    for (settings, rows) in [
        // a, b: 2/√6 = 0.8164965809; a, c: 1/√4; b, c: 2/√6. Ties by id.
        (
            json!({"scorer": "cosine"}),
            "a: b 2 0.816496581, c 1 0.5 | b: a 2 0.816496581, c 2 0.816496581 | c: b 2 0.816496581, a 1 0.5",
        ),
        // a, b: 2/(√6 + 1) = 2/3.4494897428 = 0.5797958971; a, c: 1/3.
        (
            json!({"scorer": "cosine", "shrink": 1}),
            "a: b 2 0.579795897, c 1 0.333333333 | b: a 2 0.579795897, c 2 0.579795897 | c: b 2 0.579795897, a 1 0.333333333",
        ),
        // a, b: 2/(2 + 3 − 2); a, c: 1/(2 + 2 − 1); b, c: 2/3.
        (
            json!({"scorer": "jaccard"}),
            "a: b 2 0.666666667, c 1 0.333333333 | b: a 2 0.666666667, c 2 0.666666667 | c: b 2 0.666666667, a 1 0.333333333",
        ),
        // a, b: 2·3/(2·3); a, c: 1·3/(2·2).
        (json!({"scorer": "lift"}), "a: b 2 1, c 1 0.75 | b: a 2 1, c 2 1 | c: b 2 1, a 1 0.75"),
        // Of the 2 with a, both have b; of the 3 with b, 2 have a.
        (
            json!({"scorer": "conditional"}),
            "a: b 2 1, c 1 0.5 | b: a 2 0.666666667, c 2 0.666666667 | c: b 2 1, a 1 0.5",
        ),
        // All have b, so nothing goes with b; a and c meet less than by chance: 1·3 < 2·2.
        (json!({"scorer": "llr"}), ""),
        // g: a, b: 1/2 + 1/3 = 0.8333333333; a, c: 1/3; b, c: 1/3 + 1/2. By the other's 3 or 2.
        (
            json!({"scorer": "degree_normalised", "a": 0, "b": 1, "c": 1}),
            "a: b 2 0.277777778, c 1 0.166666667 | b: a 2 0.416666667, c 2 0.416666667 | c: b 2 0.277777778, a 1 0.166666667",
        ),
        // The same over 0.2777777778 + 0.1666666667 = 0.4444444444, and over twice 0.4166666667.
        (
            json!({"scorer": "degree_normalised", "a": 0, "b": 1, "c": 1, "row_norm": "l1"}),
            "a: b 2 0.625, c 1 0.375 | b: a 2 0.5, c 2 0.5 | c: b 2 0.625, a 1 0.375",
        ),
        // To a from b and c: [[3 + 2, 2], [2, 2 + 2]] w = [2, 1]: determinant 16, w = (2·4 − 2·1, 5·1 − 2·2)/16 = (6, 1)/16.
        // To b from a and c: [[2 + 2, 1], [1, 2 + 2]] w = [2, 2]: w = 2/5 each. To c as to a.
        (
            json!({"scorer": "local_ridge", "ridge": 2, "dropout": 0}),
            "a: b 2 0.4, c 1 0.0625 | b: a 2 0.375, c 2 0.375 | c: b 2 0.4, a 1 0.0625",
        ),
        // With dropout 1/2 the diagonals count twice: [[6 + 2, 2], [2, 4 + 2]] w = [2, 1]: determinant 44, w = (12 − 2, 8 − 4)/44.
        // [[4 + 2, 1], [1, 4 + 2]] w = [2, 2]: w = 2/7.
        (
            json!({"scorer": "local_ridge", "ridge": 2, "dropout": 0.5}),
            "a: b 2 0.285714286, c 1 0.0909090909 | b: a 2 0.227272727, c 2 0.227272727 | c: b 2 0.285714286, a 1 0.0909090909",
        ),
        // One candidate. For a it is b (2/3^0.7 is more than 1/2^0.7): 2/(3 + 2). For b a and c tie, so it is a: 2/(2 + 2).
        (
            json!({"scorer": "local_ridge", "ridge": 2, "dropout": 0, "candidates": 1}),
            "a: b 2 0.5 | b: a 2 0.4, c 2 0.4",
        ),
        // a then b twice at distance 1, a then c once at 2: 2 and 1/2 of 2.5. b then c once, c then b once.
        (json!({"scorer": "sequential_rules"}), "a: b 2 0.8, c 1 0.2 | b: c 2 1 | c: b 2 1"),
        // Of b: c 1 + 1/2, a 2/2, sum 2.5. Of c: b 1 + 1/2, a 1/2/2, sum 1.75.
        (
            json!({"scorer": "sequential_rules", "backward": 0.5}),
            "a: b 2 0.8, c 1 0.2 | b: c 2 0.6, a 2 0.4 | c: b 2 0.857142857, a 1 0.142857143",
        ),
        // The sum of a is 2 + 1/2 with 2^-(d-1), too; its root is 1.5811388301. 2/1.58… = 1.2649110641, 0.5/1.58… = 0.3162277660.
        (
            json!({"scorer": "sequential_rules", "delta": halving, "row_power": 0.5}),
            "a: b 2 1.26491106, c 1 0.316227766 | b: c 2 1 | c: b 2 1",
        ),
        // What is left of a and b at each later event: in "ab" at b: a 1/2. In "abc" at b: a 1/2; at c: a 1/4, b 1/2. In "cb" at b:
        // c 1/2. Squares: aa 1/4 + 1/4 + 1/16 = 0.5625, bb 0.25, cc 0.25; ab 1/4·1/2 = 0.125, no others.
        // To b from a (1/2 + 1/2) and c (1/2): 1/(0.5625 + 1) and 0.5/(0.25 + 1).
        // To c from a (1/4) and b (1/2): [[1.5625, 0.125], [0.125, 1.25]] w = [0.25, 0.5]: determinant 1.9375,
        // w = (0.3125 − 0.0625, 0.78125 − 0.03125)/1.9375 = (0.1290322581, 0.3870967742). To a from none.
        (
            json!({"scorer": "session_ridge", "delta": halving, "ridge": 1, "dropout": 0}),
            "a: b 2 0.64, c 1 0.129032258 | b: c 2 0.387096774 | c: b 2 0.4",
        ),
    ] {
        assert_eq!(content(ModelKind::Cooc, &SESSIONS, settings.clone()), text(rows), "{settings}");
    }
}

#[test]
fn likelihood_is_as_by_hand() {
    // Twelve sessions, six with a and b, six with c. G² = 2·(6 ln 2 + 6 ln 2) = 24 ln 2 = 16.6355323334. By Hoeffding's bound an
    // accident has exp(−6 ln 2) = 1/64 at most, and 2/64 is less than 0.05.
    let sessions = ["ab", "c"].repeat(6);
    let llr = json!({"scorer": "llr"});
    assert_eq!(
        content(ModelKind::Cooc, &sessions, llr.clone()),
        text("a: b 6 16.6355323 | b: a 6 16.6355323")
    );
    // Ten sessions: 2/32 is more.
    assert_eq!(content(ModelKind::Cooc, &sessions[..10], llr), text(""));
}

#[test]
fn lists_of_users_are_as_by_hand() {
    let shown = ["ab", "abc", "cb", "d", "bbc"];
    // a 2, b 4, c 3; ab 2, ac 1, bc 3: conditional a: b 1, c 1/2; b: a 1/2, c 3/4; c: a 1/3, b 1. Each user has a session.
    let user = json!({"scorer": "conditional", "basis": {"unit": "session"}});
    // u0 has a, b: c 1/2 + 3/4. u2 has c, b: a 1/3 + 1/2 = 0.8333333333, of rounded weights 0.333333333. u4 has b twice, and c: a
    // 2/2 + 1/3.
    assert_eq!(
        content(ModelKind::Implicit, &shown, user.clone()),
        text("u0: c 1.25 | u1: | u2: a 0.833333333 | u3: | u4: a 1.33333333")
    );
    let mut all = user;
    all["exclude_seen"] = false.into();
    // u0: a 1/2, b 1, c 1.25. u1 has all: a 1/2 + 1/3, b 1 + 1, c 1.25. u2: a as above, b 1, c 3/4. u4: c 2·3/4, b 1.
    let rows = "u0: c 1.25, b 1, a 0.5 | u1: b 2, c 1.25, a 0.833333333 | u2: b 1, a 0.833333333, c 0.75 | u3: | \
         u4: c 1.5, a 1.33333333, b 1";
    assert_eq!(content(ModelKind::Implicit, &shown, all), text(rows));

    // What follows at distance 1: a: b 2. b: c 2 (and itself, which is no pair). c: b 1.
    let next = json!({"scorer": "sequential_rules", "window": 1});
    // The last of u0 is b: c 1. u1 has all. u2 ends with b: c is its own.
    assert_eq!(content(ModelKind::SessionSeq, &shown, next.clone()), text("u0: c 1 | u1: | u2: | u3: | u4:"));
    let mut own = next;
    own["own_weight"] = json!(0.5);
    own["decay"] = json!(1.0 / std::f64::consts::LN_2);
    // Each item weighs half as much as the one after it. u0: b 1, a 1/2: c 1, b 1/2 of a and 1/2 of itself, a 1/4.
    // u1: c 1, b 1/2, a 1/4: b 1 + 1/4 + 1/4, c 1/2 + 1/2, a 1/8. u2: b 1, c 1/2: c 1 + 1/4, b 1/2 + 1/2. u3: d 1/2.
    // u4: c 1, b 1/2, b 1/4: b 1 + 1/4 + 1/8, c 1/2 + 1/2 + 1/4.
    let rows =
        "u0: b 1, c 1, a 0.25 | u1: b 1.5, c 1, a 0.125 | u2: c 1.25, b 1 | u3: d 0.5 | u4: b 1.375, c 1.25";
    assert_eq!(content(ModelKind::SessionSeq, &shown, own), text(rows));

    // Item d is in 1 session, b in 4, c in 3, a in 2. u1 and u4 have none left but d; u3's list begins with 1/2.
    let filled = json!({"scorer": "sequential_rules", "window": 1, "fill": "popularity"});
    // u0: c 1, then d 1·1/(2·4). u1: 1/8. u2: a 2/8, d 1/8. u3: b, c, a: 4/8, 3/8, 2/8. u4: a 2/8, d 1/8.
    let rows = "u0: c 1, d 0.125 | u1: d 0.125 | u2: a 0.25, d 0.125 | u3: b 0.5, c 0.375, a 0.25 | u4: a 0.25, d 0.125";
    assert_eq!(content(ModelKind::SessionSeq, &shown, filled), text(rows));
}
