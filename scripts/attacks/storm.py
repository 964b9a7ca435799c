#!/usr/bin/env python3
"""Twelve workers run the real binaries at random against one registry, and kill and stop them at random moments.

Three tenants and surfaces, five days, all kinds but `content_sim`; the raw data has several editions, so that days are
published again with other content. `run`, `job_publish`, `rollback`, `gc --delete --keep 1`, `status` and `verify` take
turns. What was written two seconds ago looks three days old to `gc`, so it collects as much as it may. Publishes and
rollbacks have a clock that is three days late; `gc` has the real one, and at times one that is ahead.

Two readers read as the online service does, all the time: a manifest and its blobs. Every so often, and at the end, all
workers rest and the whole registry is audited. A binary may end with the exit codes 0 to 4, or by a signal that was
sent to it. In the end `gc`, `run` and `verify` must work as if nothing had been.

The same seed gives the same commands; how they meet is up to the machine.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from datetime import datetime, timedelta

import builds
import slow_s3
import stores
from audit import Audit, moment
from children import Child, Ended, end_with_parent, run, s3_settings
from documents import parse

WORKERS = 12
EDITIONS = 6
DAYS = [f"2026-01-0{day}" for day in range(1, 6)]
KINDS = ["popularity", "cooc", "implicit", "session_seq"]
SCOPES = [("acme", "home"), ("acme", "cart"), ("zest", "home")]
# Here publishes are given --allow-older-window at times.
GOES_BACK = ("zest", "home")
AGE = timedelta(days=3)
SETTLED = timedelta(seconds=2)
LIMIT_S = 120


def write_raw(folder: pathlib.Path, random_: random.Random) -> None:
    """The raw data of an edition: some sessions for each scope and day."""
    for tenant, surface in SCOPES:
        for day in DAYS:
            lines = []
            for session in range(random_.randrange(5, 20)):
                for rank in range(random_.randrange(1, 6)):
                    lines.append(
                        {
                            "v": 1,
                            "ts": f"{day}T{session:02}:{random_.randrange(60):02}:00Z",
                            "tenant": tenant,
                            "surface": surface,
                            "user_id": f"u{random_.randrange(6)}",
                            "session_id": f"s{session}",
                            "request_id": f"r{session}-{rank}",
                            "item_id": f"i{random_.randrange(12)}",
                        }
                    )
            path = folder / tenant / surface / f"exposure.{day}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Gate:
    """Workers pass while it is open. Closing it waits until all are out."""

    def __init__(self):
        self.condition = threading.Condition()
        self.inside, self.closed = 0, False
        self.closing = threading.Event()
        """Set while somebody waits: nobody inside should idle."""

    def __enter__(self):
        with self.condition:
            self.condition.wait_for(lambda: not self.closed)
            self.inside += 1

    def __exit__(self, *_):
        with self.condition:
            self.inside -= 1
            self.condition.notify_all()

    def close(self):
        self.closing.set()
        with self.condition:
            self.closed = True
            self.condition.wait_for(lambda: self.inside == 0)

    def open(self):
        self.closing.clear()
        with self.condition:
            self.closed = False
            self.condition.notify_all()


class Storm:
    """One storm on one registry."""

    def __init__(self, binaries: pathlib.Path, bucket: bool, seed: int, folder: pathlib.Path, long_stops: bool):
        self.binaries, self.bucket, self.seed, self.folder = binaries, bucket, seed, folder
        self.long_stops = long_stops
        self.gate, self.over = Gate(), threading.Event()
        self.lock = threading.Lock()
        self.problems: list[str] = []
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.samples: dict[tuple[str, str], str] = {}
        self.collected, self.killed, self.stopped, self.read, self.audits = 0, 0, 0, 0, 0
        self.window_ends: dict[str, str] = {}
        for edition in range(EDITIONS):
            write_raw(folder / f"raw-{edition}", random.Random(f"{seed}/{edition}"))
        # What interrupted publishes have left is garbage here, and claims are given up while nothing runs.
        self.unrecorded = builds.flags_of_gc(binaries, ["--include-unrecorded"])
        self.release = builds.flags_of_gc(binaries, ["--release-claims", "1h"])
        settings = {"RECSYS_PIPELINES__LIMITS__MIN_COOC_SUPPORT": "1"}
        settings["RECSYS_PIPELINES__ARTIFACT_KINDS"] = json.dumps(KINDS)
        if bucket:
            place, name = f"attack-{uuid.uuid4().hex}", os.environ["RECSYS_TEST_S3_BUCKET"]
            roots = [f"s3://{name}/{place}/registry", f"s3://{name}/{place}/objects"]
            settings |= s3_settings()
            self.proxy = slow_s3.Proxy(os.environ["RECSYS_TEST_S3_ENDPOINT"].strip(), age=AGE, settled=SETTLED)
        else:
            roots = [str(folder / "registry"), str(folder / "objects")]
            self.proxy = None
        settings["RECSYS_PIPELINES__REGISTRY_DIR"], settings["RECSYS_PIPELINES__OBJECT_STORE_DIR"] = roots
        self.roots, self.settings = roots, settings

    def audit(self) -> Audit:
        told = frozenset(["/".join(GOES_BACK)])
        audit = Audit(*map(stores.open_store, self.roots), told_to_go_back=told)
        audit.window_ends = self.window_ends
        return audit

    def note(self, problem: str) -> None:
        with self.lock:
            if problem not in self.problems:
                self.problems.append(problem)

    # What workers do.

    def late(self) -> dict[str, str]:
        return {"SOURCE_DATE_EPOCH": str(int(time.time() - AGE.total_seconds()))}

    def environment(self, edition: int) -> dict[str, str]:
        places = {
            "RECSYS_PIPELINES__OUT_DIR": str(self.folder / f"out-{edition}"),
            "RECSYS_PIPELINES__RAW_EVENTS_DIR": str(self.folder / f"raw-{edition}"),
        }
        return {**self.settings, **places}

    def command(self, random_: random.Random) -> tuple[str, list, dict[str, str]]:
        """What to run next: its name, command and environment."""
        tenant, surface = random_.choice(SCOPES)
        scope = ["--tenant", tenant, "--surface", surface]
        environment = self.environment(random_.randrange(EDITIONS))
        first = random_.randrange(len(DAYS))
        days = ["--start", DAYS[first], "--end", DAYS[min(len(DAYS) - 1, first + random_.choice([0, 0, 0, 1, 3]))]]
        older = ["--allow-older-window"] if (tenant, surface) == GOES_BACK and random_.random() < 0.5 else []
        main = self.binaries / "recsys-pipelines"
        match random_.choices(["run", "job_publish", "rollback", "gc", "status", "verify"], [30, 12, 22, 20, 6, 10])[0]:
            case "run":
                return "run", [main, "run", *scope, *days, *older], environment | self.late()
            case "job_publish":
                return "job_publish", [self.binaries / "job_publish", *scope, *days, *older], environment | self.late()
            case "rollback":
                target = ["--steps", str(random_.randrange(1, 5))]
                if random_.random() < 0.5 and (known := self.a_hash(tenant, surface, random_)):
                    target = ["--to", known]
                kind = ["--kind", random_.choice(KINDS)] if random_.random() < 0.4 else []
                return "rollback", [main, "rollback", *scope, *target, *kind], environment | self.late()
            case "gc":
                return "gc", *self.gc(random_, scope if random_.random() < 0.7 else [], environment)
            case other:
                return other, [main, other, "--json"], environment | self.late()

    def gc(self, random_: random.Random, scope: list[str], environment: dict[str, str]) -> tuple[list, dict[str, str]]:
        if self.proxy:
            environment = environment | s3_settings(self.proxy.endpoint)
        if random_.random() < 0.3:
            ahead = time.time() + random_.uniform(0, 3 * 86_400)
            environment = environment | {"SOURCE_DATE_EPOCH": str(int(ahead))}
        command = [self.binaries / "recsys-pipelines", "gc", "--keep", "1", "--older-than", "1h", "--delete", "--json"]
        unrecorded = self.unrecorded if random_.random() < 0.5 else []
        return [*command, *unrecorded, *scope], environment

    def a_hash(self, tenant: str, surface: str, random_: random.Random) -> str | None:
        keys = stores.open_store(self.roots[0]).keys(f"history/{tenant}/{surface}/")
        hashes = [key[-69:].removesuffix(".json") for key in keys if not key.rsplit("/", 1)[1].startswith(".")]
        return random_.choice(hashes[-8:]) if hashes else None

    def work(self, number: int) -> None:
        random_ = random.Random(f"{self.seed}/worker/{number}")
        while not self.over.is_set():
            with self.gate:
                if self.over.is_set():
                    return
                name, command, environment = self.command(random_)
                self.settle(name, *self.disturb(Child(command, environment=environment, cwd=self.folder), random_))

    def disturb(self, child: Child, random_: random.Random) -> tuple[Ended, tuple[int, ...]]:
        """Leaves a process alone, kills it, or stops it for a while. Returns how it ended, and what was sent to it."""
        what = random_.choices(["nothing", "kill", "term", "stop"], [40, 25, 10, 25])[0]
        # Most of what the binaries do here takes 20 to 300 ms.
        moment_s = min(random_.expovariate(10), 1)
        pause_s = random_.uniform(0.05, 3)
        if self.long_stops and random_.random() < 0.1:
            pause_s = random_.uniform(20, 30)
        sent: tuple[int, ...] = ()
        if what != "nothing":
            time.sleep(moment_s)
            if not child.has_ended():
                if what == "stop":
                    child.signal(signal.SIGSTOP)
                    self.gate.closing.wait(pause_s)
                    child.signal(signal.SIGCONT)
                    self.stopped += 1
                else:
                    sent = (signal.SIGKILL,) if what == "kill" else (signal.SIGTERM,)
                    child.signal(sent[0])
                    self.killed += 1
        return child.wait(LIMIT_S), sent

    def settle(self, name: str, ended: Ended, sent: tuple[int, ...]) -> None:
        """Counts what a process has done, and notes what none may do."""
        # After SIGTERM a process may also end by its own will, with 128 and the signal.
        by_signal = ended.code in (143, -signal.SIGTERM) and signal.SIGTERM in sent
        oddity = None if by_signal else ended.oddity(sent)
        with self.lock:
            outcome = "by our signal" if by_signal or -ended.code in sent else f"exit {ended.code}"
            self.counts[name, outcome] += 1
            if ended.code > 0:
                self.samples.setdefault((name, outcome), ended.last_line)
            if name == "gc" and ended.code == 0:
                self.collected += sum(len(scope["garbage"]) for scope in json.loads(ended.stdout)["scopes"])
        if oddity:
            self.note(f"{name} {oddity}: {' '.join(ended.command)}: {ended.stderr[-600:]}")

    # What watches them.

    def reader(self, number: int) -> None:
        """Reads manifests and their blobs as the online service does."""
        random_ = random.Random(f"{self.seed}/reader/{number}")
        audit = self.audit()
        newest: dict[tuple[str, str], datetime] = {}
        while not self.over.is_set():
            scope = random_.choice(SCOPES)
            data = audit.registry.read(f"current/{scope[0]}/{scope[1]}/manifest.json")
            for violation in audit.current(*scope):
                self.note(f"a reader: {violation}")
            if data is not None:
                try:
                    time_ = moment(parse(data)["updated_at"])
                    if time_ < newest.get(scope, time_):
                        self.note(f"a reader: the manifest of {scope} went back in time")
                    newest[scope] = time_
                except (KeyError, TypeError, ValueError):
                    pass  # the audit has said it
            with self.lock:
                self.read += 1
            self.over.wait(random_.uniform(0, 0.1))

    def grow_old(self) -> None:
        """Makes what was written a while ago on disk look old."""
        while not self.over.wait(0.2):
            for root in self.roots:
                now = time.time()
                for folder, folders, files in os.walk(root):
                    folders[:] = [name for name in folders if name != ".scratch"]
                    for name in files:
                        path = os.path.join(folder, name)
                        try:
                            written = os.stat(path).st_mtime
                            if now - 3600 < written < now - SETTLED.total_seconds():
                                os.utime(path, (now - AGE.total_seconds(),) * 2)
                        except FileNotFoundError:
                            pass

    def rest(self) -> None:
        """Lets all workers come to rest, and audits everything."""
        self.gate.close()
        try:
            self.release_claims()
            for violation in self.audit().whole():
                self.note(f"audit: {violation}")
            self.audits += 1
        finally:
            self.gate.open()

    def release_claims(self) -> None:
        """Gives up what killed collectors have claimed. None runs now; a request of one may still be on its way."""
        if not self.release:
            return
        if self.bucket:
            time.sleep(2)
        ahead = {"SOURCE_DATE_EPOCH": str(int(time.time() + 2 * AGE.total_seconds()))}
        command = [self.binaries / "recsys-pipelines", "gc", "--keep", "1000000", *self.release]
        ended = run(command, timeout_s=LIMIT_S, environment=self.settings | ahead, cwd=self.folder)
        if ended.code != 0:
            self.note(f"claims could not be given up: {ended.last_line}")

    def aftermath(self) -> None:
        """After the storm everything works, and no violation comes of it."""
        main = self.binaries / "recsys-pipelines"
        command, environment = self.gc(random.Random(1), [], self.environment(0))
        environment.pop("SOURCE_DATE_EPOCH", None)
        command += [flag for flag in self.unrecorded if flag not in command]
        steps = [("gc", command, environment)]
        self.release_claims()
        for tenant, surface in SCOPES:
            scope = ["--tenant", tenant, "--surface", surface, "--start", DAYS[0], "--end", DAYS[-1]]
            steps.append(("run", [main, "run", *scope], self.environment(0) | self.late()))
        steps.append(("verify", [main, "verify"], self.settings | self.late()))
        for name, command, environment in steps:
            for _ in range(3):
                ended = run(command, timeout_s=LIMIT_S, environment=environment, cwd=self.folder)
                # Trying again is safe and may help: somebody who was killed may seem to be there still.
                if ended.code != 1:
                    break
            if ended.code != 0:
                self.note(f"after the storm {name} ended with {ended.code}: {ended.last_line}")
        for violation in self.audit().whole():
            self.note(f"audit at the end: {violation}")
        self.audits += 1

    def swaps(self) -> int:
        registry = stores.open_store(self.roots[0])
        return sum(len(registry.keys(f"history/{tenant}/{surface}/")) for tenant, surface in SCOPES)

    def blow(self, seconds: float) -> None:
        threads = [threading.Thread(target=self.work, args=(number,)) for number in range(WORKERS)]
        threads += [threading.Thread(target=self.reader, args=(number,)) for number in range(2)]
        if not self.bucket:
            threads.append(threading.Thread(target=self.grow_old))
        for tenant, surface in SCOPES:
            scope = ["--tenant", tenant, "--surface", surface, "--start", DAYS[0], "--end", DAYS[1]]
            command = [self.binaries / "recsys-pipelines", "run", *scope]
            run(command, timeout_s=LIMIT_S, environment=self.environment(0) | self.late(), cwd=self.folder)
        until, pause_s = time.monotonic() + seconds, min(45, seconds / 2)
        for thread in threads:
            thread.daemon = True
            thread.start()
        try:
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, pause_s))
                if left > pause_s:
                    self.rest()
        finally:
            self.over.set()
            self.gate.closing.set()
            for thread in threads:
                thread.join()
        self.aftermath()

    def clean_up(self) -> None:
        if self.proxy:
            self.proxy.close()
            for root in self.roots:
                store = stores.open_store(root)
                for key in store.keys():
                    store.remove(key)


def storm(binaries: pathlib.Path, bucket: bool, seed: int, seconds: float, quick: bool) -> bool:
    """One storm. Prints what happened; returns whether all is well."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="storm-"))
    made = Storm(binaries, bucket, seed, folder, long_stops=not quick)
    try:
        made.blow(seconds)
        swaps = made.swaps()
    finally:
        made.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
    operations = sum(made.counts.values())
    place = "bucket" if bucket else "disk"
    print(
        f"storm, {place}: {operations} operations, {made.killed} killed, {made.stopped} stopped, {swaps} manifests, "
        f"{made.collected} documents collected, {made.read} reads, {made.audits} audits: "
        f"{len(made.problems)} problems"
    )
    for name in sorted({name for name, _ in made.counts}):
        outcomes = {outcome: many for (of, outcome), many in sorted(made.counts.items()) if of == name}
        print(f"  {name:<12}" + ", ".join(f"{outcome} {many} times" for outcome, many in outcomes.items()))
    for (name, outcome), line in sorted(made.samples.items()):
        print(f"    {name} {outcome}: {line[:200]}")
    for problem in made.problems[:30]:
        print(f"  PROBLEM {problem}")
    if swaps < 10 or made.collected < 10:
        print("  too few manifests or collected documents: this tells too little")
        return False
    return not made.problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR", help="where the binaries are")
    parser.add_argument("--quick", action="store_true", help="10 seconds in each place, and no stop of 20 seconds")
    parser.add_argument("--seconds", type=float, default=None, help="how long it blows in each place (default: 120)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--place", choices=["disk", "bucket", "both"], default="both")
    arguments = parser.parse_args()
    end_with_parent()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"storm: seed {seed}", flush=True)
    seconds = arguments.seconds or (10 if arguments.quick else 120)
    well = True
    for bucket in {"disk": [False], "bucket": [True], "both": [False, True]}[arguments.place]:
        well &= storm(arguments.bin.absolute(), bucket, seed, seconds, arguments.quick)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
