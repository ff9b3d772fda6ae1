"""How a worker is a member of a group: the time-outs that must fit each other, and the rest that aiokafka is told."""

from __future__ import annotations

from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from streams.security import connection
from streams.settings import Settings

#: Heartbeats per session: the usual three, and one for a loop that is late.
HEARTBEATS_PER_SESSION = 4
#: A consumer that is not polled for so long leaves its group by itself (aiokafka #1187). A batch may wait for a broker
#: for hours, and the watchdog sees to a loop that stands still, so it is a day.
MAX_POLL_INTERVAL_S = 86_400.0
#: How long a commit may take that a rebalance or a stop waits for.
LAST_COMMIT_S = 10.0


def consumer_settings(settings: Settings) -> dict[str, Any]:
    """What aiokafka's consumer is told, each for a reason."""
    session = settings.session_timeout_s
    return {
        **connection(settings),
        "group_instance_id": settings.instance or None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": int(session * 1000),
        "heartbeat_interval_ms": int(session * 1000 / HEARTBEATS_PER_SESSION),
        "max_poll_interval_ms": int(MAX_POLL_INTERVAL_S * 1000),
        # While a member finishes what it has begun, the others wait for it this long before they go on without it.
        "rebalance_timeout_ms": int(max(120.0, session, settings.shutdown_grace_s * 2) * 1000),
        # A join is answered when all have come: the dead after their session, others after their grace and a commit.
        "request_timeout_ms": int(max(60.0, session + 15, settings.shutdown_grace_s + LAST_COMMIT_S + 15) * 1000),
        "fetch_max_wait_ms": int(settings.fetch_max_wait_s * 1000),
        # Eager, the only protocol that aiokafka speaks: every rebalance revokes all.
        "partition_assignment_strategy": [RoundRobinPartitionAssignor],
    }
