"""The worker: agents, their state, their probes, in one process that either works or ends."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from schemas.message import Refused
from schemas.policy import Policy, default_policy
from schemas.topics import HASHBANK, POLICIES, Topic
from streams.agent import Agent, Context, Incoming
from streams.app import Attached, attach
from streams.health import Health
from streams.metrics import Metrics
from streams.progress import Progress
from streams.readback import read_back
from streams.registered import installed
from streams.settings import Settings, SettingsError
from streams.views import View, Views

log = logging.getLogger(__name__)

#: sysexits.h: EX_SOFTWARE for a defect, EX_TEMPFAIL for a stop that took too long, EX_UNAVAILABLE for a loop that stood
#: still. All ask to be started again.
EXIT_DEFECT = 70
EXIT_SLOW_STOP = 75
EXIT_STALLED = 69
#: Lag without a commit for so long makes a worker not ready; an agent with slow items may take their time-out more.
COMMIT_AGE_LIMIT_S = 60.0
#: Lag without a commit for so long, with a broker that answers, is a loop that only a restart may mend. Five times what
#: makes it not ready: time for a person to look first.
STALL_LIMIT_S = 300.0


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def end_hard(code: int, why: str) -> None:
    """End at once, so that nothing unfinished is acknowledged; whoever supervises starts the worker again."""
    log.critical("ending the process: %s", why)
    logging.shutdown()
    os._exit(code)


class Worker:
    """Runs the agents that the settings name until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.metrics = Metrics(registry)
        self.settings = settings
        self.health = Health(registry, self.problems)
        kinds: dict[str, type[Agent]] = installed("veristream.agents", settings.agents)
        needed = {topic.name: topic for kind in kinds.values() for topic in kind.views}
        self._views = Views([self._view(topic) for topic in needed.values()], settings)
        context = Context(settings, self.metrics, self._views.by_topic, now, self._read_back, self._views.loaded)
        self._agents = [kind(context) for kind in kinds.values()]
        self._cold: set[str] = set()
        self._attached: dict[str, Attached] = {}
        self._progress: dict[str, Progress] = {}
        self._monitor: asyncio.Task[None] | None = None

    def _view(self, topic: Topic) -> View[Any]:
        if topic is not POLICIES:
            folder = self.settings.bank_dir if topic is HASHBANK else None
            return View(topic, self.metrics, state_dir=folder or self.settings.state_dir)
        shipped = default_policy(self.settings.policy)
        view: View[Policy] = View(topic, self.metrics, self._check_policy, shipped={shipped.name: shipped})
        view.listen(self._policy_changed)
        self.metrics.policy.labels(shipped.name).set(shipped.version)
        return view

    @staticmethod
    def _check_policy(former: Policy | None, policy: Policy) -> None:
        if former and former.version == policy.version and former != policy and former.version > 1:
            raise Refused(
                "version", f"{policy.version} is in force with other content; a changed policy needs a new one"
            )

    def _policy_changed(self, _: str, __: Policy | None, policy: Policy | None) -> None:
        if policy and policy.name == self.settings.policy:
            self.metrics.policy.labels(policy.name).set(policy.version)
            log.info("policy %s version %d is in force", policy.name, policy.version)

    def _read_back(
        self,
        since: Mapping[Topic, float],
        only: Mapping[Topic, frozenset[int]],
        after: Mapping[tuple[str, int], int],
    ) -> AsyncIterator[Incoming]:
        return read_back(self.settings, since, only, after)

    def problems(self) -> list[str]:
        """Why this worker is not ready; empty when it is."""
        found = [] if self._views.is_loaded else ["state is still being read"]
        found += [f"{name}: models are being loaded" for name in sorted(self._cold)]
        for name in self._names():
            attached, progress = self._attached.get(name), self._progress.get(name)
            if attached is None or progress is None or attached.delivery.consumer.assigned is None:
                found.append(f"{name}: no partitions assigned")
            elif not attached.delivery.consumer.fresh:
                found.append(f"{name}: the group does not answer its heartbeats")
            elif progress.commit_age_s > COMMIT_AGE_LIMIT_S + self._allowance(attached):
                found.append(f"{name}: no commit for {progress.commit_age_s:.0f} s while {progress.lag} wait")
        return found

    def _names(self) -> list[str]:
        return list(self._attached) or [agent.name for agent in self._agents]

    def _allowance(self, attached: Attached) -> float:
        """An agent with slow items may take their time-out more."""
        return self.settings.extract_timeout_s if attached.delivery.agent.slow else 0.0

    async def start(self) -> None:
        """Read the state, join the groups, answer probes. Returns when every agent has its partitions."""
        where = f"{self.settings.http_host}:{self.settings.http_port}"
        try:
            await self.health.start(self.settings.http_host, self.settings.http_port)
        except OSError as error:
            raise SettingsError(f"http_port: cannot listen on {where} ({error.strerror}); choose another") from error
        self._cold.update(agent.name for agent in self._agents)
        await self._views.start()
        for agent in self._agents:
            await agent.start()
            for attached in attach(agent, self._views, fatal=_ended_by):
                self._attached[attached.name] = attached
                self._progress[attached.name] = Progress(attached.name, self.settings.topic_prefix, self.metrics)
        self._monitor = asyncio.create_task(self._watch(), name="monitor")
        # Models are loaded while the groups are joined: each takes seconds.
        joining = (attached.app.start() for attached in self._attached.values())
        await asyncio.gather(*joining, *(self._warm(agent) for agent in self._agents))

    async def _warm(self, agent: Agent) -> None:
        await agent.warm()
        self._cold.discard(agent.name)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if error := self._views.failed:
                end_hard(EXIT_DEFECT, f"reading state failed: {error!r}")
            for name, attached in self._attached.items():
                self._look_at(name, attached)

    def _look_at(self, name: str, attached: Attached) -> None:
        if attached.app.crashed:
            end_hard(EXIT_DEFECT, f"Faust app of {name} crashed: {attached.app.crash_reason!r}")
        delivery, progress = attached.delivery, self._progress[name]
        if reason := delivery.consumer.dead():
            end_hard(EXIT_DEFECT, f"consumer of {name}: {reason}")
        if (adrift_s := delivery.consumer.adrift_s()) > STALL_LIMIT_S:
            end_hard(EXIT_STALLED, f"consumer of {name} has not got into its group for {adrift_s:.0f} s")
        if delivery.consumer.assigned is None:
            return
        progress.read(delivery.consumer.places(), queued=delivery.queued, excused=delivery.excused)
        if progress.stalled_s > STALL_LIMIT_S + self._allowance(attached):
            end_hard(
                EXIT_STALLED, f"{name} stands still: no commit for {progress.stalled_s:.0f} s, {progress.lag} wait"
            )

    async def stop(self) -> None:
        """Finish what has begun, commit, leave the groups. Ends the process hard if that takes too long."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(
            self.settings.shutdown_grace_s, end_hard, EXIT_SLOW_STOP, "what had begun was not finished in time"
        )
        if self._monitor:
            self._monitor.cancel()
        await asyncio.gather(*(attached.app.stop() for attached in self._attached.values()))
        for agent in self._agents:
            await agent.stop()
        await self._views.stop()
        await self.health.stop()
        timer.cancel()


def _ended_by(error: BaseException) -> None:
    end_hard(EXIT_DEFECT, f"delivery failed: {error!r}")


async def run(settings: Settings, *, stop: asyncio.Event, ready: Callable[[Worker], None] | None = None) -> None:
    """Run a worker until `stop` is set; `ready` is called once all agents have their partitions."""
    worker = Worker(settings)
    try:
        await worker.start()
        if ready:
            ready(worker)
        await stop.wait()
    finally:
        await worker.stop()
