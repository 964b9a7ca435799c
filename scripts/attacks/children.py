"""Processes that an attack starts: each in a group of its own, measured, bounded in time, and never left behind."""

import atexit
import dataclasses
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

_running: set[int] = set()
_lock = threading.Lock()
_ending = threading.Event()


def kill_all() -> None:
    """Ends every process group that is still there. No other is started afterwards."""
    _ending.set()
    with _lock:
        for group in _running:
            signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def end_with_parent() -> None:
    """Has this process end its children before it ends, also by SIGTERM, SIGINT and SIGHUP."""
    atexit.register(kill_all)

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def leave(number, _frame):
        # A second one must not disturb the removal of what was made.
        for other in signals:
            signal.signal(other, signal.SIG_IGN)
        # At once: threads wait for them.
        kill_all()
        sys.exit(128 + number)

    for number in signals:
        signal.signal(number, leave)


@dataclasses.dataclass
class Ended:
    """What became of a process."""

    command: list[str]
    code: int
    """The exit code, or the number of the signal that ended it, negative."""
    wall_s: float
    cpu_s: float
    peak_mib: float
    stdout: str
    stderr: str
    timed_out: bool

    @property
    def last_line(self) -> str:
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def oddity(self, signals: tuple[int, ...] = ()) -> str | None:
        """What no process may do, whatever was done to it: panic, hang, end by a signal that nobody sent."""
        if self.timed_out:
            return f"did not end in {self.wall_s:.0f} s"
        if "panicked at" in self.stderr:
            return "panicked"
        if self.code not in (0, 1, 2, 3, 4) and -self.code not in signals:
            return f"ended with code {self.code}"
        return None


class Child:
    """A process that runs. `wait` must be called once."""

    def __init__(
        self,
        command: list,
        environment: dict[str, str] | None = None,
        cwd: pathlib.Path | str | None = None,
        limits: dict[int, int] | None = None,
        user: int | None = None,
        stdin: int = subprocess.DEVNULL,
    ):
        self.command = [str(part) for part in command]
        # Files, not pipes: nobody has to read them for the process to go on.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()

        def prepare():
            for which, value in (limits or {}).items():
                resource.setrlimit(which, (value, value))

        self._start = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            stdin=stdin,
            stdout=self._out,
            stderr=self._err,
            cwd=cwd,
            env=clean_environment(environment or {}),
            start_new_session=True,
            preexec_fn=prepare if limits else None,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
        self.group = self.process.pid
        with _lock:
            _running.add(self.group)
            if _ending.is_set():
                self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        signal_group(self.group, number)

    def has_ended(self) -> bool:
        """Whether it has ended; `wait` still has to be called."""
        done = os.waitid(os.P_PID, self.group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return done is not None

    def wait(self, timeout_s: float) -> Ended:
        """Waits for the end, and kills the process and all of its group after `timeout_s`."""
        killed = threading.Event()

        def kill():
            killed.set()
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)

        timer = threading.Timer(timeout_s, kill)
        timer.daemon = True
        timer.start()
        _, status, usage = os.wait4(self.group, 0)
        wall = time.monotonic() - self._start
        timer.cancel()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        # What it has started itself goes with it.
        self.signal(signal.SIGKILL)
        with _lock:
            _running.discard(self.group)
        return Ended(
            command=self.command,
            code=self.process.returncode,
            wall_s=wall,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mib=usage.ru_maxrss / 1024,
            stdout=read_end(self._out),
            stderr=read_end(self._err),
            timed_out=killed.is_set(),
        )


def read_end(file, most: int = 1 << 20) -> str:
    """The last `most` bytes of what was written to a file, as text."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most))
    text = file.read().decode(errors="replace")
    file.close()
    return text


def run(command: list, timeout_s: float = 60, **how) -> Ended:
    return Child(command, **how).wait(timeout_s)


def clean_environment(more: dict[str, str]) -> dict[str, str]:
    """The environment of a process: nothing of the caller's that the binaries read."""
    dropped = ("RECSYS_", "AWS_", "SOURCE_DATE_EPOCH", "RUST_LOG", "DATABASE_URL", "PG", "HTTP_PROXY", "http_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, **more}


def s3_settings(endpoint: str | None = None) -> dict[str, str]:
    """The settings by which a binary finds the S3 server of scripts/with-services, or a proxy in front of it."""
    values = {
        "ENDPOINT": endpoint or os.environ["RECSYS_TEST_S3_ENDPOINT"],
        "ACCESS_KEY": os.environ["RECSYS_TEST_S3_ACCESS_KEY"],
        "SECRET_KEY": os.environ["RECSYS_TEST_S3_SECRET_KEY"],
        "REGION": "us-east-1",
        "USE_SSL": "false",
    }
    return {f"RECSYS_PIPELINES__OBJECT_STORE__S3__{name}": value for name, value in values.items()}
