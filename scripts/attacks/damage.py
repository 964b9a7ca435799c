#!/usr/bin/env python3
"""Whether the audit finds what it looks for: good data, damaged in every way that it knows.

An audit that cannot fail proves nothing, so each damage says which words must be in what is found.
"""

import pathlib
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta

import documents
import scene
from audit import Audit
from stores import Folder

KINDS = ["popularity", "cooc"]
BEGIN = scene.FIRST_DAY + timedelta(days=1)
MANIFEST = "current/demo/home/manifest.json"

Damage = Callable[[scene.Published], None]
DAMAGES: list[tuple[str, str, Damage]] = []


def damage(expected: str):
    """Registers a way to damage a scene, and the words of the violation it must lead to."""

    def register(function: Damage) -> Damage:
        DAMAGES.append((function.__name__.replace("_", " "), expected, function))
        return function

    return register


def current_blob(published: scene.Published, kind: str = "popularity", back: int = 0) -> str:
    manifest = published.chain[-1 - back]["manifest"]
    return f"demo/home/{kind}/{manifest['current'][kind].rsplit('/', 1)[-1]}"


def edit(store: Folder, key: str, change: Callable[[dict], object]) -> None:
    document = documents.parse(store.read(key))
    change(document)
    store.write(key, scene.readable(document))


def entry_key(published: scene.Published, at: int) -> str:
    entry = published.chain[at]
    return next(key for key in published.registry.keys("history/") if entry["hash"] in key)


@damage("its blob is missing")
def a_current_blob_is_missing(published):
    published.objects.remove(current_blob(published))


@damage("kept manifest")
def a_blob_of_a_kept_manifest_is_missing(published):
    published.objects.remove(current_blob(published, back=1))


@damage("holds version")
def a_current_blob_has_another_content(published):
    edit(published.objects, current_blob(published), lambda blob: blob["items"][0].update(count=4))


@damage("holds version")
def an_old_blob_has_another_content(published):
    edit(published.objects, current_blob(published, back=3), lambda blob: blob["items"].reverse())


@damage("does not state the version")
def a_blob_states_another_version(published):
    edit(published.objects, current_blob(published), lambda blob: blob["build"].update(version="0" * 64))


@damage("not a whole JSON document")
def a_blob_is_half_written(published):
    key = current_blob(published, "cooc")
    published.objects.write(key, published.objects.read(key)[:-20])


@damage("of another tenant, surface or kind")
def a_blob_is_that_of_another_tenant(published):
    key = current_blob(published)
    made = scene.artifact("popularity", "other", "home", 1, "x", BEGIN)
    published.objects.write(f"{key.rsplit('/', 1)[0]}/{made['build']['version']}.json", scene.readable(made))


@damage("which has no record")
def a_current_record_is_missing(published):
    published.registry.remove(f"records/{current_blob(published)}")


@damage("has other fields than a record")
def a_record_has_another_field(published):
    edit(published.registry, f"records/{current_blob(published)}", lambda record: record.update(note="x"))


@damage("something else than its name")
def a_record_is_that_of_another_blob(published):
    other = published.registry.read(f"records/{current_blob(published, back=1)}")
    published.registry.write(f"records/{current_blob(published)}", other)


@damage("another window than its blob")
def a_record_has_another_window(published):
    later = scene.rfc3339(BEGIN + timedelta(days=90))
    key = f"records/{current_blob(published)}"
    edit(published.registry, key, lambda record: record["window"].update(end=later))


@damage("not those of a manifest")
def a_manifest_has_another_field(published):
    edit(published.registry, MANIFEST, lambda manifest: manifest.update(note="x"))


@damage("not those of a manifest")
def a_manifest_has_its_fields_in_another_order(published):
    edit(published.registry, MANIFEST, lambda manifest: manifest.update(v=manifest.pop("v")))


@damage("names kinds that there are not")
def a_manifest_names_another_kind(published):
    edit(published.registry, MANIFEST, lambda manifest: manifest["current"].update(trending="file:///x"))


@damage("no address of a cooc in this object store")
def a_manifest_names_the_blob_of_another_kind(published):
    def change(manifest):
        manifest["current"]["cooc"] = manifest["current"]["popularity"]

    edit(published.registry, MANIFEST, change)


@damage("not a whole JSON document")
def a_manifest_is_half_written(published):
    published.registry.write(MANIFEST, published.registry.read(MANIFEST)[:40])


@damage("no entry")
def a_manifest_has_no_entry(published):
    edit(published.registry, MANIFEST, lambda manifest: manifest.update(updated_at="2026-03-01T00:00:00Z"))


@damage("which names it as previous")
def an_entry_in_the_chain_is_missing(published):
    published.registry.remove(entry_key(published, 1))


@damage("says otherwise")
def an_entry_has_another_hash(published):
    edit(published.registry, entry_key(published, 1), lambda entry: entry.update(hash="0" * 64))


@damage("says otherwise")
def an_entry_has_another_manifest(published):
    edit(published.registry, entry_key(published, 1), lambda entry: entry["manifest"]["current"].pop("cooc"))


@damage("is not a history entry")
def an_entry_has_another_reason(published):
    edit(published.registry, entry_key(published, 1), lambda entry: entry.update(reason="gc"))


@damage("is not a history entry")
def an_entry_has_a_field_of_its_own(published):
    edit(published.registry, entry_key(published, 1), lambda entry: entry.update(run="1"))


@damage("from a window that ends")
def a_publish_goes_back_to_an_older_window(published):
    older = published.chain[0]["manifest"]["current"]
    published.swap(older, BEGIN + timedelta(hours=20), "publish")


@damage("a publish has dropped cooc")
def a_publish_drops_a_kind(published):
    current = dict(published.chain[-1]["manifest"]["current"])
    del current["cooc"]
    published.swap(current, BEGIN + timedelta(hours=20), "publish")


@damage("updated_at does not grow")
def time_goes_back(published):
    current = published.chain[-1]["manifest"]["current"]
    published.swap(current, BEGIN - timedelta(hours=1), "rollback")


@damage("has no place in the registry")
def a_temporary_file_lies_in_the_history(published):
    published.registry.write("history/demo/home/tmpAbC123", b"{}")


@damage("has no place in the registry")
def a_temporary_file_lies_beside_the_manifest(published):
    published.registry.write(f"{MANIFEST}.new", b"{}")


@damage("lies among the blobs")
def a_temporary_file_lies_among_the_blobs(published):
    published.objects.write("demo/home/popularity/tmpAbC123", b"{}")


@damage("not a whole JSON document")
def a_lease_is_half_written(published):
    published.registry.write("gc/demo/home.json", b'{"v":1')


def allowed(published: scene.Published) -> None:
    """What looks odd, and is right: a rollback to an older window, entries that came to nothing, helpers."""
    kept = published.chain[:]
    published.swap(published.chain[1]["manifest"]["current"], BEGIN + timedelta(hours=30), "rollback")
    orphan = published.registry.keys("history/")[-1]
    data = published.registry.read(orphan)
    published.registry.remove(orphan)
    published.chain = kept
    published.swap(published.chain[2]["manifest"]["current"], BEGIN + timedelta(hours=31), "rollback")
    published.registry.write(orphan, data)
    published.registry.write("gc/demo/home.json", b'{"v":1}')
    published.registry.write("current/demo/home/.manifest.json.lock", b"")
    published.objects.write(".scratch/tmpAbC123", b"{")
    published.objects.remove(current_blob(published, back=4))


def numbers() -> list[str]:
    """Where compact JSON departs from section 4 of the contract."""
    cases = [
        ([1.0, 0.0, -0.0, 2.5, 0.1, 1e21, -3.0, 1e-7], "[1,0,0,2.5,0.1,1000000000000000000000,-3,0.0000001]"),
        ([-1.5e-7, 12e-5, 1e23], "[-0.00000015,0.00012,100000000000000000000000]"),
        (18446744073709551615, "18446744073709551615"),
        ('"\\\b\f\n\r\t\0\x1f<b>&\u2028\u2029\x7fé文', None),
    ]
    escaped = '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\\u003cb\\u003e\\u0026\\u2028\\u2029\x7fé文"'
    found = []
    for value, expected in cases:
        actual = documents.compact(value)
        if actual != (escaped if expected is None else expected):
            found.append(f"compact JSON of {value!r} is {actual}")
    return found


def look(change: Damage | None) -> list[str]:
    """What the audit finds in a good scene after a change."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        published = scene.Published(Folder(root / "registry"), Folder(root / "objects"))
        published.days(5, KINDS, BEGIN)
        if change:
            change(published)
        return [str(violation) for violation in Audit(published.registry, published.objects, keep=2).whole()]


def main() -> int:
    failures = numbers()
    for name, change in (("good data", None), ("allowed oddities", allowed)):
        failures += [f"{name}: {found}" for found in look(change)]
    for name, expected, change in DAMAGES:
        found = look(change)
        if not any(expected in violation for violation in found):
            failures.append(f"{name}: nothing says {expected!r}; found: {found}")
    for failure in failures:
        print(failure)
    print(f"audit: {len(DAMAGES)} kinds of damage, {len(failures)} failures of the audit itself")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
