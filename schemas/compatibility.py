"""Whether a schema breaks what was written, or what reads, under a former one. Pure.

One rule for every topic, whoever writes it: a field may be added if it may be left out, and an enumeration may grow.
Whatever else changes the set of messages breaks either those who write them or those who read them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

#: keyword → whether the new bound shuts out what the old one let in.
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), operator.gt),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), operator.lt),
}
#: What a value looks like: to change or drop it is a change of type.
_FORMS = ("format", "contentEncoding")
#: Rules of which no comparison can tell which of two is narrower: one more or another one is taken for a break.
_RULES = ("pattern", "const", "allOf", "oneOf", "not", "if", "then", "else", "propertyNames")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def breaks(old: Schema, new: Schema) -> list[str]:
    """What the new JSON Schema breaks, each as "path: reason", e.g. `$.media.sha256: removed`; empty: nothing."""
    return list(_Comparison(old, new).values(old, new, "$"))


class _Comparison:
    """Two documents that are walked together; each has its own `$defs`."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._documents = (old, new)
        self._under_way: set[tuple[str, str]] = set()

    def values(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = (_alternatives(s, doc) for s, doc in zip((old, new), self._documents, strict=True))
        if before.keys() != after.keys():
            yield f"{path}: retyped from {' or '.join(sorted(before))} to {' or '.join(sorted(after))}"
        for kind in sorted(before.keys() & after.keys()):
            yield from self._same_type(before[kind], after[kind], path)

    def _same_type(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from _narrowed(old, new, path)
        yield from self._properties(old, new, path)
        if "items" in old and "items" in new:
            yield from self.values(old["items"], new["items"], f"{path}[]")
        elif ("items" in old) != ("items" in new):
            yield f"{path}[]: retyped"

    def _properties(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        pair = (old.get("title", path), new.get("title", path))
        if pair in self._under_way:  # a type that holds itself
            return
        self._under_way.add(pair)
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{path}.{name}: removed"
            else:
                yield from self.values(before[name], after[name], f"{path}.{name}")
        was, is_now = set(old.get("required", ())), set(new.get("required", ()))
        yield from (f"{path}.{name}: newly required" for name in sorted(is_now - was))
        yield from (f"{path}.{name}: no longer required" for name in sorted((was - is_now) & after.keys()))
        if "propertyNames" in new:  # what keys a map may have
            yield from self.values(old.get("propertyNames", {}), new["propertyNames"], f"{path}.*")
        rest, new_rest = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if isinstance(rest, Mapping) and isinstance(new_rest, Mapping):
            yield from self.values(rest, new_rest, f"{path}.*")
        elif rest is not False and rest != new_rest:
            yield f"{path}.*: {'retyped' if new_rest else 'refused, was let in'}"
        self._under_way.discard(pair)


def _narrowed(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keyword, narrower in _BOUNDS.items():
        if keyword in new and (keyword not in old or narrower(new[keyword], old[keyword])):
            yield f"{path}: {keyword} tightened from {old.get(keyword, 'none')} to {new[keyword]}"
    for keyword in _FORMS:
        if old.get(keyword) != new.get(keyword):
            yield f"{path}: {keyword} changed from {old.get(keyword, 'none')} to {new.get(keyword, 'none')}"
    for keyword in _RULES:
        if keyword not in new or old.get(keyword) == new[keyword]:
            continue
        if keyword not in ("allOf", "propertyNames") or not _wider(old.get(keyword), new[keyword]):
            yield f"{path}: {keyword} {'changed' if keyword in old else 'added'}"
    if "enum" in new and "enum" not in old:
        yield f"{path}: enum added"
    elif "enum" in new:
        yield from (f"{path}: enum value {value!r} removed" for value in old["enum"] if value not in new["enum"])


def _wider(old: Any, new: Any) -> bool:
    """Whether a rule differs from its former self only by further alternatives (`anyOf`, `enum`), which let in more.
    Not within a condition, where they may shut out."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(
            old[name] == new[name]
            or (name in ("anyOf", "enum") and all(one in new[name] for one in old[name]))
            or (name not in ("anyOf", "enum", "if", "then", "else", "not") and _wider(old[name], new[name]))
            for name in old
            if name != "description"
        )
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return all(_wider(before, after) for before, after in zip(old, new, strict=True))
    return bool(old == new)


def _alternatives(schema: Schema, document: Schema) -> dict[str, Schema]:
    """The types that a value may have, each with what holds of it: type → schema."""
    if "$ref" in schema:
        return _alternatives(document["$defs"][schema["$ref"].removeprefix("#/$defs/")], document)
    if "anyOf" in schema:
        of_all = {keyword: rule for keyword, rule in schema.items() if keyword != "anyOf"}
        parts = [_alternatives(part, document) for part in schema["anyOf"]]
        return {kind: {**of_all, **found} for part in parts for kind, found in part.items()}
    if "type" in schema:
        return {schema["type"]: schema}
    if "enum" in schema:
        kinds = {_TYPES[type(value)] for value in schema["enum"]}
        return {kind: {"enum": [v for v in schema["enum"] if _TYPES[type(v)] == kind]} for kind in kinds}
    return {"anything": schema}
