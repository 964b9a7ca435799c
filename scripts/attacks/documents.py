"""Compact JSON, versions and hashes, from section 4 of the contract alone; nothing here calls the product."""

import decimal
import hashlib
import json

# Escapes everything below U+0020, the quote and the backslash, as compact JSON has it.
_escape = json.encoder.encode_basestring

_MORE = str.maketrans({character: f"\\u{ord(character):04x}" for character in ("<", ">", "&", "\u2028", "\u2029")})

KINDS = ["popularity", "cooc", "implicit", "content_sim", "session_seq"]


def number(value: float) -> str:
    """The shortest decimal that reads back as `value`, without an exponent; an integer where there is no fraction."""
    text = format(decimal.Decimal(repr(value)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def compact(value) -> str:
    """`value` as compact JSON; the keys of an object stay in their order."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return number(value)
        case str():
            return _escape(value).translate(_MORE)
        case list():
            return "[" + ",".join(map(compact, value)) + "]"
        case dict():
            return "{" + ",".join(f"{compact(key)}:{compact(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"{type(value)} is not JSON")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def document_hash(document) -> str:
    """SHA-256 of a document as compact JSON: the hash of a manifest."""
    return sha256(compact(document).encode())


def version(artifact: dict) -> str:
    """The version of an artifact: its hash with an empty `build` in the place of its own."""
    return document_hash({**artifact, "build": {"built_at": "", "version": ""}})


def parse(data: bytes):
    """A JSON document; a repeated key, NaN and anything that is not UTF-8 are errors."""

    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is repeated")
        return found

    def constant(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(data.decode(), object_pairs_hook=unique, parse_constant=constant)
