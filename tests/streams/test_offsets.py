"""Nothing is committable past what is not finished, whatever the offsets look like."""

from __future__ import annotations

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.offsets import Offsets

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)


def test_a_run_is_committable_to_its_end() -> None:
    offsets = Offsets()
    offsets.begin(ONE, 5)
    assert (offsets.reached, offsets.busy(ONE), offsets.again_from(ONE)) == ({}, True, 5)
    offsets.finish(ONE, 5, 9)
    assert (offsets.reached, offsets.busy(ONE), offsets.again_from(ONE)) == ({ONE: 9}, False, 9)


def test_what_is_finished_behind_what_is_not_waits_for_it() -> None:
    offsets = Offsets()
    for offset in (3, 7, 8):  # compaction has taken the others
        offsets.begin(ONE, offset)
    offsets.finish(ONE, 8, 9)
    offsets.finish(ONE, 7, 8)
    assert (offsets.reached, offsets.again_from(ONE), offsets.open(ONE)) == ({}, 3, 3)
    offsets.finish(ONE, 3, 4)
    assert (offsets.reached, offsets.again_from(ONE), offsets.open(ONE)) == ({ONE: 9}, 9, 0)


def test_partitions_do_not_wait_for_each_other() -> None:
    offsets = Offsets()
    offsets.begin(ONE, 0)
    offsets.begin(TWO, 0)
    offsets.finish(TWO, 0, 1)
    assert offsets.reached == {TWO: 1}


def test_what_was_never_begun_has_no_place() -> None:
    assert Offsets().again_from(ONE) is None
    assert not Offsets().busy(ONE)


def test_what_is_given_up_begins_again_from_the_first_that_was_not_finished() -> None:
    offsets = Offsets()
    for offset in range(4):
        offsets.begin(ONE, offset)
    offsets.finish(ONE, 0, 1)
    offsets.finish(ONE, 2, 3)
    assert offsets.again_from(ONE) == 1
    offsets.forget_begun()
    for offset in range(1, 4):
        offsets.begin(ONE, offset)
        offsets.finish(ONE, offset, offset + 1)
    assert offsets.reached == {ONE: 4}


@given(st.sets(st.integers(0, 100), min_size=1), st.randoms(use_true_random=False), st.integers(0, 40))
def test_the_committable_offset_never_passes_an_unfinished_message(taken, random, finished) -> None:
    order = sorted(taken)
    offsets = Offsets()
    for offset in order:
        offsets.begin(ONE, offset)
    done = order[:]
    random.shuffle(done)
    done = done[:finished]
    for offset in done:
        offsets.finish(ONE, offset, offset + 1)
    left = [offset for offset in order if offset not in done]
    reached = offsets.reached.get(ONE, 0)
    assert all(offset >= reached for offset in left)
    assert offsets.again_from(ONE) == (left[0] if left else order[-1] + 1)
