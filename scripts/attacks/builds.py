"""What a build of the binaries knows, so that an earlier one can be attacked, too."""

import pathlib

from children import run


def lease_timeout(binaries: pathlib.Path, seconds: int) -> dict[str, str]:
    """The setting of how long a process waits for another's collection of garbage; nothing where there is none."""
    setting = {"RECSYS_PIPELINES__REGISTRY__LEASE_TIMEOUT_S": str(seconds)}
    check = run([binaries / "recsys-pipelines", "config", "check"], environment=setting, cwd="/")
    return setting if check.code == 0 else {}


def flags_of_gc(binaries: pathlib.Path, wanted: list[str]) -> list[str]:
    """The flags and their values, where `gc` has them."""
    help_ = run([binaries / "recsys-pipelines", "gc", "--help"]).stdout
    return wanted if wanted[0] in help_ else []
