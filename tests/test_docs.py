"""What the docs name is there."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from streams.cli.main import command_line

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


def test_every_command_that_the_docs_name_exists() -> None:
    named = set()
    for page in PAGES:
        named |= set(re.findall(r"\bveristream ([a-z]+)(?: ([a-z]+))?\b", page.read_text("utf-8")))
    there = typer.main.get_command(command_line())
    assert isinstance(there, typer.core.TyperGroup)
    assert len(named & {(name, "") for name in there.commands}) > 5
    for group, command in named:
        found = there.commands.get(group)
        assert found, f"veristream {group}"
        if command and isinstance(found, typer.core.TyperGroup):
            assert command in found.commands, f"veristream {group} {command}"


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert set(re.findall(r"`?make ([a-z]+)", page.read_text("utf-8"))) - {"and", "sure"} <= targets


def test_every_link_in_the_docs_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_test_that_the_threat_model_rests_on_is_there() -> None:
    page = (ROOT / "docs/security.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page)
    assert len(named) > 20
    for path, test in named:
        text = (ROOT / path).read_text("utf-8")
        assert re.search(rf"^(?:async )?def {test}\(", text, re.MULTILINE), f"{path}::{test}"
    for row in re.findall(r"^\| (?!a try|---).*", page, re.MULTILINE):
        assert "::test_" in row, f"no test holds {row}"
