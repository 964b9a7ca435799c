//! Connection strings as given out by hosted services.

use crate::Pilot;

fn check(pilot: &Pilot, parameters: &str) -> recsys_testkit::sandbox::Finished {
    let mut command = pilot.command("recsys-pipelines", "db init --config config.json");
    command.env("RECSYS_PIPELINES__DB__DSN", format!("{}?{parameters}", pilot.database.url()));
    pilot.finish(&mut command)
}

#[test]
fn what_asks_for_nothing_is_taken() {
    let pilot = Pilot::new();
    for parameters in [
        "sslmode=prefer&channel_binding=prefer",
        "target_session_attrs=read-write",
        "pgbouncer=true",
        "gssencmode=disable&client_encoding=UTF8",
        "options=-c%20application_name%3Dpilot",
    ] {
        check(&pilot, parameters).ok();
    }
}

#[test]
fn what_would_be_ignored_is_named() {
    let pilot = Pilot::new();
    for (parameters, name) in [
        ("channel_binding=require", "channel_binding"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("schema=shop", "schema"),
        ("connection_limit=5", "connection_limit"),
        ("currentSchema=shop", "currentSchema"),
    ] {
        check(&pilot, parameters).fails(2, &["db.dsn", name, "not supported"]);
    }
    // Some services select the customer by this option; an ordinary server rejects it.
    check(&pilot, "options=endpoint%3Dep-x")
        .fails(2, &["cannot connect to", "endpoint=ep-x", "options of the DSN"]);
}
