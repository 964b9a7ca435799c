#!/usr/bin/env python3
"""Reads a registry and its object store from outside, by the contract alone, and lists what is wrong with them.

    audit.py --registry DIR_OR_URL --objects DIR_OR_URL [--keep N]

Exit code 0: nothing is wrong. 3: something is; each violation is a line. `damage.py` checks the audit itself: it damages
good data in every way that the audit knows, and fails when one of them is not found.

An audit of documents that change while it reads may see what nobody else could: run it when nothing else runs, or use
`Audit.current`, which reads as the online service does.
"""

import argparse
import dataclasses
import itertools
import re
import sys
from datetime import UTC, datetime

import documents
import stores

SHA256 = re.compile(r"[0-9a-f]{64}")
MANIFEST_FIELDS = ["v", "tenant", "surface", "current", "updated_at"]
ENTRY_FIELDS = ["v", "hash", "previous", "reason", "by", "run_id", "note", "manifest"]
OPTIONAL_ENTRY_FIELDS = {"run_id", "note"}
RECORD_FIELDS = {"v", "kind", "tenant", "surface", "window", "version", "uri", "bytes", "source_hash", "built_at"}
REASONS = {"publish", "rollback", "adopt"}


@dataclasses.dataclass(frozen=True, order=True)
class Violation:
    """One thing that is wrong."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


def moment(text: str) -> datetime:
    """An RFC 3339 time in UTC, to the microsecond."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", text)
    if not match:
        raise ValueError(f"{text!r} is not a time in UTC")
    whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    return whole.replace(microsecond=int((match[2] or "").ljust(6, "0")[:6]))


class Audit:
    """Looks at one registry and its objects. `keep` is the least `--keep` of any `gc` that was run on them.

    `told_to_go_back` holds each `tenant/surface` in which a publish was given --allow-older-window.

    `window_ends` remembers the end of the window of each blob that was ever seen: collected ones cannot be read any
    more, and an order of windows is told from all of them.
    """

    def __init__(
        self,
        registry: stores.Store,
        objects: stores.Store,
        keep: int = 1,
        told_to_go_back: frozenset[str] = frozenset(),
    ):
        self.registry, self.objects, self.keep, self.told_to_go_back = registry, objects, keep, told_to_go_back
        self.window_ends: dict[str, str] = {}
        self.violations: list[Violation] = []

    def note(self, place: str, problem: str) -> None:
        self.violations.append(Violation(place, problem))

    def document(self, store: stores.Store, key: str) -> dict | None:
        """The object at `key`; None, and a violation, when it is not there or not an object of JSON."""
        data = store.read(key)
        if data is None:
            self.note(key, "is missing")
            return None
        try:
            document = documents.parse(data)
        except (ValueError, RecursionError) as error:
            self.note(key, f"is not a whole JSON document: {error}")
            return None
        if not isinstance(document, dict):
            self.note(key, "is not an object")
            return None
        return document

    def whole(self) -> list[Violation]:
        """Everything there is. Returns what is wrong, sorted."""
        self.violations = []
        for key in self.objects.keys():
            self._blob_key(key)
        for key in self.registry.keys():
            self._registry_key(key)
        for tenant, surface in self.scopes():
            self._scope(tenant, surface)
        return sorted(set(self.violations))

    def scopes(self) -> list[tuple[str, str]]:
        parts = (key.split("/") for key in self.registry.keys("current/"))
        return [(part[1], part[2]) for part in parts if len(part) == 4 and part[3] == "manifest.json"]

    def current(self, tenant: str, surface: str) -> list[Violation]:
        """What the online service finds wrong when it reads the manifest and its blobs while others write."""
        manifest_key = f"current/{tenant}/{surface}/manifest.json"
        while True:
            before = self.registry.read(manifest_key)
            if before is None:
                return []
            self.violations = []
            manifest = self.document(self.registry, manifest_key)
            if manifest is not None and self._manifest(manifest_key, manifest, tenant, surface):
                self._pointers(manifest_key, manifest)
            # A blob of a manifest that is not current any more may be gone; one of the current manifest may not.
            if not self.violations or self.registry.read(manifest_key) == before:
                return sorted(set(self.violations))

    # Single documents.

    def _blob_key(self, key: str) -> None:
        parts = key.split("/")
        if any(part.startswith(".") for part in parts):
            return
        if len(parts) != 4 or parts[2] not in documents.KINDS or not SHA256.fullmatch(parts[3].removesuffix(".json")):
            self.note(key, "is no blob, and lies among the blobs")
            return
        self._blob(key)

    def _blob(self, key: str) -> dict | None:
        """The artifact in a blob, if it is the one that its name says."""
        tenant, surface, kind, file = key.split("/")
        artifact = self.document(self.objects, key)
        if artifact is None:
            return None
        named = file.removesuffix(".json")
        build = artifact.get("build")
        if not isinstance(build, dict) or build.get("version") != named:
            self.note(key, "does not state the version of its name")
        found = documents.version(artifact)
        if found != named:
            self.note(key, f"holds version {found}")
            return None
        if (artifact.get("tenant"), artifact.get("surface"), artifact.get("artifact_type")) != (tenant, surface, kind):
            self.note(key, "is of another tenant, surface or kind than its name says")
            return None
        self.window_ends[key] = artifact["window"]["end"]
        return artifact

    def _registry_key(self, key: str) -> None:
        parts = key.split("/")
        if any(part.startswith(".") for part in parts):
            return
        match parts:
            case ["records", _, _, kind, file] if kind in documents.KINDS and SHA256.fullmatch(
                file.removesuffix(".json")
            ):
                self._record(key)
            case ["history", _, _, file] if re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{64}\.json", file):
                self._entry(key)
            case ["current", _, _, "manifest.json"]:
                pass  # `_scope` looks at it
            case ["records" | "history" | "current", *_]:
                self.note(key, "has no place in the registry")
            case _ if key.endswith(".json"):
                self.document(self.registry, key)

    def _record(self, key: str) -> None:
        _, tenant, surface, kind, file = key.split("/")
        record = self.document(self.registry, key)
        if record is None:
            return
        if set(record) - {"segment"} != RECORD_FIELDS:
            self.note(key, "has other fields than a record")
            return
        blob = f"{tenant}/{surface}/{kind}/{file}"
        expected = (1, kind, tenant, surface, file.removesuffix(".json"), self.objects.uri(blob))
        if tuple(record[field] for field in ("v", "kind", "tenant", "surface", "version", "uri")) != expected:
            self.note(key, "says that it is of something else than its name does")
            return
        end = self.window_ends.setdefault(blob, record["window"]["end"])
        if end != record["window"]["end"]:
            self.note(key, "has another window than its blob")

    def _manifest(self, key: str, manifest: dict, tenant: str, surface: str) -> bool:
        """Whether the document is a manifest of the tenant and surface."""
        if list(manifest) != MANIFEST_FIELDS:
            self.note(key, f"has the fields {', '.join(manifest)}, not those of a manifest")
            return False
        if (manifest["v"], manifest["tenant"], manifest["surface"]) != (1, tenant, surface):
            self.note(key, "is of another format, tenant or surface")
            return False
        if not isinstance(manifest["current"], dict) or set(manifest["current"]) - set(documents.KINDS):
            self.note(key, "names kinds that there are not")
            return False
        for kind, uri in manifest["current"].items():
            blob = f"{tenant}/{surface}/{kind}/{uri.rsplit('/', 1)[-1]}"
            if uri != self.objects.uri(blob) or not SHA256.fullmatch(blob[-69:].removesuffix(".json")):
                self.note(key, f"names {uri}, which is no address of a {kind} in this object store")
                return False
        try:
            moment(manifest["updated_at"])
        except (TypeError, ValueError) as error:
            self.note(key, f"updated_at: {error}")
            return False
        return True

    def _entry(self, key: str) -> dict | None:
        """The history entry at `key`, if it is whole and what its name says."""
        _, tenant, surface, file = key.split("/")
        entry = self.document(self.registry, key)
        if entry is None:
            return None
        fields = [field for field in ENTRY_FIELDS if field in entry or field not in OPTIONAL_ENTRY_FIELDS]
        if list(entry) != fields or entry["reason"] not in REASONS:
            self.note(key, "is not a history entry")
            return None
        if not self._manifest(key, entry["manifest"], tenant, surface):
            return None
        found = documents.document_hash(entry["manifest"])
        time = moment(entry["manifest"]["updated_at"]).strftime("%Y%m%dT%H%M%S.%fZ")
        if found != entry["hash"] or file != f"{time}-{found}.json":
            self.note(key, f"holds the manifest {found} of {time}, and says otherwise")
            return None
        return entry

    # What hangs together.

    def _pointers(self, place: str, manifest: dict) -> None:
        """The blob and the record of all that a manifest names."""
        for kind, uri in manifest["current"].items():
            file = uri.rsplit("/", 1)[-1]
            blob = f"{manifest['tenant']}/{manifest['surface']}/{kind}/{file}"
            count = len(self.violations)
            self._blob(blob)
            for violation in self.violations[count:]:
                self.note(place, f"names {kind} {file[:12]}, and its blob {violation.problem}")
            record = f"records/{blob}"
            if self.registry.read(record) is None:
                self.note(place, f"names {kind} {file[:12]}, which has no record")

    def _scope(self, tenant: str, surface: str) -> None:
        key = f"current/{tenant}/{surface}/manifest.json"
        manifest = self.document(self.registry, key)
        if manifest is None or not self._manifest(key, manifest, tenant, surface):
            return
        self._pointers(key, manifest)
        chain = self._chain(tenant, surface, manifest)
        for entry in chain[1 : self.keep]:
            self._pointers(f"{key}: kept manifest {entry['hash'][:12]}", entry["manifest"])
        for newer, older in itertools.pairwise(chain):
            self._step(key, older, newer)

    def _chain(self, tenant: str, surface: str, manifest: dict) -> list[dict]:
        """The history entries from the current manifest back to the first."""
        place = f"current/{tenant}/{surface}/manifest.json"
        keys = {key[-69:].removesuffix(".json"): key for key in self.registry.keys(f"history/{tenant}/{surface}/")}
        chain, following = [], documents.document_hash(manifest)
        while following is not None:
            if following not in keys:
                what = "the current manifest" if not chain else f"{chain[-1]['hash'][:12]}, which names it as previous"
                self.note(place, f"the history has no entry {following[:12]} for {what}")
                break
            entry = self._entry(keys.pop(following))
            if entry is None:
                break
            chain.append(entry)
            following = entry["previous"]
        return chain

    def _step(self, key: str, older: dict, newer: dict) -> None:
        """One manifest and the one that took its place."""
        place = f"{key}: from {older['hash'][:12]} to {newer['hash'][:12]}"
        before, after = older["manifest"], newer["manifest"]
        if moment(before["updated_at"]) >= moment(after["updated_at"]):
            self.note(place, "updated_at does not grow")
        if newer["reason"] != "publish":
            return
        for kind, uri in before["current"].items():
            if kind not in after["current"]:
                self.note(place, f"a publish has dropped {kind}")
                continue
            ends = [self._window_end(older["manifest"], kind, it) for it in (uri, after["current"][kind])]
            told = f"{before['tenant']}/{before['surface']}" in self.told_to_go_back
            if not told and None not in ends and moment(ends[1]) < moment(ends[0]):
                self.note(place, f"a publish has moved {kind} from a window that ends {ends[0]} to {ends[1]}")

    def _window_end(self, manifest: dict, kind: str, uri: str) -> str | None:
        return self.window_ends.get(f"{manifest['tenant']}/{manifest['surface']}/{kind}/{uri.rsplit('/', 1)[-1]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", metavar="DIR_OR_URL")
    parser.add_argument("--objects", metavar="DIR_OR_URL")
    parser.add_argument("--keep", type=int, default=1, metavar="N", help="the least --keep of gc (default: 1)")
    parser.add_argument(
        "--told-to-go-back",
        action="append",
        default=[],
        metavar="TENANT/SURFACE",
        help="where publishes were given --allow-older-window",
    )
    arguments = parser.parse_args()
    if not arguments.registry or not arguments.objects:
        parser.error("--registry and --objects are needed")
    registry, objects = stores.open_store(arguments.registry), stores.open_store(arguments.objects)
    audit = Audit(registry, objects, arguments.keep, frozenset(arguments.told_to_go_back))
    found = audit.whole()
    for violation in found:
        print(violation)
    print(f"{len(audit.scopes())} manifests, {len(found)} violations")
    return 3 if found else 0


if __name__ == "__main__":
    sys.exit(main())
