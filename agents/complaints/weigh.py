"""Weighing complaints (AVP-15): how much those about one item say together. Pure.

A complaint weighs what its kind does in the policy, doubled or halved by the complainant's record. Who is related, by
account or by device and be it through others, is one voice, and its heaviest complaint is what it says: a brigade of
one person weighs as much as that person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import fsum
from typing import NamedTuple

from schemas.complaint import Complaint, ComplaintKind
from schemas.policy import ComplaintsPolicy
from schemas.signals import Evidence


class Record(NamedTuple):
    """What became of a complainant's earlier complaints."""

    upheld: int = 0
    total: int = 0

    @property
    def factor(self) -> float:
        """The share that was right, smoothed (Laplace) so that little experience says little, and scaled so that none
        at all is 1: always between 0 and 2, neither of which is reached."""
        return 2 * (self.upheld + 1) / (self.total + 2)


class Weighed(NamedTuple):
    """What an item's complaints come to."""

    weight: float
    unrelated: int
    kinds: Mapping[ComplaintKind, int]

    @property
    def score(self) -> float:
        """The weight as a score."""
        return score(self.weight)

    def reviewed(self, terms: ComplaintsPolicy) -> bool:
        """Whether a person looks at once: what holds the item asks for one too."""
        return self.weight >= terms.review_weight or self.held(terms)

    def held(self, terms: ComplaintsPolicy) -> bool:
        """Whether the item is held meanwhile."""
        limit = terms.hold_weight
        return limit is not None and self.weight >= limit and self.unrelated >= terms.hold_distinct

    @property
    def evidence(self) -> Evidence:
        """What is complained of and by how many; never by whom."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return Evidence(text=f"{kinds}; unrelated complainants: {self.unrelated}")


def score(weight: float) -> float:
    """A weight, which has no upper end, as a score in [0, 1): 1 becomes 0.5, and more is always more."""
    return weight / (weight + 1)


def weigh(
    complaints: Iterable[Complaint], records: Mapping[str, Record], severity: Mapping[ComplaintKind, float]
) -> Weighed:
    """Weigh complaints about one item. An appeal is no complaint about it and weighs nothing."""
    counted = [complaint for complaint in complaints if complaint.kind != "appeal"]
    voice = _voices(counted)
    heaviest: dict[str, float] = {}
    for complaint in counted:
        weight = severity[complaint.kind] * records.get(complaint.complainant, Record()).factor
        name = voice[complaint.complaint_id]
        heaviest[name] = max(weight, heaviest.get(name, 0.0))
    # fsum, because the order in which complaints arrive must not decide on which side of a limit they lie.
    return Weighed(fsum(heaviest.values()), len(heaviest), Counter(complaint.kind for complaint in counted))


def _voices(complaints: Iterable[Complaint]) -> dict[str, str]:
    """complaint_id → the voice it belongs to: complaints that share a complainant or a device, or are joined by others
    that do, have the same (disjoint sets, with path halving)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    complaints = list(complaints)
    for complaint in complaints:
        if complaint.device is not None:
            parent[root(f"complainant {complaint.complainant}")] = root(f"device {complaint.device}")
    return {complaint.complaint_id: root(f"complainant {complaint.complainant}") for complaint in complaints}
