"""Links in an item's texts and QR codes that lead to where the policy says they must not. Pure.

Hosts are searched for as they stand in the list, in the text as a browser would read it (compatibility and case folded,
dots of other scripts) and as people read it who were told to (`example dot com`, `example[.]com`, `example点com`): so a
list of any length costs one search, and a link needs no scheme to be found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from agents.review.automaton import Automaton
from agents.text import QUOTED, Passage, Place, fields
from schemas.event import Event
from schemas.policy import Link
from schemas.signals import Signal

#: What `@shorteners` stands for: public services that shorten links, much used in Chinese and in English.
SHORTENERS = (
    "t.cn", "dwz.cn", "suo.im", "suo.nz", "url.cn", "u.to", "dwz.mn", "mrw.so", "sourl.cn", "0x9.me", "985.so",
    "rrd.me", "tinyurl.com", "bit.ly", "bitly.com", "j.mp", "goo.gl", "ow.ly", "is.gd", "v.gd", "buff.ly",
    "rebrand.ly", "cutt.ly", "shorturl.at", "t.ly", "rb.gy", "t.co", "lnkd.in", "adf.ly", "soo.gd", "s.id", "tiny.cc",
    "bl.ink", "short.io", "dlvr.it", "shorte.st", "clck.ru", "vk.cc", "urlz.fr", "x.gd",
)  # fmt: skip
#: Of what a list or a text may hold, the longest host that there is (RFC 1035).
LONGEST_HOST = 253
#: Characters after a host that are compared with a path.
LONGEST_PATH = 300

#: Signs that nobody sees, and that no host has.
_UNSEEN = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_SIGNS = [chr(code) for code in _UNSEEN]
_NAMED_DOT = r"(?:\.|dot|点|點)"
#: What is read as a dot between two labels, and signs without one of which it need not be looked for.
_DOTS = (
    # example[.]com, example (dot) com
    ("])}>】」", re.compile(rf"[\[({{<【「]\s*{_NAMED_DOT}\s*[\])}}>】」]")),
    # example dot com, example . com
    ((" dot", " .", "\tdot", "点", "點"), re.compile(rf"(?<=[a-z0-9])\s+{_NAMED_DOT}\s*(?=[a-z0-9])")),
    ("·•∙‧点點", re.compile(r"(?<=[a-z0-9])[·•∙‧点點](?=[a-z0-9])")),
)


class LinkMatch(NamedTuple):
    """A listed link, the field that holds it, what stands there, and in the media its place."""

    link: Link
    field: str
    words: str
    place: Place | None = None


class LinkList:
    """A policy's links, made ready for search."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links: list[tuple[Link, str]] = []
        hosts = []
        for link in links:
            for pattern in SHORTENERS if link.pattern == "@shorteners" else (link.pattern,):
                host, slash, path = read(pattern).partition("/")
                for written in _written(host):
                    hosts.append(written)
                    self._links.append((link, slash + path))
        self._hosts = Automaton(hosts)

    def match(self, event: Event, passages: Iterable[Passage] = (), signals: Iterable[Signal] = ()) -> list[LinkMatch]:
        """Each link once a field; in the media, where it comes first. `signals`: those named `qr` are looked at."""
        if not self._links:
            return []
        found: dict[tuple[int, str], LinkMatch] = {}
        for field, text, place in _texts(event, passages, signals):
            for link, words in self.links_in(text):
                match, former = LinkMatch(link, field, words, place), found.get((id(link), field))
                if former is None or (place and former.place and place.at_s < former.place.at_s):
                    found[id(link), field] = match
        return list(found.values())

    def links_in(self, text: str) -> Iterator[tuple[Link, str]]:
        """Listed links of a text, and each as it is read."""
        text = read(text)
        if "." not in text:
            return
        for which, begin, end in self._hosts.matches(text):
            link, path = self._links[which]
            if _is_host(text, begin, end) and (not path or _leads(path, text[end : end + LONGEST_PATH])):
                yield link, _whole(text, begin, end)


def read(text: str) -> str:
    """A text as hosts are read in it."""
    if "%" in text:
        text = unquote(text, errors="replace")
    if any(sign in text for sign in _SIGNS):
        text = text.translate(_UNSEEN)
    text = unicodedata.normalize("NFKC", text).casefold().replace("。", ".")
    for signs, form in _DOTS:
        if any(sign in text for sign in signs):  # a text has few of them, and looking for one is quick
            text = form.sub(".", text)
    return text


def _written(host: str) -> Iterator[str]:
    """A host in letters of its own script and in ASCII (punycode): links are written either way."""
    host = host.strip(".")
    if not host or len(host) > LONGEST_HOST:
        return
    yield host
    try:
        if host.isascii() and "xn--" in host:
            yield host.encode("ascii").decode("idna")
        elif not host.isascii():
            yield host.encode("idna").decode("ascii")
    except UnicodeError:  # no host that could be registered; as it is written it is searched for all the same
        return


def _is_host(text: str, begin: int, end: int) -> bool:
    """Whether it is all of a host, or its end (what stands before a dot lies below it)."""
    before, after = text[begin - 1 : begin], text[end : end + 2]
    if _in_label(before) or _in_label(after[:1]):
        return False
    return not (after[:1] == "." and _in_label(after[1:]))


def _in_label(sign: str) -> bool:
    return sign == "-" or (sign.isascii() and sign.isalnum())


def _leads(pattern: str, rest: str) -> bool:
    """Whether what follows the host begins with this path, of which `*` is anything."""
    rest = re.sub(r"^:\d+", "", rest)
    rest = rest.split(None, 1)[0] if rest[:1].strip() else ""
    first, *further = pattern.split("*")
    if not rest.startswith(first):
        return False
    at = len(first)
    for piece in further:
        at = rest.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def _whole(text: str, begin: int, end: int) -> str:
    """The link around a host: what stands before and after it without a blank."""
    left = max(text.rfind(" ", 0, begin), text.rfind("\n", 0, begin), begin - QUOTED // 2) + 1
    after = re.match(r"(?::\d+)?(?:[/?#][\x21-\x7e]*)?", text[end : end + LONGEST_PATH])
    label = re.search(r"[a-z0-9.:/@-]*$", text[left:begin])
    return ((label[0] if label else "") + text[begin:end] + (after[0] if after else ""))[:QUOTED]


def _texts(
    event: Event, passages: Iterable[Passage], signals: Iterable[Signal]
) -> Iterator[tuple[str, str, Place | None]]:
    for field, text in fields(event):
        yield field, text, None
    for passage in passages:
        at = 0
        for line in passage.raw.split("\n"):
            if line:
                yield passage.field, line, passage.place(at, at + len(line))
            at += len(line) + 1
    for signal in signals:
        if signal.name != "qr":
            continue
        for one in signal.evidence:
            if one.text:
                at_s = one.at_s or 0.0
                place = Place(at_s, one.until_s if one.until_s is not None else at_s, one.text[:QUOTED], signal.score)
                yield "qr", one.text, place
