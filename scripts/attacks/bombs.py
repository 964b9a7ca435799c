#!/usr/bin/env python3
"""Throws inputs at the binaries that are small and become large, or are not what they seem.

Each binary has `resources.memory_bytes` of 64 MiB. It must end in time and with at most 64 + 96 MiB of memory: well,
where the input is legal, or with one line that says which file, field or limit it is, and exit code 2, 3 or 4 (1, where
something is not readable). What it refuses leaves no canonical file, no manifest, no large quarantine and no scratch.
"""

import argparse
import os
import pathlib
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable

import builds
from bomb_cases import Bomb, all_bombs, setting
from bomb_files import MIB
from children import Child, Ended, end_with_parent

BUDGET_MIB = 64
ALLOWED_MIB = BUDGET_MIB + 96
# A process that takes so much has failed; it is killed before the machine suffers.
HOPELESS_MIB = 1024
# What a refused run may leave in the quarantine.
QUARANTINE_MIB = 264


def unprivileged_limits(bomb: Bomb) -> tuple[dict[int, int], int | None]:
    """The limits of a process, and the user that it runs as."""
    if bomb.processes is None:
        return bomb.limits, None
    if os.getuid() == 0:
        return {**bomb.limits, resource.RLIMIT_NPROC: bomb.processes}, 65534
    mine = 0
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == os.getuid():
                mine += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:
            pass
    return {**bomb.limits, resource.RLIMIT_NPROC: mine + bomb.processes}, None


def watch_memory(child: Child) -> None:
    """Kills a process that takes more than any that is well."""
    while True:
        try:
            pages = int(pathlib.Path(f"/proc/{child.group}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        if pages * 4096 > HOPELESS_MIB * MIB:
            child.signal(signal.SIGKILL)
            return
        time.sleep(0.02)


def leftovers(folder: pathlib.Path) -> list[str]:
    """What a refused run may not leave."""
    out, found = folder / "out", []
    if any(out.glob("canonical/*/*/exposures/*.jsonl")):
        found.append("left a canonical file")
    if any(out.glob("registry/current/*/*/manifest.json")):
        found.append("left a manifest")
    quarantine = sum(path.stat().st_size for path in out.glob("canonical/*/*/quarantine/**/*.jsonl")) / MIB
    if quarantine > QUARANTINE_MIB:
        found.append(f"left {quarantine:.0f} MiB in the quarantine")
    return found


def judge(bomb: Bomb, ended: Ended, folder: pathlib.Path) -> list[str]:
    """What is wrong with how it ended."""
    found = []
    if oddity := ended.oddity():
        found.append(oddity)
    elif ended.code not in bomb.codes:
        found.append(f"exit code {ended.code}, not {'/'.join(map(str, sorted(bomb.codes)))}")
    if ended.peak_mib > ALLOWED_MIB:
        found.append(f"took {ended.peak_mib:.0f} MiB")
    if ended.code > 0:
        lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        if lines != [ended.last_line]:
            found.append("does not end with one line that says what is wrong")
        elif len(ended.last_line) > 2_000:
            found.append(f"an error of {len(ended.last_line)} characters")
        elif not re.search(bomb.says, ended.last_line):
            found.append(f"does not name it ({bomb.says})")
        if not bomb.leaves_output:
            found += leftovers(folder)
    if bomb.shows and not re.search(bomb.shows, ended.stdout):
        found.append(f"does not show {bomb.shows}")
    for scratch in folder.glob("out/**/.scratch"):
        if any(scratch.iterdir()):
            found.append("left something in the scratch folder")
    return found


def in_a_process_of_its_own(make: Callable[[pathlib.Path], object], folder: pathlib.Path) -> None:
    """Makes an input. The kernel counts the memory of whoever starts a program as the program's own, so this process
    stays small."""
    child = os.fork()
    if child == 0:
        try:
            make(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("error: an input could not be made")


def throw(bomb: Bomb, binaries: pathlib.Path, extra: dict[str, str]) -> tuple[Ended, list[str]]:
    """Makes the input, runs the command, and judges it."""
    # Large files are made; not in /tmp, where that is in memory.
    with tempfile.TemporaryDirectory(prefix="bomb-", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = pathlib.Path(name)
        (folder / "raw").mkdir()
        in_a_process_of_its_own(bomb.make, folder)
        limits, user = unprivileged_limits(bomb)
        program = binaries / bomb.line[0]
        if user is not None:
            # A user who may not look into this clone.
            program = shutil.copy(program, folder / "program")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user, user)
        settings = {
            **setting("OUT_DIR", folder / "out"),
            **setting("RAW_EVENTS_DIR", folder / "raw"),
            **setting("RESOURCES__MEMORY_BYTES", BUDGET_MIB * MIB),
            **extra,
            **bomb.settings,
        }
        child = Child([program, *bomb.line[1:]], environment=settings, cwd=folder, limits=limits, user=user)
        watcher = threading.Thread(target=watch_memory, args=(child,), daemon=True)
        watcher.start()
        ended = child.wait(bomb.seconds)
        watcher.join()
        return ended, judge(bomb, ended, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, metavar="DIR", help="where the binaries are")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller ones")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only those whose name matches")
    arguments = parser.parse_args()
    end_with_parent()
    binaries = arguments.bin.absolute()
    extra = builds.lease_timeout(binaries, 5)
    chosen = [bomb for bomb in all_bombs(arguments.quick) if re.search(arguments.only, bomb.name)]
    print(f"{'bomb':<48} {'exit':>4} {'MiB':>5} {'s':>5}  last line of standard error, verdict")
    failed = 0
    for bomb in chosen:
        ended, wrong = throw(bomb, binaries, extra)
        failed += bool(wrong)
        line = ended.last_line if len(ended.last_line) < 130 else f"{ended.last_line[:60]} … {ended.last_line[-60:]}"
        print(f"{bomb.name:<48} {ended.code:>4} {ended.peak_mib:>5.0f} {ended.wall_s:>5.1f}  {line}", flush=True)
        for problem in wrong:
            print(f"{'':<48} FAILED: {problem}", flush=True)
    print(f"bombs: {len(chosen)} thrown, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
