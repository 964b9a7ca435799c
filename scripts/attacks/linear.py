#!/usr/bin/env python3
"""Measures the binaries with inputs of one, two and four times a size: what takes more than 2.3 times as long for twice
the input is not linear, and somebody's input will make it last for ever.

Measured is the processor time of all threads, user and system, which other processes disturb less than the time that
passes; of three rounds the median counts. A case that grows by more is measured again with seven rounds before it is
called a failure. The sizes are such that the start of the process is a small part of what is measured.

Ids that collide in the hash of a dictionary cannot be made here, because its seed differs from process to process; the
ids here have long beginnings in common.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import bomb_files
import documents
import scene
import stores
from children import end_with_parent, run

MOST_GROWTH = 2.3
# Below this the clock and the start of the process are most of it; nobody is hurt by it either.
LEAST_S = 0.05
LIMIT_S = 300
SCOPE = ["--tenant", "demo", "--surface", "home"]
DAY = ["--start", "2026-01-01"]
# A file system in memory, where there is one.
MEMORY = "/dev/shm"
LONG_AGO = datetime.now(UTC) - timedelta(days=60)


@dataclasses.dataclass
class Case:
    """A command, and an input of a size."""

    name: str
    size: int
    """The smallest; the others are two and four times as large."""
    line: list
    make: Callable[[pathlib.Path, int], object]
    """Writes an input of a size into a folder."""
    codes: set[int] = dataclasses.field(default_factory=lambda: {0})
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    only_reads: bool = False
    """Whether it leaves its input as it was."""
    has_many_files: bool = False
    """Whether its input is so many small files that a disk takes longer for them than the command does."""


def setting(name: str, value) -> dict[str, str]:
    return {f"RECSYS_PIPELINES__{name}": value if isinstance(value, str) else json.dumps(value)}


def events(folder: pathlib.Path, each: Callable[[int], dict], count: int) -> None:
    """A raw file of `count` events."""
    path = folder / "raw/exposure.jsonl"
    path.parent.mkdir()
    with open(path, "w") as file:
        for number in range(count):
            second = number % 86_400
            ts = f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
            file.write(json.dumps(bomb_files.event(**{"ts": ts, **each(number)})) + "\n")


def usual(number: int) -> dict:
    session = number // 8
    return {
        "session_id": f"s{session}",
        "user_id": f"u{session % 10_007}",
        "item_id": f"i{number * 7919 % 20_011}",
        "request_id": f"r{number}",
    }


def event_cases() -> list[Case]:
    ingest = ["job_ingest", *SCOPE, *DAY]
    run_ = ["recsys-pipelines", "run", *SCOPE, *DAY]
    kinds = setting("ARTIFACT_KINDS", ["popularity", "cooc", "implicit", "session_seq"])
    no_limits = {}
    for limit in ("EVENTS_PER_RUN", "SESSIONS_PER_RUN", "USERS_PER_RUN", "ITEMS_PER_SESSION"):
        no_limits |= setting(f"LIMITS__MAX_{limit}", 100_000_000)
    no_limits |= setting("LIMITS__MAX_ARTIFACT_BYTES", 0)
    settings = {**kinds, **no_limits}

    def alike(number: int) -> dict:
        beginning = "x" * 200
        return {field: f"{beginning}{value}" for field, value in usual(number).items()}

    def repeated(number: int) -> dict:
        return {"ts": "2026-01-01T10:00:00Z", "request_id": f"r{number % 1000}"}

    def one_user(number: int) -> dict:
        return {**usual(number), "user_id": "u"}

    def one_session(number: int) -> dict:
        return {**usual(number), "session_id": "s", "item_id": f"i{number}"}

    def make(each):
        return lambda folder, count: events(folder, each, count)

    def rubbish(folder, count):
        (folder / "raw").mkdir()
        good = json.dumps(bomb_files.event()) + "\n"
        (folder / "raw/exposure.jsonl").write_text(good + "rubbish\n" * count)

    def days(folder, count):
        (folder / "raw").mkdir()
        first = datetime(2024, 1, 1)
        names = [(first + timedelta(days=day)).date().isoformat() for day in range(count)]
        bomb_files.days(folder / "raw/exposure.jsonl", names, 6_000)

    year = ["job_ingest", *SCOPE, "--start", "2024-01-01", "--end", "2024-12-25"]
    # Enough that a half of it does not fit into the budget.
    spilled = {**no_limits, **setting("RESOURCES__MEMORY_BYTES", 64 << 20)}
    oversized = {**settings, **setting("LIMITS__OVERSIZED_SESSIONS", "skip")}
    oversized |= setting("LIMITS__MAX_ITEMS_PER_SESSION", 200)
    return [
        Case("events, run with four kinds", 75_000, run_, make(usual), settings=settings),
        Case("ids with 200 bytes in common, run", 50_000, run_, make(alike), settings=settings),
        Case("repeated deliveries", 100_000, ingest, make(repeated), settings=no_limits),
        Case("events of one user, run", 50_000, run_, make(one_user), settings=settings),
        Case("items of one session, skipped", 50_000, run_, make(one_session), settings=oversized),
        Case("quarantined lines", 150_000, ingest, rubbish, settings=setting("VALIDATION__MAX_INVALID_RATIO", 1)),
        Case("spilled days in a flat file", 90, year, days, settings=spilled),
    ]


def catalogue_cases() -> list[Case]:
    def line(file):
        return ["job_content_sim", *SCOPE, *DAY, "--input", file]

    no_limit = setting("LIMITS__MAX_ARTIFACT_BYTES", 0)

    def rows(folder, count):
        with open(folder / "catalog.csv", "w") as file:
            file.write("item_id,tags,price\n")
            file.writelines(f"item-{number},red;t{number % 100},1.5\n" for number in range(count))

    def tags_of_rows(folder, count):
        with open(folder / "catalog.csv", "w") as file:
            file.write("item_id,tags\n")
            for number in range(count):
                file.write(f"item-{number},{';'.join(f't{number}-{tag}' for tag in range(900))}\n")

    def tags(format_):
        return lambda folder, count: bomb_files.catalogue_of_tags(folder / f"catalog.{format_}", count, format_)

    def columns(folder, count):
        bomb_files.catalogue_of_columns(folder / "catalog.csv", count, rows=200)

    refused = {0, 3, 4}
    return [
        Case("rows of the catalogue", 100_000, line("catalog.csv"), rows, settings=no_limit),
        Case("rows of 900 tags", 150, line("catalog.csv"), tags_of_rows, settings=no_limit),
        Case("tags of a row, csv", 30_000, line("catalog.csv"), tags("csv"), refused, no_limit),
        Case("tags of a row, jsonl", 30_000, line("catalog.jsonl"), tags("jsonl"), refused, no_limit),
        Case("columns of the catalogue", 25_000, line("catalog.csv"), columns, refused, no_limit),
    ]


def grow_old(folder: pathlib.Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO.timestamp(),) * 2)


def published(folder: pathlib.Path, tenant: str = "demo") -> scene.Published:
    registry, objects = stores.Folder(folder / "out/registry"), stores.Folder(folder / "out/objects")
    return scene.Published(registry, objects, tenant=tenant)


def registry_cases() -> list[Case]:
    main = "recsys-pipelines"

    def garbage(folder, count):
        """`count` documents that no manifest names: blobs and their records."""
        made = published(folder)
        for number in range(count // 2):
            made.store(scene.artifact("popularity", "demo", "home", 0, str(number), LONG_AGO))
        made.artifacts.clear()
        made.days(2, ["popularity"], LONG_AGO)
        grow_old(folder)

    def history(folder, count):
        """A chain of `count` manifests that name two artifacts in turns."""
        made = published(folder)
        artifacts = [scene.artifact("popularity", "demo", "home", day, str(day), LONG_AGO) for day in range(2)]
        addresses = [dict([made.store(artifact)]) for artifact in artifacts]
        for number in range(count):
            made.swap(addresses[number % 2], LONG_AGO + timedelta(seconds=number), "rollback")
        grow_old(folder)

    def scopes(folder, count):
        for number in range(count):
            published(folder, tenant=f"t{number}").days(1, ["popularity", "cooc"], LONG_AGO)

    def orphans(folder, count):
        """Entries of publishes that came to nothing."""
        made = published(folder)
        made.days(2, ["popularity"], LONG_AGO)
        entry = made.chain[-1]
        for number in range(count):
            when = LONG_AGO + timedelta(hours=2, seconds=number)
            manifest = {**entry["manifest"], "updated_at": scene.rfc3339(when)}
            hash_ = documents.document_hash(manifest)
            orphan = {**entry, "hash": hash_, "previous": entry["hash"], "manifest": manifest}
            key = f"history/demo/home/{when.strftime('%Y%m%dT%H%M%S.%fZ')}-{hash_}.json"
            made.registry.write(key, scene.readable(orphan))
        grow_old(folder)

    collect = [main, "gc", "--keep", "1", "--older-than", "1h"]
    return [
        Case("documents, gc", 10_000, collect, garbage, only_reads=True),
        Case("documents, gc --delete", 2_000, [*collect, "--delete"], garbage),
        Case("documents, status", 10_000, [main, "status"], garbage, only_reads=True),
        Case("history, history", 3_000, [main, "history", *SCOPE, "--limit", "1000000"], history, only_reads=True),
        Case("history, rollback", 3_000, [main, "rollback", *SCOPE, "--steps", "1"], history),
        Case("history, gc", 3_000, collect, history, only_reads=True),
        Case("entries that came to nothing, gc", 3_000, collect, orphans, only_reads=True),
        Case("entries that came to nothing, rollback", 3_000, [main, "rollback", *SCOPE, "--steps", "1"], orphans),
        Case("scopes, status", 2_000, [main, "status"], scopes, only_reads=True),
        Case("scopes, verify", 1_000, [main, "verify"], scopes, only_reads=True),
        Case("scopes, gc", 1_000, collect, scopes, only_reads=True),
    ]


def measure(case: Case, binaries: pathlib.Path, template: pathlib.Path) -> float:
    """The processor time of one run on a copy of an input."""
    folder = template.with_name("copy")
    if case.only_reads:
        template.rename(folder)
    else:
        # Links, because a command removes and replaces files, and never writes into them.
        shutil.copytree(template, folder, copy_function=os.link)
    settings = {**setting("OUT_DIR", str(folder / "out")), **setting("RAW_EVENTS_DIR", str(folder / "raw"))}
    command = [binaries / case.line[0], *case.line[1:]]
    try:
        ended = run(command, timeout_s=LIMIT_S, environment={**settings, **case.settings}, cwd=folder)
    finally:
        if case.only_reads:
            folder.rename(template)
        else:
            shutil.rmtree(folder)
    if ended.timed_out:
        return float("inf")
    if ended.code not in case.codes:
        raise RuntimeError(f"exit code {ended.code}: {ended.last_line}")
    return ended.cpu_s


def grows(case: Case, binaries: pathlib.Path, rounds: int) -> tuple[list[float], bool]:
    """The medians for each size, and whether they grow too much."""
    times: list[list[float]] = [[], [], []]
    # A file with several links cannot be on another file system than its copy.
    in_memory = case.has_many_files and os.access(MEMORY, os.W_OK)
    place = MEMORY if in_memory else os.environ.get("TMPDIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="linear-", dir=place) as name:
        templates = [pathlib.Path(name) / str(factor) / "input" for factor in (1, 2, 4)]
        for factor, template in zip((1, 2, 4), templates, strict=True):
            # Where its copies will be: addresses in it are absolute.
            place = template.with_name("copy")
            place.mkdir(parents=True)
            case.make(place, case.size * factor)
            place.rename(template)
        for _ in range(rounds):
            for at, template in enumerate(templates):
                times[at].append(measure(case, binaries, template))
    medians = [statistics.median(of_size) for of_size in times]
    too_much = any(
        after > LEAST_S and after > MOST_GROWTH * max(before, 1e-3) for before, after in itertools.pairwise(medians)
    )
    return medians, too_much


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR", help="where the binaries are")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only the cases whose name matches")
    parser.add_argument("--seconds", type=float, default=1200, help="no case begins after this (default: 1200)")
    arguments = parser.parse_args()
    end_with_parent()
    begun = time.monotonic()
    failed, left = 0, []
    print(f"{'case':<42} {'sizes':>24} {'CPU s':>24}  growth")
    of_registry = [dataclasses.replace(case, has_many_files=True) for case in registry_cases()]
    for case in event_cases() + catalogue_cases() + of_registry:
        if not re.search(arguments.only, case.name):
            continue
        if time.monotonic() - begun > arguments.seconds:
            left.append(case.name)
            continue
        try:
            medians, too_much = grows(case, arguments.bin.absolute(), 3)
            if too_much:
                medians, too_much = grows(case, arguments.bin.absolute(), 7)
        except RuntimeError as error:
            print(f"{case.name:<42} FAILED: {error}", flush=True)
            failed += 1
            continue
        sizes = " ".join(f"{case.size * factor:>7}" for factor in (1, 2, 4))
        seconds = " ".join(f"{median:>7.3f}" for median in medians)
        growth = ", ".join(f"{after / max(before, 1e-3):.2f}" for before, after in itertools.pairwise(medians))
        verdict = "FAILED" if too_much else "" if medians[-1] > LEAST_S else "too fast to tell"
        failed += too_much
        print(f"{case.name:<42} {sizes:>24} {seconds:>24}  {growth} {verdict}", flush=True)
    for name in left:
        print(f"{name}: not measured, the time is over")
    print(f"linear: {failed} failed, {len(left)} not measured, {time.monotonic() - begun:.0f} s")
    return 1 if failed or left else 0


if __name__ == "__main__":
    sys.exit(main())
