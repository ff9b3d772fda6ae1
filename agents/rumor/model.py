"""The small models that weigh what was found: is a text about a claim, and what does it do with it. Pure, numpy only.

Logistic regression, trained by `python -m agents.rumor.train`; weights.json says on what.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.rumor import stance
from agents.rumor.stance import Stance

STANCES: tuple[Stance, ...] = get_args(Stance)
#: Whether a text is about a claim, without embeddings and with them.
ABOUT = (
    "cover", "cover_of_text", "aligned", "aligned_words", "keywords", "entity_named", "entity_missing", "entity_cover",
    "number_disagrees", "short", "told", "told_nothing", "told_of_text", "aside", "told_of_subject", "best_cover",
    "best_aligned", "behind_in_cover", "alike", "much_alike", "behind_in_meaning",
)  # fmt: skip
#: Features of embeddings, which the model without them does not have.
OF_MEANING = ("alike", "much_alike", "behind_in_meaning")


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """weights.json. `manifest` says what they were trained on, and how well that went."""

    version: str
    manifest: dict[str, object]
    about_lexical: tuple[float, ...]
    about_meaning: tuple[float, ...]
    stance: tuple[tuple[float, ...], ...]


class Model(NamedTuple):
    """The weights, ready for use; the last of each row is the constant."""

    version: str
    about_lexical: NDArray[np.float64]
    about_meaning: NDArray[np.float64]
    stance: NDArray[np.float64]

    def about(self, features: NDArray[np.float64], *, meaning: bool) -> NDArray[np.float64]:
        """Probability of each row of features (in the order of ABOUT) that the text is about the claim."""
        if meaning:
            return _logistic(features @ self.about_meaning[:-1] + self.about_meaning[-1])
        kept = len(ABOUT) - len(OF_MEANING)
        return _logistic(features[:, :kept] @ self.about_lexical[:-1] + self.about_lexical[-1])

    def stances(self, features: list[float]) -> dict[Stance, float]:
        """Probability of each stance, of features in the order of `stance.FEATURES`."""
        scores = self.stance[:, :-1] @ np.asarray(features) + self.stance[:, -1]
        powers = np.exp(scores - scores.max())
        return dict(zip(STANCES, (powers / powers.sum()).tolist(), strict=True))


def model(weights: Weights) -> Model:
    """The model of these weights.

    Raises:
        ValueError: they are not of the features that this version computes.
    """
    about, lexical = len(ABOUT) + 1, len(ABOUT) - len(OF_MEANING) + 1
    shape = (len(STANCES), len(stance.FEATURES) + 1)
    made = Model(
        weights.version,
        np.asarray(weights.about_lexical, float),
        np.asarray(weights.about_meaning, float),
        np.asarray(weights.stance, float),
    )
    if (made.about_lexical.shape, made.about_meaning.shape, made.stance.shape) != ((lexical,), (about,), shape):
        raise ValueError("the weights are of other features: run `python -m agents.rumor.train`")
    return made


@cache
def shipped() -> Model:
    """The model that ships."""
    data = files("agents.rumor").joinpath("weights.json").read_bytes()
    return model(msgspec.json.decode(data, type=Weights))


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -30, 30))))
