#!/usr/bin/env python3
"""Measures whole processes on the reference workload: recsys-pipelines and its jobs, against others.

  scripts/bench.py compare    `recsys-pipelines run` and a script for DuckDB that does the same work take turns
  scripts/bench.py jobs       job_ingest and each builder job alone, and `wc -l` of the bytes that it reads

It builds the binaries, makes the raw data once, and prints the medians of all rounds and their ratios. Machines are
noisy: only the ratios of one run mean something, not the seconds of two.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
DAY = "2026-01-01"
SCOPE = ["--tenant", "demo", "--surface", "home", "--start", DAY, "--end", DAY]
KINDS = ["popularity", "cooc", "implicit", "session_seq"]

# The cuts are those of scripts/bench-duckdb.py. What is not a cut is out of the way.
LIMITS = {
    "max_items_per_artifact": 100_000,
    "max_items_per_user": 200,
    "max_artifact_bytes": 0,
    "max_events_per_run": 1_000_000_000,
    "max_sessions_per_run": 1_000_000_000,
    "max_users_per_run": 100_000_000,
}

Usage = collections.namedtuple("Usage", ["wall_s", "cpu_s", "peak_mib"])


UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def count(text):
    """A number such as 1000, 500k, 10M or 1GiB."""
    digits, unit = re.fullmatch("([0-9]*)(.*)", text.lower()).groups()
    if not digits or unit not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 1000, 500k, 10M or 1GiB")
    return int(digits) * UNITS[unit]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["compare", "jobs"], nargs="?", default="compare")
    parser.add_argument(
        "--events", type=count, default="1M", metavar="N", help="events of the day, such as 1M (the default) or 10M"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="how often each is measured (default: 5)"
    )
    parser.add_argument(
        "--memory-bytes", type=count, metavar="N", help="resources.memory_bytes of recsys-pipelines, such as 1GiB"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, with every measurement")
    parser.add_argument(
        "--work-dir",
        type=pathlib.Path,
        default=REPOSITORY / "target/bench",
        metavar="DIR",
        help="where data is made, and kept for the next time (default: target/bench)",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.events < 1:
        parser.error("--events and --rounds are at least 1")
    return arguments


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout


def build():
    """Builds the binaries and the generator; returns their folder."""
    metadata = json.loads(cargo("metadata", "--format-version=1", "--no-deps", "--locked"))
    cargo("build", "--release", "--locked", "--workspace", "--bins")
    cargo("build", "--release", "--locked", "--package", "recsys-testkit", "--example", "workload")
    return pathlib.Path(metadata["target_directory"]) / "release"


def make_raw(binaries, folder, events):
    """Writes the raw file of the day, unless it is there; returns its path."""
    raw = folder / f"raw-{events}" / "exposure.jsonl"
    if not raw.exists():
        raw.parent.mkdir(parents=True, exist_ok=True)
        unfinished = raw.with_suffix(".new")
        generate = [binaries / "examples/workload", "--events", str(events), "--day", DAY, "--output", unfinished]
        subprocess.run(generate, check=True, stderr=subprocess.DEVNULL)
        unfinished.rename(raw)
    return raw


def configure(folder, raw, memory_bytes):
    """Writes the configuration; returns its path and that of the output folder."""
    out = folder / "out"
    config = {"out_dir": str(out), "raw_events_dir": str(raw.parent), "artifact_kinds": KINDS, "limits": LIMITS}
    if memory_bytes is not None:
        config["resources"] = {"memory_bytes": memory_bytes}
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2))
    return path, out


def measure(command):
    """Runs a command to its end: time that passed, processor time and peak memory.

    The kernel's figures of the process hold those of the children that it waited for; peak memory is that of the
    largest of them. The programs measured here have threads, but no children. A program begins as a copy of this one,
    so no peak is below the ten to twenty MiB that this one has.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")}
    # What an earlier program has written is on the disk now, and not on its way there.
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, env=environment, cwd=REPOSITORY
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: exit code {process.returncode} of {' '.join(process.args)}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


def alternate(rounds, programs):
    """Measures programs in turns. Each is a pair of what to do before, and of the command."""
    measured = {name: [] for name in programs}
    for number in range(rounds):
        for name, (prepare, command) in programs.items():
            progress(f"round {number + 1} of {rounds}: {name}")
            prepare()
            measured[name].append(measure(command))
    progress("")
    return measured


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def medians(usages):
    return Usage(*(statistics.median(column) for column in zip(*usages)))


def ratios(one, other):
    """Of each figure; None where there is nothing to compare with."""
    return Usage(*(a / b if b else None for a, b in zip(one, other)))


def show(value, form):
    return "-" if value is None else format(value, form)


def count_lines(path):
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def check_same_work(out, other):
    """Stops when the two did not come to the same result: a comparison would mean nothing."""
    manifest = json.loads((out / f"registry/current/demo/home/manifest.json").read_text())
    fields = {"popularity": "items", "cooc": "neighbors", "implicit": "users", "session_seq": "users"}
    for kind, field in fields.items():
        uri = manifest["current"][kind]
        rows = json.loads(pathlib.Path(uri.removeprefix("file://")).read_text())[field]
        # DuckDB has no row for an item without neighbours, or a user without a second event.
        ours = [row for row in rows if row.get("items") != []]
        with open(other / f"{kind}.jsonl", encoding="utf-8") as theirs:
            same = ours == [json.loads(row) for row in theirs]
        if not same:
            sys.exit(f"error: {kind} of recsys-pipelines is not that of DuckDB")
    canonical = out / f"canonical/demo/home/exposures/{DAY}.jsonl"
    if count_lines(canonical) != count_lines(other / "canonical.jsonl"):
        sys.exit("error: the canonical events of recsys-pipelines are not those of DuckDB")


def compare(arguments, binaries, folder, raw):
    install = ["scripts/python-env", "scripts/requirements-bench.txt", "target/bench-venv"]
    subprocess.run(install, cwd=REPOSITORY, check=True)
    config, out = configure(folder, raw, arguments.memory_bytes)
    other = folder / "duckdb"
    measured = alternate(
        arguments.rounds,
        {
            "recsys-pipelines": (
                lambda: remove(out),
                [binaries / "recsys-pipelines", "run", "--config", config, *SCOPE],
            ),
            "DuckDB": (
                lambda: remove(other),
                [REPOSITORY / "target/bench-venv/bin/python", "scripts/bench-duckdb.py", raw, other],
            ),
        },
    )
    check_same_work(out, other)
    ours, theirs = (medians(usages) for usages in measured.values())
    document = {
        "programs": {name: [usage._asdict() for usage in usages] for name, usages in measured.items()},
        "medians": {name: medians(usages)._asdict() for name, usages in measured.items()},
        "ratios": ratios(ours, theirs)._asdict(),
    }
    text = [f"{'':18}{'wall s':>10}{'CPU s':>10}{'peak MiB':>10}"]
    for name, usage in [("recsys-pipelines", ours), ("DuckDB", theirs)]:
        text.append(f"{name:18}{usage.wall_s:10.2f}{usage.cpu_s:10.2f}{usage.peak_mib:10.0f}")
    ratio = ratios(ours, theirs)
    text.append(f"{'ratio':18}{ratio.wall_s:10.3f}{ratio.cpu_s:10.3f}{ratio.peak_mib:10.3f}")
    return document, text


def jobs(arguments, binaries, folder, raw):
    config, out = configure(folder, raw, arguments.memory_bytes)
    canonical = out / f"canonical/demo/home/exposures/{DAY}.jsonl"
    flags = ["--config", config, *SCOPE]
    remove(out)
    results = {}
    # Ingest comes first: the others read what it leaves.
    for job in ["job_ingest", *(f"job_{kind}" for kind in KINDS)]:
        source, written = (raw, out / "canonical") if job == "job_ingest" else (canonical, out / "artifacts")
        measured = alternate(
            arguments.rounds,
            {
                job: (lambda written=written: remove(written), [binaries / job, *flags]),
                "wc -l": (lambda: None, ["wc", "-l", source]),
            },
        )
        results[job] = (source.stat().st_size, measured)
    document = {
        job: {
            "bytes": size,
            "measurements": {name: [usage._asdict() for usage in usages] for name, usages in measured.items()},
            "medians": {name: medians(usages)._asdict() for name, usages in measured.items()},
            "ratios": ratios(medians(measured[job]), medians(measured["wc -l"]))._asdict(),
        }
        for job, (size, measured) in results.items()
    }
    columns = ["MB read", "wall s", "CPU s", "peak MiB", "wc -l s", "ratio", "CPU ratio"]
    text = [f"{'':18}" + "".join(f"{column:>10}" for column in columns)]
    for job, (size, measured) in results.items():
        usage, lines = medians(measured[job]), medians(measured["wc -l"])
        ratio = ratios(usage, lines)
        text.append(
            f"{job:18}{size / 1e6:10.0f}{usage.wall_s:10.2f}{usage.cpu_s:10.2f}{usage.peak_mib:10.0f}"
            f"{lines.wall_s:10.3f}{show(ratio.wall_s, '.1f'):>10}{show(ratio.cpu_s, '.1f'):>10}"
        )
    return {"jobs": document}, text


def main():
    arguments = parse_arguments()
    folder = arguments.work_dir.resolve()
    binaries = build()
    raw = make_raw(binaries, folder, arguments.events)
    result, text = {"compare": compare, "jobs": jobs}[arguments.mode](arguments, binaries, folder, raw)
    about = {
        "mode": arguments.mode,
        "events": arguments.events,
        "raw_bytes": raw.stat().st_size,
        "rounds": arguments.rounds,
        "memory_bytes": arguments.memory_bytes,
        "processors": len(os.sched_getaffinity(0)),
    }
    if arguments.json:
        print(json.dumps(about | result, indent=2))
    else:
        print(
            f"{arguments.events:,} events, {about['raw_bytes'] / 1e6:.0f} MB, {about['processors']} processors, "
            f"medians of {arguments.rounds}"
        )
        print("\n".join(text))


main()
