"""Write what is made from the types: JSON Schemas, examples, and the tables in the docs.

python -m schemas.generate                    write everything again
python -m schemas.generate --check            write nothing; exit 1 and name the files that are out of date
python -m schemas.generate --release 0.1.0    record the schemas of a version, which later ones may only add to
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from schemas.examples import EXAMPLES
from schemas.message import Message, encode
from schemas.reasons import CATALOGUE
from schemas.topics import TOPICS, Topic

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROOT = Path(__file__).resolve().parents[1]
#: Where the schemas lie, below the root.
FOLDER = Path("schemas/json")
RELEASED = FOLDER / "released"

_BLOCK = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z ]+?) -->\n)(?P<body>.*?)(?P<end><!-- end generated -->)", re.DOTALL
)


def json_schema(topic: Topic) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what goes over a topic."""
    kind = topic.message
    definitions: dict[str, Any] = msgspec.json.schema(kind)["$defs"]
    types = {found.__name__: found for found in _subclasses(Message)}
    for name, schema in definitions.items():
        schema["description"] = " ".join(schema["description"].split())  # docstrings are broken into lines
        if rules := types[name].schema_rules:
            schema["allOf"] = list(rules)
    # The message itself stands at the root rather than behind a reference, where people and form builders look.
    root = definitions.pop(kind.__name__)
    document = {"$schema": DIALECT, "$id": f"urn:veristream:{topic.name}", **root}
    return document | {"$defs": definitions} if definitions else document


def example_json(topic: Topic) -> str:
    """The topic's example, as it is shown. What others write to us goes without the fields that they need not write."""
    message = EXAMPLES[topic.name]
    text = encode(message) if topic.direction != "in" else msgspec.json.encode(_without_nulls(message))
    return msgspec.json.format(text, indent=2).decode() + "\n"


def generated(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file below the root, as it must be: path → text. Docs are among them if they hold a block."""
    texts = {}
    for topic in TOPICS.values():
        texts[root / FOLDER / f"{topic.name}.schema.json"] = _pretty(json_schema(topic))
        texts[root / FOLDER / f"{topic.name}.example.json"] = example_json(topic)
    for path in sorted([*root.glob("README.md"), *root.glob("docs/**/*.md")]):
        text = path.read_text("utf-8")
        if "<!-- generated:" in text:
            texts[path] = fill(text, str(path.relative_to(root)))
    return texts


def fill(text: str, name: str) -> str:
    """A Markdown text with its generated blocks made anew.

    Raises:
        ValueError: a block that nobody makes or that does not end; `name` says in which file.
    """
    made, count = _BLOCK.subn(lambda block: f"{block['begin']}{_body(block['name'], name)}{block['end']}", text)
    if count != text.count("<!-- generated:") or count != text.count("<!-- end generated -->"):
        raise ValueError(f"{name}: a generated block does not begin or end as it must")
    return made


def out_of_date(root: Path = ROOT) -> dict[Path, str | None]:
    """The files that are not as they must be, with their right text; None: must not be there."""
    texts = generated(root)
    wrong: dict[Path, str | None] = {
        path: text for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text
    }
    return wrong | dict.fromkeys(set((root / FOLDER).glob("*.json")) - texts.keys())


def release(version: str, root: Path = ROOT) -> Path:
    """Record the schemas of a version. FileExistsError if there is a record: what is released does not change."""
    folder = root / RELEASED / version
    folder.mkdir(parents=True)
    for topic in TOPICS.values():
        (folder / f"{topic.name}.schema.json").write_text(_pretty(json_schema(topic)), "utf-8")
    return folder


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description="JSON Schemas and docs' tables")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    either.add_argument("--release", metavar="VERSION", help="record the schemas as those of a version")
    options = parser.parse_args(arguments)
    wrong = out_of_date(root)
    for path, text in sorted(wrong.items()):
        sys.stdout.write(f"{'out of date' if options.check else 'written'}: {path.relative_to(root)}\n")
        if options.check:
            continue
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    if options.check and wrong:
        sys.stdout.write("run `make generate` and commit what it writes\n")
    if options.release:
        sys.stdout.write(f"recorded: {release(options.release, root).relative_to(root)}\n")
    return int(options.check and bool(wrong))


def _subclasses(kind: type[Message]) -> Iterator[type[Message]]:
    for found in kind.__subclasses__():
        yield found
        yield from _subclasses(found)


def _pretty(schema: dict[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def _without_nulls(value: Any) -> Any:
    tree = msgspec.to_builtins(value)
    if isinstance(tree, dict):
        return {key: _without_nulls(item) for key, item in tree.items() if item is not None}
    return [_without_nulls(item) for item in tree] if isinstance(tree, (list, tuple)) else tree


def _topics() -> str:
    rows = (
        (
            f"`{topic.name}`",
            f"`{topic.key}`" if topic.key in topic.message.__struct_fields__ else topic.key,
            topic.direction,
            f"{topic.retention_days} days" if topic.retention_days else "compacted",
            f"`{topic.message.__name__}`",
            topic.about,
        )
        for topic in TOPICS.values()
    )
    return _table(("topic", "key", "direction", "kept", "message type", "what"), rows)


def _reasons() -> str:
    rows = ((f"`{code.code}`", code.agent, code.article, code.meaning, code.remedy) for code in CATALOGUE.values())
    return _table(("code", "agent", "article", "meaning", "what ends it"), rows)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


_BLOCKS: dict[str, Callable[[], str]] = {"topics": _topics, "reasons": _reasons}


def _body(block: str, file: str) -> str:
    if block in _BLOCKS:
        return _BLOCKS[block]()
    topic = TOPICS.get(block.removeprefix("example "))
    if topic is None or not block.startswith("example "):
        raise ValueError(f"{file}: there is no generated block {block!r}")
    return f"```json\n{example_json(topic)}```\n"


if __name__ == "__main__":
    sys.exit(main())
