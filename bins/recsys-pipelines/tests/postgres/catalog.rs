//! `job_catalog`.

use serde_json::json;

use crate::{Pilot, SCOPE};

const CSV: &str = "Item_ID,Tags,Price,CreatedAt,Namespace\n\
    A,Red|Shoes,9.90,2025-06-01T12:00:00+02:00,\n\
    B,\"blue, red\",,2025-06-02,home\n\
    C,green,5,,cart\n\
    ,lost,1,,\n";

fn items(pilot: &Pilot) -> Vec<String> {
    pilot.database.lines("select namespace, item_id, tags, price, created_at from item_tags order by 1, 2")
}

fn run(pilot: &Pilot, flags: &str) -> serde_json::Value {
    pilot.document("job_catalog", &format!("{SCOPE} {flags}"))
}

#[test]
fn csv_and_json_lines_become_the_same_rows() {
    let pilot = Pilot::new();
    pilot.sandbox.write("catalog.csv", CSV);
    let report = run(&pilot, "--input catalog.csv");
    let counts = ["rows", "foreign", "rows_without_id", "inserted", "updated", "deleted", "unchanged"];
    assert_eq!(counts.map(|count| report[count].as_u64().unwrap()), [4, 1, 1, 2, 0, 0, 0]);
    // A price is a number, so trailing zeros do not matter.
    let expected =
        ["home A {red,shoes} 9.9 2025-06-01 10:00:00+00", "home B {blue,red} - 2025-06-02 00:00:00+00"];

    assert_eq!(items(&pilot), expected);
    pilot.sandbox.write(
        "catalog.jsonl",
        r#"{"item_id":"B","tags":["Blue","red"],"namespace":"home","created_at":"2025-06-02T00:00:00Z"}
{"item_id":"A","tags":["red","shoes"],"price":9.90}
"#,
    );
    let traces = "select item_id, ctid, xmin, updated_at from item_tags order by 1";
    let before = pilot.database.lines(traces);
    let report = run(&pilot, "--input catalog.jsonl --start 2026-01-01 --end 2026-01-02");
    assert_eq!(report["unchanged"], 2);
    assert_eq!(pilot.database.lines(traces), before);
}

#[test]
fn pruning_removes_what_the_file_does_not_have_in_its_namespace_and_a_dry_run_nothing() {
    let pilot = Pilot::new();
    pilot.sandbox.write("catalog.csv", CSV);
    run(&pilot, "--input catalog.csv");
    run(&pilot, "--input catalog.csv --namespace cart");
    assert_eq!(items(&pilot).len(), 4);
    pilot.sandbox.write("small.csv", "id,tag_list\nB,new\n");
    let dry = run(&pilot, "--input small.csv --prune --dry-run");
    let before = items(&pilot);
    assert_eq!((&dry["deleted"], &dry["updated"], &dry["dry_run"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!(items(&pilot), before);
    // Without `--prune`, rows that are not in the file stay.
    assert_eq!(run(&pilot, "--input small.csv")["deleted"], 0);
    assert_eq!(items(&pilot).len(), 4);
    assert_eq!(run(&pilot, "--input small.csv --prune")["deleted"], 1);
    let left: Vec<String> =
        pilot.database.lines("select namespace, item_id, tags from item_tags order by 1, 2");
    assert_eq!(left, ["cart A {red,shoes}", "cart C {green}", "home B {new}"]);
    // A file without rows for the namespace is taken for the wrong file.
    pilot.sandbox.write("empty.csv", "id,tags,namespace\nX,x,cart\n");
    let prune = format!("{SCOPE} --input empty.csv --prune");
    pilot
        .run("job_catalog", &prune)
        .fails(3, &["empty.csv names no item of namespace home; nothing is pruned"]);
    assert_eq!(pilot.database.lines("select count(*) from item_tags"), ["3"]);
}

/// A missing column leaves the values alone; an empty field clears the value.
#[test]
fn a_column_that_the_file_does_not_have_is_left_alone_and_named() {
    let pilot = Pilot::new();
    let prices = || pilot.database.lines("select item_id, tags, price from item_tags order by 1");
    pilot.sandbox.write("full.csv", "item_id,tags,price\nA,x|y,1.50\nB,z,2\n");
    assert_eq!(run(&pilot, "--input full.csv")["absent"], json!([{"column": "created_at"}]));
    let before = prices();
    for (name, text, absent) in [
        (
            "renamed.csv",
            "item_id,tags,price_eur,created_at\nA,x|y,1.50,\nB,z,2,\n",
            json!([{"column": "price", "similar": "price_eur"}]),
        ),
        (
            "bare.csv",
            "item_id\nA\nB\n",
            json!([{"column": "tags"}, {"column": "price"}, {"column": "created_at"}]),
        ),
        (
            "bare.jsonl",
            "{\"item_id\":\"A\",\"Price\":3,\"tags\":null}\n{\"item_id\":\"B\"}\n",
            json!([{"column": "tags"}, {"column": "price", "similar": "Price"}, {"column": "created_at"}]),
        ),
    ] {
        pilot.sandbox.write(name, text);
        let report = run(&pilot, &format!("--input {name} --prune"));
        assert_eq!((&report["absent"], &report["unchanged"]), (&absent, &json!(2)), "{name}");
        assert_eq!(prices(), before, "{name}");
        let finished = pilot.run("job_catalog", &format!("{SCOPE} --input {name}"));
        assert!(finished.ok().stdout.contains("  left alone   "), "{finished:?}");
        assert!(finished.stderr.contains("stay as they are in item_tags"), "{finished:?}");
    }
    // The columns that the file does have are written.
    pilot.sandbox.write("prices.csv", "item_id,price\nA,\nB,3\nC,4\n");
    let report = run(&pilot, "--input prices.csv");
    assert_eq!((&report["inserted"], &report["updated"]), (&json!(1), &json!(2)));
    assert_eq!(prices(), ["A {x,y} -", "B {z} 3", "C {} 4"]);
    // In JSON Lines, one row with the field is enough.
    pilot.sandbox.write("some.jsonl", "{\"item_id\":\"B\"}\n{\"item_id\":\"C\",\"tags\":[\"new\"]}\n");
    run(&pilot, "--input some.jsonl");
    assert_eq!(prices(), ["A {x,y} -", "B {} 3", "C {new} 4"]);
}

#[test]
fn rows_that_a_quote_swallows_are_not_pruned() {
    let pilot = Pilot::new();
    pilot.sandbox.write("before.csv", "item_id,tags\nA,a\nB,b\nC,c\n");
    run(&pilot, "--input before.csv");
    let before = pilot.database.lines("select item_id, tags from item_tags order by 1");
    pilot.sandbox.write("inches.csv", "item_id,tags\nA,\"12 inch\nB,b\nC,\"8 inch\n");
    for flags in ["", " --prune", " --prune --dry-run"] {
        pilot.run("job_catalog", &format!("{SCOPE} --input inches.csv{flags}")).fails(
            3,
            &["inches.csv:2: a quoted field of this row is closed on line 4, and more text follows"],
        );
    }
    assert_eq!(pilot.database.lines("select item_id, tags from item_tags order by 1"), before);
}

#[test]
fn a_bad_row_is_told_with_its_line_and_nothing_is_written() {
    let pilot = Pilot::new();
    pilot.sandbox.write("catalog.csv", CSV);
    run(&pilot, "--input catalog.csv");
    let before = items(&pilot);
    let header = "item_id,tags,price,created_at\n";
    for (name, text, code, told) in [
        (
            "twice.csv",
            format!("{header}A,,,\nB,,,\nA,,,\n"),
            3,
            "twice.csv:4: item \"A\" was already given on line 2",
        ),
        ("price.csv", format!("{header}A,,1,\nB,,cheap,\n"), 3, "price.csv:3: field `price`: \"cheap\""),
        ("date.csv", format!("{header}A,,,yesterday\n"), 3, "date.csv:2: field `created_at`: \"yesterday\""),
        ("date.jsonl", "{\"item_id\":\"A\",\"created_at\":5}\n".into(), 3, "date.jsonl:1: "),
        (
            "twice.jsonl",
            "{\"item_id\":\"A\"}\n\n{\"item_id\":\" A\"}\n".into(),
            3,
            "twice.jsonl:3: item \"A\" was already given on line 1",
        ),
        ("header.csv", "name,tags\nA,x\n".into(), 3, "header.csv:1: the header has no column item_id"),
        ("notes.txt", CSV.into(), 2, "cannot tell the format of catalogue notes.txt"),
    ] {
        pilot.sandbox.write(name, text);
        for flags in ["", " --prune", " --dry-run"] {
            pilot.run("job_catalog", &format!("{SCOPE} --input {name}{flags}")).fails(code, &[told]);
        }
    }
    pilot
        .run("job_catalog", &format!("{SCOPE} --input missing.csv"))
        .fails(2, &["catalogue missing.csv does not exist"]);
    pilot.run("job_catalog", SCOPE).fails(2, &["catalog.path"]);
    pilot.configure(|config| config["limits"] = json!({"max_catalog_items": 3}));
    pilot
        .run("job_catalog", &format!("{SCOPE} --input catalog.csv"))
        .fails(4, &["max_catalog_items", "4 of at most 3"]);
    assert_eq!(items(&pilot), before);
}
