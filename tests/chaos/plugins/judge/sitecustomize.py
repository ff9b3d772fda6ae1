"""Put on PYTHONPATH of a worker: its judges raise at some events, always at the same ones, as a defect would."""

import os
from functools import wraps

import agents.identity.agent as identity
import agents.verdict.join as join
from tests.chaos.defect import strikes


def _raising(judge, agent, event_of):
    @wraps(judge)
    def judged(first, *rest, **named):
        if kind := strikes(event_of(first), agent):
            raise kind(f"a defect of {agent}")
        return judge(first, *rest, **named)

    return judged


if os.environ.get("CHAOS_JUDGE"):
    identity.judge = _raising(identity.judge, "identity", lambda event: event.event_id)
    join.judge = _raising(join.judge, "verdict", lambda decisions: next(iter(decisions.values())).event_id)
