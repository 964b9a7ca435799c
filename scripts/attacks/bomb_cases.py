"""The bombs: of each a command, an input, and what it may come to."""

import dataclasses
import json
import os
import pathlib
import re
import resource
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import bomb_files
import scene
import stores
from bomb_files import MIB

SCOPE = ["--tenant", "demo", "--surface", "home"]
DAY = ["--start", "2026-01-01"]
LIMIT_S = 60
QUICK_DOCUMENTS = {
    ("manifest", "status", "sparse"),
    ("manifest", "status", "fifo"),
    ("history", "rollback", "sparse"),
    ("record", "status", "sparse"),
    ("blob", "verify", "fifo"),
    ("lease", "rollback", "sparse"),
    ("checkpoint", "run", "fifo"),
}
YEAR = [(date(2025, 1, 1) + timedelta(days=day)).isoformat() for day in range(365)]


@dataclasses.dataclass
class Bomb:
    """One attack: a command, and what it may come to."""

    name: str
    line: list
    make: Callable[[pathlib.Path], object]
    """Writes the files into the folder that the command runs in."""
    codes: set[int] = dataclasses.field(default_factory=lambda: {3, 4})
    says: str = ""
    """A pattern that the last line of a refusal must have."""
    shows: str = ""
    """A pattern that standard output must have."""
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    limits: dict[int, int] = dataclasses.field(default_factory=dict)
    processes: int | None = None
    """How many processes and threads there may be, of an unprivileged user."""
    in_quick: bool = False
    seconds: float = LIMIT_S
    leaves_output: bool = False
    """Whether what is in the folder afterwards was there before."""


def raw(name: str) -> Callable[[pathlib.Path], pathlib.Path]:
    def path(folder: pathlib.Path) -> pathlib.Path:
        (folder / "raw").mkdir(exist_ok=True)
        return folder / "raw" / name

    return path


def setting(name: str, value) -> dict[str, str]:
    return {f"RECSYS_PIPELINES__{name}": str(value)}


TOLERANT = setting("VALIDATION__MAX_INVALID_RATIO", 1)


def event_bombs(quick: bool) -> list[Bomb]:
    """Raw events."""
    gz, zst, plain = raw("exposure.jsonl.gz"), raw("exposure.jsonl.zst"), raw("exposure.jsonl")
    count, rubbish, blank_mib = (300, 1, 128) if quick else (4_000, 14, 1024)
    ingest = ["job_ingest", *SCOPE, *DAY]
    made = []
    for field in ["session_id", "item_id", "user_id", "request_id", "segment", "tenant", "surface", "ts", "note"]:

        def ids(folder, field=field):
            bomb_files.long_ids(gz(folder), field, count, 1_000_000)

        # Events of others, and fields that are not read, may be passed over.
        codes = {3, 4} if field not in ("tenant", "surface", "note") else {0, 3, 4}
        says = "" if field in ("tenant", "surface", "note") else f"{field}|max_|quarantine"
        name = f"{count} ids of 1 MB: {field}"
        in_quick = field == "request_id"
        made.append(Bomb(name, ingest, ids, codes, says, in_quick=in_quick))
        made.append(Bomb(f"{name}, tolerant", ingest, ids, codes, says, settings=TOLERANT, in_quick=in_quick))

    def legal(folder):
        with open(plain(folder), "w") as file:
            for number in range(60_000):
                ids = {
                    field: f"{number:08}".ljust(500, "x")
                    for field in ("session_id", "item_id", "user_id", "request_id")
                }
                file.write(json.dumps(bomb_files.event(**ids)) + "\n")

    run_ = ["recsys-pipelines", "run", *SCOPE, *DAY]
    made.append(Bomb("240,000 ids of 500 bytes", ingest, legal, {0, 4}, "max_|memory"))
    made.append(Bomb("240,000 ids of 500 bytes, run", run_, legal, {0, 4}, "max_|memory"))

    def long_lines(folder):
        bomb_files.gzip_of(gz(folder), [(b"x" * 20_000_000 + b"\n", 20)])

    def long_lines_of_json(folder):
        bomb_files.long_ids(gz(folder), "note", 20, 20_000_000)

    for name, make in (("lines of 20 MB", long_lines), ("lines of 20 MB, JSON", long_lines_of_json)):
        made.append(Bomb(name, ingest, make, {3, 4}, "line|lines"))
        made.append(Bomb(f"{name}, tolerant", ingest, make, {3, 4}, "line|lines", settings=TOLERANT, in_quick=True))

    def lines_of_15_mb(folder):
        bomb_files.gzip_of(gz(folder), [(b"x" * 15_000_000 + b"\n", 40)])

    in_quarantine = "quarantine|line"
    name = "40 lines of 15 MB, tolerant"
    made.append(Bomb(name, ingest, lines_of_15_mb, {3, 4}, in_quarantine, settings=TOLERANT))

    def bad_lines(folder):
        bomb_files.gzip_of(gz(folder), [(b"x\n" * 500_000, rubbish * 2)])

    def bad_lines_and_a_good_one(folder):
        good = json.dumps(bomb_files.event()).encode() + b"\n"
        bomb_files.gzip_of(gz(folder), [(good, 1), (b"x\n" * 500_000, rubbish * 2)])

    half = setting("VALIDATION__MAX_INVALID_RATIO", 0.5)
    millions = f"{rubbish} million lines of rubbish"
    quarantine = "invalid|quarantine|bad|max_"

    def one_line(folder):
        bomb_files.zst_of_byte(zst(folder), b"x", 2 << 30)

    def window(folder):
        bomb_files.zst_of_byte(zst(folder), b"\n", MIB, window_log=31)

    made += [
        Bomb(millions, ingest, bad_lines, {3, 4}, "line"),
        Bomb(
            f"{millions}, half may be bad",
            ingest,
            bad_lines_and_a_good_one,
            {3, 4},
            quarantine,
            settings=half,
            in_quick=True,
        ),
        Bomb(f"{millions}, tolerant", ingest, bad_lines_and_a_good_one, {0, 3, 4}, quarantine, settings=TOLERANT),
        Bomb(
            "gz of blank lines, 1,000 to 1",
            ingest,
            lambda to: bomb_files.gzip_of_byte(gz(to), b"\n", blank_mib * MIB),
            {0, 3, 4},
            in_quick=True,
        ),
        Bomb(
            "zst of blank lines, 32,000 to 1",
            ingest,
            lambda to: bomb_files.zst_of_byte(zst(to), b"\n", blank_mib * MIB),
            {0, 3, 4},
        ),
        Bomb(
            "gz of one line, 1,000 to 1",
            ingest,
            lambda to: bomb_files.gzip_of_byte(gz(to), b"x", 1 << 30),
            {3, 4},
            "line",
        ),
        Bomb("zst of one line, 32,000 to 1", ingest, one_line, {3, 4}, "line", in_quick=True),
        Bomb("zst of one line, tolerant", ingest, one_line, {3, 4}, "line", settings=TOLERANT),
        Bomb("zst with a window of 2 GiB", ingest, window, {1, 3, 4}, "exposure.jsonl.zst", in_quick=True),
    ]

    def deep(folder):
        line = json.dumps(bomb_files.event())[:-1] + ',"note":' + bomb_files.nested(400_000) + "}\n"
        plain(folder).write_text(line)

    def deep_objects(folder):
        inner = bomb_files.nested(150_000, '{"a":', "}", "1")
        plain(folder).write_text(json.dumps(bomb_files.event())[:-1] + ',"note":' + inner + "}\n")

    made.append(Bomb("lists 400,000 deep", ingest, deep, {0, 3}, "line|:1", in_quick=True))
    made.append(Bomb("objects 150,000 deep", ingest, deep_objects, {0, 3}, "line|:1"))

    # Enough that the budget holds a part of it only.
    events_of_day = 1_000 if quick else 4_000

    def a_year(folder):
        bomb_files.days(plain(folder), YEAR, events_of_day)

    year = ["--start", YEAR[0], "--end", YEAR[-1]]
    many = {resource.RLIMIT_NOFILE: 1024}
    few = {resource.RLIMIT_NOFILE: 64}
    made += [
        Bomb("365 days in a flat file", ["job_ingest", *SCOPE, *year], a_year, {0}, limits=many, seconds=180),
        Bomb(
            "365 days in a flat file, ulimit -n 64",
            ["job_ingest", *SCOPE, *year],
            a_year,
            {0},
            limits=few,
            seconds=180,
            in_quick=True,
        ),
        Bomb(
            "30 days, run, ulimit -n 64",
            ["recsys-pipelines", "run", *SCOPE, "--start", YEAR[0], "--end", YEAR[29]],
            lambda to: bomb_files.days(plain(to), YEAR[:30], events_of_day * 12),
            {0},
            settings=setting("LIMITS__MAX_ITEMS_PER_SESSION", 1000),
            limits=few,
            seconds=180,
        ),
    ]
    for processes in (1, 2, 4, 8):
        made.append(
            Bomb(
                f"ulimit -u: {processes} processes and threads",
                ["recsys-pipelines", "run", *SCOPE, *DAY],
                lambda to: plain(to).write_text(json.dumps(bomb_files.event()) + "\n"),
                {0, 1},
                "thread|process|resource|temporarily",
                settings=setting("RESOURCES__TEMP_DIR", "/tmp"),
                processes=processes,
                in_quick=processes == 8,
            )
        )
    return made


def catalogue_bombs() -> list[Bomb]:
    """Catalogues."""
    made = []

    def add(name, file, make, codes, says="", **more):
        line = ["job_content_sim", *SCOPE, *DAY, "--input", file]
        made.append(Bomb(name, line, lambda folder: make(folder / file), codes, says, **more))

    # As many as a row of 1 MiB can hold.
    for format_, tags in (("csv", 170_000), ("jsonl", 130_000)):
        add(
            f"{tags:,} tags in a row, {format_}",
            f"catalog.{format_}",
            lambda path, format_=format_, tags=tags: bomb_files.catalogue_of_tags(path, tags, format_),
            {0, 3, 4},
            "tag|line",
            in_quick=format_ == "csv",
        )
    wide = "line|column|header"
    add("100,000 columns", "catalog.csv", lambda path: bomb_files.catalogue_of_columns(path, 100_000), {0, 3, 4}, wide)
    add(
        "10,000 columns in 1,000 rows",
        "catalog.csv",
        lambda path: bomb_files.catalogue_of_columns(path, 10_000, 1_000),
        {0, 3, 4},
        wide,
    )
    add(
        "a quote that never ends, gz",
        "catalog.csv.gz",
        lambda path: bomb_files.gzip_of(path, [(b'item_id,tags\ni1,"', 1), (b"x" * MIB, 1024)]),
        {3, 4},
        "csv.gz:2",
        in_quick=True,
    )
    add(
        "lines in a quote that never ends, zst",
        "catalog.csv.zst",
        lambda path: bomb_files.zst_of_byte(path, b"\n", 1 << 30, head=b'item_id,tags\ni1,"'),
        {3, 4},
        "csv.zst:2",
    )
    add(
        "a line that never ends, gz",
        "catalog.jsonl.gz",
        lambda path: bomb_files.gzip_of(path, [(b'{"item_id":"', 1), (b"x" * MIB, 1024)]),
        {3, 4},
        "jsonl.gz:1",
    )
    begin = '{"item_id":"i1","tags":["red"],"note":'
    add(
        "lists 400,000 deep, catalogue",
        "catalog.jsonl",
        lambda path: path.write_text(begin + bomb_files.nested(400_000) + "}\n"),
        {0, 3},
        ":1",
    )
    return made


def configuration_bombs() -> list[Bomb]:
    """Configurations."""
    made = []

    def add(name, file, text, in_quick=False):
        line = ["recsys-pipelines", "config", "check", "--config", file]
        made.append(
            Bomb(
                f"config: {name}",
                line,
                lambda to: (to / file).write_text(text()),
                {2},
                re.escape(file),
                in_quick=in_quick,
            )
        )

    nested = bomb_files.nested
    add("YAML aliases, nine to the ninth", "c.yaml", lambda: bomb_files.yaml_aliases(9), in_quick=True)
    add("YAML aliases, nine to the twentieth", "c.yaml", lambda: bomb_files.yaml_aliases(20))
    add("YAML that holds itself", "c.yaml", lambda: "a: &a [*a]\n", in_quick=True)
    add("YAML lists 100,000 deep", "c.yaml", lambda: nested(100_000))
    add("YAML maps 3,000 deep", "c.yaml", lambda: "".join("  " * depth + "a:\n" for depth in range(3_000)))
    add("JSON lists 1,000,000 deep", "c.json", lambda: nested(1_000_000))
    add("JSON objects 100,000 deep", "c.json", lambda: nested(100_000, '{"limits":', "}", "1"))
    add("TOML lists 100,000 deep", "c.toml", lambda: "a = " + nested(100_000))
    add("TOML tables 100,000 deep", "c.toml", lambda: "a" + ".a" * 100_000 + " = 1\n")
    add("100,000 unknown keys", "c.json", lambda: json.dumps({f"key{number}": 1 for number in range(100_000)}))
    for form in ("sparse", "fifo", "folder"):
        made.append(
            Bomb(
                f"config: {form}",
                ["recsys-pipelines", "config", "check", "--config", "c.json"],
                lambda to, form=form: bomb_files.odd_file(to / "c.json", form),
                {1, 2},
                "c.json",
            )
        )
    return made


def published(folder: pathlib.Path) -> scene.Published:
    """A registry of two tenants: what is broken for one must not hide the other."""
    begin = datetime.now(UTC) - timedelta(days=20)
    registry, objects = stores.Folder(folder / "out/registry"), stores.Folder(folder / "out/objects")
    for tenant in ("other", "demo"):
        made = scene.Published(registry, objects, tenant=tenant)
        made.days(4, ["popularity", "cooc"], begin)
    # So that there is something for `gc` to delete.
    for store in (registry, objects):
        for key in store.keys():
            os.utime(store.path / key, (begin.timestamp(),) * 2)
    return made


def document_bombs() -> list[Bomb]:
    """Documents of the registry that are no documents."""
    made = []
    main = "recsys-pipelines"
    collect = [main, "gc", "--keep", "1", "--older-than", "1h"]

    def place(document: str, made_: scene.Published) -> str:
        newest, older = made_.chain[-1], made_.chain[-2]
        match document:
            case "manifest":
                return "out/registry/current/demo/home/manifest.json"
            case "history":
                key = next(key for key in made_.registry.keys("history/demo/") if older["hash"] in key)
                return f"out/registry/{key}"
            case "record":
                version = newest["manifest"]["current"]["cooc"].rsplit("/", 1)[1]
                return f"out/registry/records/demo/home/cooc/{version}"
            case "blob":
                version = newest["manifest"]["current"]["cooc"].rsplit("/", 1)[1]
                return f"out/objects/demo/home/cooc/{version}"
            case "lease":
                return "out/registry/gc/demo/home.json"
            case "checkpoint":
                return "out/checkpoints/demo/home.json"
        raise ValueError(document)

    rows = [
        ("manifest", "status", [main, "status"], r"other\s+home"),
        ("manifest", "verify", [main, "verify"], r"other\s+home"),
        ("manifest", "gc", collect, ""),
        ("manifest", "rollback", [main, "rollback", *SCOPE], ""),
        ("history", "history", [main, "history", *SCOPE], ""),
        ("history", "rollback", [main, "rollback", *SCOPE, "--steps", "2"], ""),
        ("history", "gc", collect, ""),
        ("record", "status", [main, "status"], r"other\s+home"),
        ("record", "verify", [main, "verify"], r"other\s+home"),
        ("blob", "verify", [main, "verify"], r"other\s+home"),
        ("lease", "rollback", [main, "rollback", *SCOPE], ""),
        ("lease", "gc --delete", [*collect, "--delete", *SCOPE], ""),
        ("checkpoint", "run", [main, "run", *SCOPE, "--incremental", "--end", "2026-01-02"], ""),
    ]
    for document, command, line, shows in rows:
        for form in ("sparse", "fifo", "folder", "deep"):

            def make(folder, document=document, form=form):
                made_ = published(folder)
                raw("exposure.jsonl")(folder).write_text(json.dumps(bomb_files.event()) + "\n")
                path = folder / place(document, made_)
                if form == "deep":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(bomb_files.nested(400_000))
                else:
                    bomb_files.odd_file(path, form)

            # A lease or a record that says nothing may be passed over.
            codes = {0, 1, 3} if document in ("lease", "record") else {1, 3}
            says = {"checkpoint": "checkpoints/demo/home.json", "lease": "gc/demo/home.json"}.get(document, "demo/home")
            name = f"{document}: {form}, {command}"
            in_quick = (document, command, form) in QUICK_DOCUMENTS
            made.append(Bomb(name, line, make, codes, says, shows, in_quick=in_quick, leaves_output=True))
    return made


def all_bombs(quick: bool) -> list[Bomb]:
    """Every bomb; with `quick` a few of each sort, and smaller ones."""
    made = event_bombs(quick) + catalogue_bombs() + configuration_bombs() + document_bombs()
    return [bomb for bomb in made if bomb.in_quick or not quick]
