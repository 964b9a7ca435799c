//! A catalogue → its rows in Postgres.

use std::process::ExitCode;

use recsys_job::jobs;
use recsys_postgres::Postgres;

fn main() -> ExitCode {
    let about = "Writes a catalogue's tags, prices and dates into the table item_tags of Postgres, in one transaction";
    recsys_job::main("job_catalog", about, |flags| jobs::catalog(flags, &Postgres))
}
