"""The topic table: every topic, what goes over it, in which direction, and how long it is kept."""

from __future__ import annotations

from typing import Literal, NamedTuple

from schemas.bank import HashEntry, Rumor
from schemas.complaint import Complaint, ComplaintResult
from schemas.deadletter import DeadLetter, Replay
from schemas.decision import Decision
from schemas.entity import EntityLabel
from schemas.event import Admitted, Segment, Upload
from schemas.lists import ListPart
from schemas.message import Message
from schemas.orders import Label, Labelled, Refutation, Release, Review, Takedown
from schemas.policy import Policy
from schemas.registry import Feature, Provider, Publisher
from schemas.sanction import Ruling, Sanction, Standing
from schemas.signals import Signals
from schemas.spread import Footage, Marked, Sighting
from schemas.verdict import Verdict
from schemas.worklist import Claim, WorkItem

#: Network logs are kept at least six months (Cybersecurity Law as amended 2025, Art. 23): 184 days covers any six.
LOG_DAYS = 184
#: Partitions of the topics that carry items. Fixed at the start, because changing it would move publishers to
#: other partitions and break their order; 12 divides evenly among 1, 2, 3, 4, 6 and 12 workers.
PARTITIONS = 12


class Topic(NamedTuple):
    """One row of the table. `retention_days` is None for a compacted topic: the last row of each key is kept."""

    name: str
    message: type[Message]
    key: str
    direction: Literal["in", "inner", "out"]
    retention_days: int | None
    about: str
    partitions: int = PARTITIONS
    #: Whether an agent keeps state by its key, so that it must lie where Kafka's own partitioner puts it, whatever
    #: client sent it; the delivery loop moves what lies elsewhere.
    placed: bool = False

    @property
    def compacted(self) -> bool:
        """Whether the topic is a table: the last message of a key stands, an empty one deletes the key."""
        return self.retention_days is None


def _state(name: str, message: type[Message], key: str, about: str) -> Topic:
    # One partition: every worker reads these topics whole, and one partition keeps the order of all changes.
    return Topic(name, message, key, "in", None, about, partitions=1)


UPLOADS = Topic("uploads", Upload, "publisher_id", "in", 7, "uploads, from the ingest tier")
SEGMENTS = Topic("segments", Segment, "publisher_id", "in", 7, "livestream segments, from the ingest tier")
PUBLISHERS = _state("publishers", Publisher, "publisher_id", "who publishes, and what is known of their real name")
PROVIDERS = _state("providers", Provider, "provider_id", "services that carry content, and their licences")
FEATURES = _state("features", Feature, "feature_id", "creation features and their safety assessments")
POLICIES = _state("policies", Policy, "name", "thresholds and rules, from the policy team")
HASHBANK = _state("hashbank", HashEntry, "entry_id", "hashes of banned media")
LISTS = _state("lists", ListPart, "part_id", "parts of long lists of terms and links, which policies name")
RUMORS = _state("rumors", Rumor, "rumor_id", "claims going round, and their refutations")
ADMITTED = Topic("admitted", Admitted, "publisher_id", "inner", 14, "events that passed the identity agent")
SIGNALS = Topic("signals", Signals, "publisher_id", "inner", 14, "what extraction found in an item")
SIGHTINGS = Topic("sightings", Sighting, "cluster", "inner", 7, "sentences that are said again, by what they are like")
FOOTAGE = Topic("footage", Footage, "bucket", "inner", 14, "pictures of items, by what they are like")
MARKED = Topic("marked", Marked, "publisher_id", "inner", 60, "items that carried a label of generated media")
ENTITIES = _state("entities", EntityLabel, "label_id", "labels on publishers, streams, devices, media, complainants")
STANDINGS = Topic("standings", Standing, "publisher_id", "inner", None, "each publisher's points and sanctions")
COMPLAINTS = Topic("complaints", Complaint, "publisher_id", "in", LOG_DAYS, "what users complain about", placed=True)
RULINGS = Topic("rulings", Ruling, "publisher_id", "in", LOG_DAYS, "what people ruled", placed=True)
CLAIMS = Topic("claims", Claim, "publisher_id", "in", 7, "reviewers take reviews, and give them back", placed=True)
DECISIONS = Topic("decisions", Decision, "publisher_id", "out", LOG_DAYS, "every agent's decision on every item")
TAKEDOWNS = Topic("takedowns", Takedown, "content_id", "out", LOG_DAYS, "orders to hold, remove or cut")
RELEASES = Topic("releases", Release, "content_id", "out", LOG_DAYS, "orders to lift what a ruling found to be wrong")
LABELS = Topic("labels", Label, "content_id", "out", LOG_DAYS, "orders to label")
LABELLED = Topic("labelled", Labelled, "content_id", "out", LOG_DAYS, "labelled copies that were made")
REFUTATIONS = Topic("refutations", Refutation, "content_id", "out", LOG_DAYS, "orders to show a refutation")
REVIEWS = Topic("reviews", Review, "content_id", "out", LOG_DAYS, "items that a person must look at")
WORKLIST = Topic("worklist", WorkItem, "publisher_id", "out", LOG_DAYS, "where each question to reviewers stands")
VERDICTS = Topic("verdicts", Verdict, "content_id", "out", LOG_DAYS, "the answer the ingest tier waits for")
SANCTIONS = Topic("sanctions", Sanction, "publisher_id", "out", LOG_DAYS, "what follows for publishers")
COMPLAINT_RESULTS = Topic(
    "complaint_results", ComplaintResult, "complaint_id", "out", LOG_DAYS, "where each complaint stands"
)
DEADLETTERS = Topic("deadletters", DeadLetter, "as it came", "out", 30, "what could not be handled, whole")
#: Kept longer than the letters, which a broker deletes by whole segments: up to a week late.
REPLAYS = Topic("replays", Replay, "letter", "inner", 60, "which dead letters were put back")

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        UPLOADS, SEGMENTS, PUBLISHERS, PROVIDERS, FEATURES, POLICIES, LISTS, HASHBANK, RUMORS, ENTITIES,
        COMPLAINTS, RULINGS, CLAIMS, ADMITTED, SIGNALS, SIGHTINGS, FOOTAGE, MARKED, STANDINGS, DECISIONS, TAKEDOWNS,
        RELEASES, LABELS, LABELLED, REFUTATIONS, REVIEWS, WORKLIST, SANCTIONS, VERDICTS,
        COMPLAINT_RESULTS, DEADLETTERS, REPLAYS,
    )
}  # fmt: skip
"""name → topic, in the order in which data meets them."""
