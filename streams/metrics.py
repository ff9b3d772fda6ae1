"""Prometheus metrics, in seconds and with bounded labels: no content, publisher or stream ever becomes a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A `_created` beside every series doubles what is scraped, and nobody reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: From a cached judgement to a long upload; the SLOs (2 s a segment, 60 s an upload) are bounds of their own.
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
#: A batch of judgements takes milliseconds, one that waits for the broker up to its time-out.
BATCH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
#: From a two-second segment to an hour-long upload.
EXTRACTION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)


class Metrics:
    """Every metric of a worker, on the registry that is handed in, so that two workers or tests never share one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.messages_in = Counter(
            "veristream_messages_in", "Messages taken from a topic", ["agent", "topic"], registry=registry
        )
        self.messages_out = Counter(
            "veristream_messages_out",
            "Messages acknowledged by the broker",
            ["agent", "topic"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "veristream_dead_letters", "Messages that could not be handled", ["agent", "topic"], registry=registry
        )
        self.trimmed = Counter(
            "veristream_trimmed",
            "Outputs that lost evidence or frames so that they fit into a message",
            ["agent", "topic"],
            registry=registry,
        )
        self.produce_retries = Counter(
            "veristream_produce_retries",
            "Outputs sent again because the broker refused them",
            ["agent"],
            registry=registry,
        )
        self.abandoned = Counter(
            "veristream_abandoned",
            "Times that what was begun was given up, because the partitions were not held for certain; it comes again",
            ["agent"],
            registry=registry,
        )
        self.tick_failures = Counter(
            "veristream_tick_failures",
            "Times that an agent failed at what the passing of time causes",
            ["agent"],
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "veristream_batch_seconds",
            "From taking a batch to the last acknowledgement of what it caused",
            ["agent"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.queue = Gauge("veristream_queue_messages", "Messages fetched and waiting", ["agent"], registry=registry)
        self.lag = Gauge(
            "veristream_lag_messages", "Messages not yet committed", ["agent", "topic", "partition"], registry=registry
        )
        self.lag_seconds = Gauge(
            "veristream_lag_seconds",
            "How long the oldest message that is not committed has waited, at most; 0 without lag",
            ["agent"],
            registry=registry,
        )
        self.commit_age = Gauge(
            "veristream_commit_age_seconds",
            "Since the last commit that advanced, while there is lag; 0 without lag",
            ["agent"],
            registry=registry,
        )
        self.partitions = Gauge("veristream_partitions", "Partitions assigned", ["agent"], registry=registry)
        self.decisions = Counter("veristream_decisions", "Decisions", ["agent", "action"], registry=registry)
        self.reasons = Counter(
            "veristream_decision_reasons", "Reasons given in decisions", ["agent", "action", "code"], registry=registry
        )
        self.verdicts = Counter("veristream_verdicts", "Verdicts", ["verdict"], registry=registry)
        self.verdict_seconds = Histogram(
            "veristream_verdict_seconds",
            "From an event's creation to its first verdict",
            ["kind"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.extraction_seconds = Histogram(
            "veristream_extraction_seconds",
            "Fetching, decoding and detecting one item",
            ["outcome"],
            buckets=EXTRACTION_BUCKETS,
            registry=registry,
        )
        self.media_seconds = Counter("veristream_media_seconds", "Seconds of media read", registry=registry)
        self.extraction_errors = Counter(
            "veristream_extraction_errors", "Items that could not be read", ["code"], registry=registry
        )
        self.pool_workers = Gauge("veristream_pool_workers", "Decoding processes", registry=registry)
        self.pool_busy = Gauge("veristream_pool_busy", "Items being fetched or decoded", registry=registry)
        self.pool_ended = Counter(
            "veristream_pool_ended", "Decoding processes that were ended or died", ["outcome"], registry=registry
        )
        self.confinement = Gauge(
            "veristream_confined_workers", "Decoding processes that this layer confines", ["layer"], registry=registry
        )
        self.policy = Gauge("veristream_policy_version", "Version of the policy in force", ["name"], registry=registry)
        self.state_pending = Gauge(
            "veristream_state_pending_messages",
            "Messages of a compacted topic still to be read before a start is over",
            ["topic"],
            registry=registry,
        )
        self.state_rows = Gauge("veristream_state_rows", "Rows of a compacted topic", ["topic"], registry=registry)
        self.state_refused = Counter(
            "veristream_state_refused", "Rows of a compacted topic that were refused", ["topic"], registry=registry
        )
        self.bank_frames = Gauge(
            "veristream_bank_frames", "Frames of the hash bank that are in force", registry=registry
        )
        self.bank_bytes = Gauge(
            "veristream_bank_bytes",
            "What the hash bank takes in memory: shared by all workers of the machine, or this worker's own",
            ["where"],
            registry=registry,
        )
        self.bank_merges = Counter(
            "veristream_bank_merges",
            "Times that a part of the hash bank was made anew, or another worker's was taken up (read)",
            ["kind"],
            registry=registry,
        )
        self.bank_merge_seconds = Gauge(
            "veristream_bank_merge_seconds", "What the last of these took", ["kind"], registry=registry
        )
        self.bank_refused = Counter(
            "veristream_bank_refused", "Damaged files of the hash bank, which are made anew", registry=registry
        )
