# The habits of the project. `just` lists them.

_default:
    @just --list

# Run the tiny sample: raw events in, a published manifest out
run *flags:
    cargo run --release --bin recsys-pipelines -- run --config configs/env/local.json --tenant demo --surface home --start 2026-01-01 {{flags}}

# Run three days of the shop sample with all five kinds
shop *flags:
    cargo run --release --bin recsys-pipelines -- run --config configs/env/shop.json --tenant demo --surface home --start 2026-01-01 --end 2026-01-03 {{flags}}

# Build every binary as it ships
build:
    cargo build --release --workspace --locked

# Everything that must hold before a change is merged
test:
    ./scripts/test

# The tests alone, or some of them: just suites -p recsys-core
suites *flags="--workspace --locked":
    ./scripts/with-services ./scripts/suites {{flags}}

# Run a command with the servers the tests need: just with-services cargo test -p recsys-testkit
with-services +command:
    ./scripts/with-services {{command}}

# The quick part of it: formatting and lints
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Format the code
fmt:
    cargo fmt --all

# Run the pipeline twice and compare all files byte for byte
smoke:
    ./scripts/smoke

# The golden cases alone, through the library and through the binaries
golden:
    cargo test --workspace --test golden

# Check deploy/: Dockerfiles, compose file, manifests, alert rules
check-deploy:
    ./scripts/check-deploy

# Build the binaries as they ship, and see how large they are
check-image:
    ./scripts/check-image

# Build the program without buckets and databases, and try it
check-pilot:
    ./scripts/check-pilot

# Check the licences, versions and sources of all crates
check-dependencies:
    ./scripts/check-dependencies

# Look for known vulnerabilities, yanked and abandoned crates; the list of them is fetched from its git repository
advisories:
    ./scripts/check-dependencies advisories

# Measure each step on made-up events, then whole runs against DuckDB: just bench --events 10M --rounds 3
bench *flags:
    cargo bench -p recsys-core --bench steps
    ./scripts/bench.py compare {{flags}}

# Measure each job alone against reading the same bytes with wc -l
bench-jobs *flags:
    ./scripts/bench.py jobs {{flags}}

# Judge the models on public data beside published figures: just bench-quality ~/public-data
bench-quality folder *flags:
    ./scripts/bench-quality {{folder}} {{flags}}

# Look for inputs that break a check: just fuzz event 600
fuzz target seconds:
    ./scripts/fuzz {{target}} {{seconds}}

# Attack the binaries: kills and stops, paused collections of garbage, bombs, growth. About half an hour: just attack all
attack *flags:
    ./scripts/attack {{flags}}

# Write docs/reference/cli.md anew from --help, and the API documentation
docs:
    UPDATE_DOCS=1 cargo test -p recsys-pipelines --test docs the_command_line_reference
    cargo doc --workspace --no-deps
