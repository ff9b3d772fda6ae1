"""The simulation of queues agrees with theory where there is one, and the plan with what it was made from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deploy.scale
from deploy.scale.plan import EVENTS, EXTRACTION, FigureMissing, Load, figures, plan
from deploy.scale.queues import erlang_c, mean_wait, waits
from deploy.scale.simulate import SCENARIOS, Scenario, main, report, run
from tests.bench import report as bench_report

ROOT = Path(deploy.scale.__file__).parents[2]
SMALL = Load(uploads_a_day=4e5, streams=600.0)


# Queues against theory.


@pytest.mark.parametrize(("servers", "used"), [(1, 0.5), (1, 0.8), (4, 0.7), (10, 0.8), (64, 0.9)])
def test_waits_agree_with_the_theory_of_m_m_c(servers: int, used: float) -> None:
    chance, jobs, service = np.random.default_rng(7), 400_000, 2.0
    arrivals = np.cumsum(chance.exponential(service / (servers * used), jobs))
    waited = waits(arrivals, chance.exponential(service, jobs), servers)[jobs // 20 :]
    offered = servers * used
    assert waited.mean() == pytest.approx(mean_wait(servers, offered, service), rel=0.08)
    assert (waited > 0).mean() == pytest.approx(erlang_c(servers, offered), rel=0.05)


def test_with_one_server_theory_is_the_known_formula() -> None:
    """M/M/1: a job waits with the probability that the server is busy, and ρ/(1-ρ) service times on the average."""
    for used in (0.1, 0.5, 0.9):
        assert erlang_c(1, used) == pytest.approx(used)
        assert mean_wait(1, used, 3.0) == pytest.approx(3.0 * used / (1 - used))
    assert erlang_c(1000, 950.0) < erlang_c(100, 95.0) < erlang_c(10, 9.5) < 1.0
    assert erlang_c(2, 2.0) == 1.0


def test_constant_service_waits_half_as_long_as_exponential() -> None:
    """M/D/1 (Pollaczek and Khinchine): what varies less waits less; segments vary little."""
    chance, jobs = np.random.default_rng(3), 400_000
    arrivals = np.cumsum(chance.exponential(1 / 0.8, jobs))
    assert waits(arrivals, np.ones(jobs), 1).mean() == pytest.approx(mean_wait(1, 0.8, 1.0) / 2, rel=0.08)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 20)), min_size=1, max_size=40),
    st.integers(1, 5),
)
@settings(deadline=None)
def test_no_server_does_two_things_at_once_and_none_idles_while_a_job_waits(
    jobs: list[tuple[float, float]], servers: int
) -> None:
    arrivals, services = (np.array(column) for column in zip(*sorted(jobs), strict=True))
    waited = waits(arrivals, services, servers)
    assert (waited >= 0).all()
    starts = arrivals + waited
    ends = starts + services
    for number, start in enumerate(starts):
        running = ((starts <= start) & (ends > start + 1e-9)).sum()
        assert running <= servers
        if waited[number] > 1e-9:
            before = start - 1e-9
            assert ((starts < before) & (ends > before)).sum() == servers


def test_nothing_begins_while_servers_are_away() -> None:
    arrivals = np.arange(0.0, 20.0)
    starts = arrivals + waits(arrivals, np.full(20, 0.5), 2, away=(5.0, 9.0))
    assert not ((starts >= 5.0) & (starts < 9.0)).any()
    assert (starts[:5] == arrivals[:5]).all()


def test_without_a_server_there_is_no_queue() -> None:
    with pytest.raises(ValueError, match="must be a server"):
        waits(np.zeros(1), np.ones(1), 0)


# The plan.


def test_cores_are_media_times_what_a_second_of_it_costs() -> None:
    made = plan(Load(uploads_a_day=86_400.0, streams=100.0, peak=1.0, used=0.5), figures() | {EXTRACTION: 6.0})
    assert made.cores["extraction"] == pytest.approx((60 + 100) * 0.1 / 0.5)
    faster = plan(Load(), figures() | {EVENTS: 2 * figures()[EVENTS]})
    assert faster.cores["identity"] == pytest.approx(plan(Load(), figures()).cores["identity"] / 2)


def test_twice_the_load_asks_for_twice_as_much_and_compression_for_less() -> None:
    one, two = plan(Load(), figures()), plan(Load(uploads_a_day=2e8, streams=2e5), figures())
    assert two.cores["extraction"] == pytest.approx(2 * one.cores["extraction"])
    assert two.write_mb_s == pytest.approx(2 * one.write_mb_s)
    assert two.cells in (2 * one.cells - 1, 2 * one.cells)
    assert one.disk_tb_plain / 12 < one.disk_tb < one.disk_tb_plain / 2


def test_a_longer_upload_leaves_a_hash_a_second_more() -> None:
    short, long = (plan(replace(Load(), upload_s=seconds), figures()).upload for seconds in (60.0, 120.0))
    assert 60 * 90 < long.topics["signals"] - short.topics["signals"] < 60 * 140
    assert long.topics["decisions"] == short.topics["decisions"]


def test_measured_figures_take_the_place_of_those_that_ship(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(
        json.dumps(
            [{"name": EVENTS, "value": 9999.0}, {"name": "other", "value": 1}, {"name": EXTRACTION, "value": None}]
        )
    )
    found = figures(path)
    assert (found[EVENTS], found[EXTRACTION]) == (9999.0, figures()[EXTRACTION])
    assert "other" not in found
    path.write_text("[1]")
    with pytest.raises(FigureMissing, match="make bench"):
        figures(path)


def test_every_figure_is_one_that_a_measure_makes() -> None:
    """By the name in the source of the measures, so that a renamed measure is noticed."""
    source = "".join(path.read_text("utf-8") for path in Path(bench_report.__file__).parent.glob("*.py"))
    missing = {name: [part for part in name.split(".") if part not in source] for name in figures()}
    assert missing == {name: [] for name in figures()}


def test_a_cell_has_no_more_workers_than_a_topic_has_partitions() -> None:
    most, more = (plan(replace(Load(), workers_a_cell=number), figures()) for number in (12, 100))
    assert more == replace(most, load=more.load)


# Both together.


def measured(scenario: Scenario, load: Load = SMALL) -> tuple[float, float]:
    made = plan(load, figures())
    segments, uploads = run(made, figures()[EXTRACTION] / 60, scenario, np.random.default_rng(1))
    return segments.p99_s, uploads.p99_s


def test_a_pool_that_is_not_full_waits_little_and_one_that_is_overfull_waits_long() -> None:
    calm = measured(SCENARIOS[0])
    assert calm[0] < 1.0
    flooded = measured(Scenario("ten times", more=20.0))
    assert flooded[0] > 100
    assert flooded[1] > 100


NUMBER = re.compile(r"\d[\d,.]*")


def test_the_docs_show_what_the_command_says_now() -> None:
    """A field more in a message changes sizes a little; what is further off must be written anew."""
    said = report(Load(), figures(), 1)
    shown = (ROOT / "docs" / "scale.md").read_text("utf-8").split("```text\n")[1].split("\n```")[0]
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", said).split(), (
        "put the output of `make scale` into the doc"
    )
    numbers = [
        [float(number.replace(",", "").rstrip(".")) for number in NUMBER.findall(text)] for text in (shown, said)
    ]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.15, abs=0.2), "put the output of `make scale` into the doc"


def test_the_same_seed_gives_the_same_queues_and_another_others() -> None:
    made = plan(SMALL, figures())
    first, second, third = (run(made, 0.08, SCENARIOS[0], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != third


def test_the_command_takes_its_numbers_from_flags(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--uploads", "4e5", "--streams", "600", "--cores-a-worker", "8"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("400,000 uploads a day")
    assert "each 6 workers of 8 cores" in said
    assert main(["--bench", str(tmp_path / "none.json")]) == 1
    assert "make bench" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--streams" in capsys.readouterr().out
