"""Published data that is made by the contract, without the product: artifacts, blobs, records, history, manifests.

A scene is what an attack begins with. Its documents can have any age and any number.
"""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import documents
from stores import Store

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def rfc3339(time: datetime) -> str:
    """A time as the product writes it: UTC, no trailing zeros in the fraction."""
    text = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def readable(document) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def artifact(kind: str, tenant: str, surface: str, day: int, mark: str, built: datetime) -> dict:
    """A small artifact of a kind, of the day that is `day` days after the first. `mark` makes it one of its own."""
    start = FIRST_DAY + timedelta(days=day)
    item = f"item-{mark}"
    counted = [{"item_id": item, "count": 3}, {"item_id": f"{item}-b", "count": 2}]
    scored = [{"user_id": f"user-{mark}", "items": [{"item_id": item, "score": 1}]}]
    payload = {
        "popularity": {"items": counted},
        "cooc": {"neighbors": [{"item_id": item, "items": counted[1:]}]},
        "implicit": {"users": scored},
        "content_sim": {"items": [{"item_id": item, "tags": ["red"]}]},
        "session_seq": {"users": scored},
    }[kind]
    document = {
        "v": 1,
        "artifact_type": kind,
        "tenant": tenant,
        "surface": surface,
        "window": {"start": rfc3339(start), "end": rfc3339(start + timedelta(days=1))},
        **payload,
    }
    document["build"] = {"built_at": "", "version": ""}
    version = documents.version(document)
    document["build"] = {
        "built_at": rfc3339(built),
        "version": version,
        "source_hash": documents.sha256(mark.encode()),
    }
    return document


@dataclasses.dataclass
class Published:
    """A registry and its objects, and what was written to them."""

    registry: Store
    objects: Store
    tenant: str = "demo"
    surface: str = "home"
    chain: list[dict] = dataclasses.field(default_factory=list)
    """The history entries, oldest first."""
    artifacts: list[dict] = dataclasses.field(default_factory=list)

    def store(self, document: dict) -> tuple[str, str]:
        """Writes the blob and the record of an artifact. Returns its kind and address."""
        kind, version = document["artifact_type"], document["build"]["version"]
        key = f"{self.tenant}/{self.surface}/{kind}/{version}.json"
        data = documents.compact(document).encode()
        self.objects.write(key, data)
        record = {
            "v": 1,
            "kind": kind,
            "tenant": self.tenant,
            "surface": self.surface,
            "window": document["window"],
            "version": version,
            "uri": self.objects.uri(key),
            "bytes": len(data),
            "source_hash": document["build"]["source_hash"],
            "built_at": document["build"]["built_at"],
        }
        self.registry.write(f"records/{key}", readable(record))
        self.artifacts.append(document)
        return kind, self.objects.uri(key)

    def swap(self, pointers: dict[str, str], when: datetime, reason: str = "publish") -> dict:
        """Writes the history entry of a manifest, and the manifest. Returns the entry."""
        current = {kind: pointers[kind] for kind in documents.KINDS if kind in pointers}
        manifest = {
            "v": 1,
            "tenant": self.tenant,
            "surface": self.surface,
            "current": current,
            "updated_at": rfc3339(when),
        }
        entry = {
            "v": 1,
            "hash": documents.document_hash(manifest),
            "previous": self.chain[-1]["hash"] if self.chain else None,
            "reason": reason,
            "by": "attack@localhost",
            "manifest": manifest,
        }
        time = when.strftime("%Y%m%dT%H%M%S.%fZ")
        folder = f"{self.tenant}/{self.surface}"
        self.registry.write(f"history/{folder}/{time}-{entry['hash']}.json", readable(entry))
        self.registry.write(f"current/{folder}/manifest.json", readable(manifest))
        self.chain.append(entry)
        return entry

    def days(self, count: int, kinds: list[str], begin: datetime, mark: str = "") -> None:
        """Publishes `count` days of `kinds`, an hour after one another from `begin` on."""
        for day in range(count):
            when = begin + timedelta(hours=day)
            made = [artifact(kind, self.tenant, self.surface, day, f"{mark}{day}", when) for kind in kinds]
            self.swap(dict(map(self.store, made)), when)
