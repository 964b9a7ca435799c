#!/usr/bin/env python3
"""Pauses `gc --delete` before each of its deletions in turn, makes current what it is about to delete, lets it go on.

On disk strace holds each deletion back for a moment; when the chosen one has begun, strace is stopped, and with it the
collector. In a bucket a proxy holds the deletion's request; meanwhile it refuses the renewals of the collector's lease
with 503, or delays them, or the collector is stopped by SIGSTOP. Then a rollback or a publish makes a manifest current
whose blobs are next. When it is done, or has waited for a while, the collector goes on to its end.

Each pause has a scene of its own. The audit must find nothing missing, before the collector goes on and after it has
ended; that the rollback was refused is all right.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import builds
import documents
import scene
import slow_s3
import stores
from audit import Audit
from children import Child, end_with_parent, run, s3_settings

KINDS = ["popularity", "cooc"]
DAYS = 6
# Of each manifest but the current one, the blob and the record of each kind.
DELETIONS = (DAYS - 1) * len(KINDS) * 2
AGE = timedelta(days=3)
# After so long a lease that is not renewed is taken for that of a dead collector.
PATIENCE_S = 26
# For how long the act waits for a collector that does not go on before it has ended.
ACT_WAIT_S = 5
# How long a deletion is held back on disk, so that there is time to stop it.
HELD_BACK_US = 60_000
LIMIT_S = 150

SCOPE = ["--tenant", "demo", "--surface", "home"]


@dataclasses.dataclass(frozen=True)
class Pause:
    """One attack: where the collector is stopped, what is done meanwhile, when it goes on."""

    number: int
    """Before which deletion, from 1."""
    act: str
    """`rollback`, `rollback-kind` or `publish`."""
    early_s: float | None
    """After so long the collector goes on, whether or not the act has ended."""
    then_gc: bool
    """Whether a second collector runs to its end before the first goes on."""
    hold: str
    """What happens to the collector besides: `refuse`, `delay` (of renewals; in a bucket) or `stop`."""


@dataclasses.dataclass
class Outcome:
    """What became of a pause."""

    pause: Pause
    reached: bool = False
    acted: str = ""
    violations: list[str] = dataclasses.field(default_factory=list)
    oddities: list[str] = dataclasses.field(default_factory=list)
    says: str = ""


class Scene:
    """Six manifests; all but the newest are garbage for `gc --keep 1`. Their artifacts are staged, too."""

    def __init__(self, folder: pathlib.Path, binaries: pathlib.Path, extra: dict[str, str], bucket: bool):
        self.folder, self.binaries = folder, binaries
        begin = datetime.now(UTC) - timedelta(days=20)
        if bucket:
            place = f"attack-{uuid.uuid4().hex}"
            client, name = stores.s3_client(), os.environ["RECSYS_TEST_S3_BUCKET"]
            registry = stores.Bucket(client, name, f"{place}/registry")
            objects = stores.Bucket(client, name, f"{place}/objects")
            roots = [registry.uri(""), objects.uri("")]
        else:
            registry, objects = stores.Folder(folder / "registry"), stores.Folder(folder / "objects")
            roots = [str(registry.path), str(objects.path)]
        self.published = scene.Published(registry, objects)
        self.published.days(DAYS, KINDS, begin, mark=uuid.uuid4().hex[:6])
        staging = stores.Folder(folder / "artifacts")
        for artifact in self.published.artifacts:
            window = "_".join(artifact["window"][edge][:10] for edge in ("start", "end"))
            kind, version = artifact["artifact_type"], artifact["build"]["version"]
            below = f"demo/home/_all/{kind}/{window}"
            staging.write(f"{below}/{version}.json", documents.compact(artifact).encode())
            staging.write(f"{below}/current.version", f"{version}\n".encode())
        if not bucket:
            long_ago = time.time() - AGE.total_seconds()
            for store in (registry, objects):
                for key in store.keys():
                    os.utime(store.path / key, (long_ago, long_ago))
        self.settings = {
            "RECSYS_PIPELINES__OUT_DIR": str(folder / "out"),
            "RECSYS_PIPELINES__ARTIFACTS_DIR": str(staging.path),
            "RECSYS_PIPELINES__REGISTRY_DIR": roots[0].rstrip("/"),
            "RECSYS_PIPELINES__OBJECT_STORE_DIR": roots[1].rstrip("/"),
            **extra,
        }
        # What was written until now looks old to the collector.
        self.born = datetime.now(UTC).replace(tzinfo=None)

    def gc_command(self) -> list:
        return [self.binaries / "recsys-pipelines", "gc", "--keep", "1", "--older-than", "1h", "--delete"]

    def audit(self) -> Audit:
        return Audit(self.published.registry, self.published.objects, told_to_go_back=frozenset(["demo/home"]))

    def violations(self) -> list[str]:
        """What is wrong when nothing runs."""
        return [str(violation) for violation in self.audit().whole()]

    def seen_by_a_reader(self) -> list[str]:
        """What is wrong for a reader of the current manifest, whatever runs."""
        return [str(violation) for violation in self.audit().current("demo", "home")]

    def remove(self) -> None:
        for store in (self.published.registry, self.published.objects):
            if isinstance(store, stores.Bucket):
                for key in store.keys():
                    store.remove(key)

    def entry_naming(self, key: str) -> dict | None:
        """The history entry whose manifest names the blob at `key`, or the blob of the record there."""
        version = re.search(r"[0-9a-f]{64}", key)[0]
        for entry in self.published.chain:
            if any(version in uri for uri in entry["manifest"]["current"].values()):
                return entry
        return None

    def act(self, pause: Pause, key: str, more: dict[str, str]) -> Child:
        """Starts what makes current what the collector is about to delete."""
        entry = self.entry_naming(key)
        kind = key.removeprefix("records/").split("/")[2]
        # Without its blob an artifact can only be published again.
        blob_is_there = self.published.objects.read(key.removeprefix("records/")) is not None
        act = pause.act if blob_is_there else "publish"
        if act == "publish":
            day = self.published.chain.index(entry)
            start = (scene.FIRST_DAY + timedelta(days=day)).date().isoformat()
            flags = ["--allow-older-window", "--start", start]
            return Child([self.binaries / "job_publish", *SCOPE, *flags], environment={**self.settings, **more})
        command = [self.binaries / "recsys-pipelines", "rollback", *SCOPE, "--to", entry["hash"]]
        if act == "rollback-kind":
            command += ["--kind", kind]
        return Child(command, environment={**self.settings, **more})


class DiskHold:
    """The collector on disk, under strace. `paused` has the path of the deletion that was chosen."""

    def __init__(self, scene: Scene, pause: Pause, environment: dict[str, str]):
        self.paused: collections.deque[str] = collections.deque()
        self.trace = scene.folder / "trace"
        calls = "unlink,unlinkat"
        strace = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-e", "signal=none", "-o", self.trace]
        strace += ["-e", f"inject={calls}:delay_enter={HELD_BACK_US}", "-s", "4096"]
        self.scene, self.pause = scene, pause
        self.child = Child([*strace, *scene.gc_command()], environment={**scene.settings, **environment})

    def reach(self) -> str | None:
        """Waits for the chosen deletion, and stops everything before it is carried out. Returns its key."""
        roots = [store.path for store in (self.scene.published.registry, self.scene.published.objects)]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            text = self.trace.read_text(errors="replace") if self.trace.exists() else ""
            paths = re.findall(r'unlink(?:at)?\((?:AT_FDCWD, )?"([^"]+)"', text)
            documents_ = [pathlib.Path(path) for path in paths if re.search(r"/[0-9a-f]{64}\.json$", path)]
            keys = [str(path.relative_to(root)) for path in documents_ for root in roots if root in path.parents]
            if len(keys) >= self.pause.number:
                # strace holds all threads of the collector at their next system call.
                os.kill(self.child.group, signal.SIGSTOP)
                return keys[self.pause.number - 1]
            if self.child.has_ended():
                return None
            time.sleep(0.005)
        return None

    def go_on(self) -> None:
        os.kill(self.child.group, signal.SIGCONT)

    def close(self) -> None:
        pass


class BucketHold:
    """The collector in a bucket, behind a proxy that holds the deletion that was chosen."""

    def __init__(self, scene: Scene, pause: Pause, environment: dict[str, str]):
        self.scene, self.pause = scene, pause
        self.lock = threading.Lock()
        self.seen = 0
        self.key: str | None = None
        self.reached, self.resumed = threading.Event(), threading.Event()
        endpoint = os.environ["RECSYS_TEST_S3_ENDPOINT"].strip()
        self.proxy = slow_s3.Proxy(endpoint, self.policy, age=AGE, born=scene.born)
        settings = {**scene.settings, **s3_settings(self.proxy.endpoint), **environment}
        self.child = Child(scene.gc_command(), environment=settings)

    def policy(self, request: slow_s3.Request) -> int | None:
        if request.is_deletion and re.search(r"[0-9a-f]{64}\.json", request.key + request.body.decode()):
            with self.lock:
                self.seen += 1
                is_chosen = self.seen == self.pause.number
            if is_chosen:
                text = request.key + request.body.decode()
                self.key = re.search(r"(?:records/)?demo/home/\w+/[0-9a-f]{64}\.json", text)[0]
                if self.pause.hold == "stop":
                    self.child.signal(signal.SIGSTOP)
                self.reached.set()
            if self.reached.is_set():
                self.resumed.wait(LIMIT_S)
        elif request.method == "PUT" and "/gc/" in request.key and self.reached.is_set():
            if self.pause.hold == "refuse" and not self.resumed.is_set():
                return 503
            self.resumed.wait(LIMIT_S)
        return None

    def reach(self) -> str | None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not self.reached.wait(0.05):
            if self.child.has_ended():
                return None
        return self.key

    def go_on(self) -> None:
        self.resumed.set()
        self.child.signal(signal.SIGCONT)

    def close(self) -> None:
        self.resumed.set()
        self.proxy.close()


@dataclasses.dataclass
class Attack:
    """What all pauses of a round have in common."""

    binaries: pathlib.Path
    bucket: bool
    clocks: list[dict[str, str]]
    """The environment of each run of gc until the one that deletes."""
    patient: bool
    """Whether the act is tried again until a silent lease must be over."""

    def scene(self, folder: pathlib.Path) -> Scene:
        return Scene(folder, self.binaries, s3_settings() if self.bucket else {}, self.bucket)

    def carry_out(self, pause: Pause) -> Outcome:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pause-"))
        made = self.scene(folder)
        outcome = Outcome(pause)
        try:
            self._carry_out(made, outcome)
        finally:
            made.remove()
            shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def _carry_out(self, made: Scene, outcome: Outcome) -> None:
        pause = outcome.pause
        for clock in self.clocks[:-1]:
            self._collect(made, clock, outcome)
        hold = (BucketHold if self.bucket else DiskHold)(made, pause, self.clocks[-1])
        try:
            key = hold.reach()
            outcome.reached = key is not None
            if key is not None:
                begun = time.monotonic()
                self._act(made, outcome, key, hold, begun)
                if pause.then_gc:
                    self._collect(made, self.clocks[-1], outcome)
                outcome.violations += [f"while the collector is paused: {found}" for found in made.seen_by_a_reader()]
            hold.go_on()
            ended = hold.child.wait(LIMIT_S)
        finally:
            hold.close()
        outcome.oddities += filter(None, [ended.oddity()])
        outcome.violations += made.violations()

    def _act(self, made: Scene, outcome: Outcome, key: str, hold, begun: float) -> None:
        pause = outcome.pause
        while True:
            # One that goes on early is waited for, one that does not only for a moment.
            wait_s = ACT_WAIT_S if pause.early_s is None else LIMIT_S // 2
            acting = made.act(pause, key, builds.lease_timeout(self.binaries, wait_s))
            if pause.early_s is not None:
                time.sleep(pause.early_s)
                hold.go_on()
            ended = acting.wait(LIMIT_S)
            outcome.oddities += filter(None, [ended.oddity()])
            outcome.acted = "done" if ended.code == 0 else f"refused ({ended.code})"
            outcome.says = ended.last_line
            waited = time.monotonic() - begun
            if ended.code == 0 or not self.patient or pause.early_s is not None or waited > PATIENCE_S:
                return
            time.sleep(min(5.0, PATIENCE_S + 1 - waited) if waited < PATIENCE_S else 0)

    def _collect(self, made: Scene, clock: dict[str, str], outcome: Outcome) -> None:
        """A collector of its own, from its begin to its end."""
        if self.bucket:
            endpoint = os.environ["RECSYS_TEST_S3_ENDPOINT"].strip()
            with slow_s3.Proxy(endpoint, age=AGE, born=made.born) as proxy:
                settings = {**made.settings, **s3_settings(proxy.endpoint), **clock}
                ended = run(made.gc_command(), timeout_s=LIMIT_S, environment=settings)
        else:
            ended = run(made.gc_command(), timeout_s=LIMIT_S, environment={**made.settings, **clock})
        outcome.oddities += filter(None, [ended.oddity()])


def learn(attack: Attack) -> None:
    """Finds out after how many runs of gc, and with which clocks, an undisturbed collector has deleted."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pause-"))
    made = attack.scene(folder)
    outcome = Outcome(Pause(0, "rollback", None, False, "stop"))
    now = int(time.time())
    clocks = [{}, *({"SOURCE_DATE_EPOCH": str(now + days * 86_400)} for days in (1, 9, 40))]
    try:
        before = len(made.published.objects.keys())
        for count in range(1, len(clocks) + 1):
            attack._collect(made, clocks[count - 1], outcome)
            if len(made.published.objects.keys()) < before:
                attack.clocks = clocks[:count]
                break
        else:
            sys.exit("error: gc --delete deletes nothing; this attack tells nothing")
        if made.violations() or outcome.oddities:
            sys.exit(f"error: gc alone leaves {made.violations() + outcome.oddities}")
    finally:
        made.remove()
        shutil.rmtree(folder, ignore_errors=True)


def pauses(count: int, bucket: bool, random_: random.Random) -> list[Pause]:
    """As many pauses as asked for: every deletion in turn, with every act."""
    numbers = itertools.cycle(range(1, DELETIONS + 1))
    holds = itertools.cycle(["refuse", "stop", "delay"] if bucket else ["stop"])
    acts = itertools.cycle(["rollback-kind", "rollback", "publish"])
    made = []
    for at in range(count):
        # In quick mode the few are spread over all deletions.
        number = next(numbers) if count >= DELETIONS else 1 + at * DELETIONS // count
        early_s = round(random_.uniform(0.5, 24.0), 1) if at % 5 == 3 else None
        made.append(Pause(number, next(acts), early_s, at % 7 == 2, next(holds)))
    return made


def round_of(attack: Attack, count: int, random_: random.Random, at_once: int) -> bool:
    """Carries out the pauses and prints what became of them. Returns whether all is well."""
    place = "bucket" if attack.bucket else "disk"
    begun = time.monotonic()
    learn(attack)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(attack.carry_out, pauses(count, attack.bucket, random_)))
    lost = [outcome for outcome in outcomes if outcome.violations]
    odd = [outcome for outcome in outcomes if outcome.oddities]
    for outcome in lost + odd:
        pause = outcome.pause
        print(f"  before deletion {pause.number}, {pause.act}, {pause.hold}: {outcome.acted} {outcome.says}")
        for problem in sorted(set(outcome.violations + outcome.oddities))[:4]:
            print(f"    {problem}")
    reached = sum(outcome.reached for outcome in outcomes)
    acts = collections.Counter(outcome.acted for outcome in outcomes if outcome.reached)
    print(
        f"pauses, {place}: {reached} of {count} reached their deletion; the act was "
        + ", ".join(f"{what} {many} times" for what, many in acts.most_common())
        + f"; {len(lost)} lost something, {len(odd)} ended oddly; {time.monotonic() - begun:.0f} s"
    )
    if reached < count // 2:
        print("  fewer than half were reached: this tells too little")
        return False
    return not lost and not odd


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR", help="where the binaries are")
    parser.add_argument("--quick", action="store_true", help="a handful of pauses instead of a hundred in each place")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--place", choices=["disk", "bucket", "both"], default="both")
    parser.add_argument("--count", type=int, default=None, metavar="N", help="pauses in each place")
    arguments = parser.parse_args()
    end_with_parent()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"pauses: seed {seed}")
    count = arguments.count or (6 if arguments.quick else 100)
    well = True
    for bucket in {"disk": [False], "bucket": [True], "both": [False, True]}[arguments.place]:
        attack = Attack(arguments.bin.absolute(), bucket, [{}], patient=not arguments.quick)
        well &= round_of(attack, count, random.Random(seed), at_once=12 if bucket else 16)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
