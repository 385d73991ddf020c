"""Shards: how they are cut, done here, and put together; errors that travel; folders of processes that are gone."""

import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workspace.errors import (
    CollectAndTrainError,
    ImageRefused,
    ShardLost,
    SourceFailed,
    TransferFailed,
    WeightsError,
    WorkspaceError,
)
from workspace.spread.shards import HERE, batches, divide, side_by_side


@given(st.lists(st.integers(), max_size=50), st.integers(1, 60))
def test_parts_are_no_larger_than_wanted_and_lose_nothing(items, size) -> None:
    parts = list(divide(items, size))
    assert [item for part in parts for item in part] == items
    assert all(0 < len(part) <= size for part in parts)


def test_here_one_shard_takes_everything_and_results_come_while_it_is_under_way() -> None:
    assert list(divide([1, 2, 3], HERE.shard_size())) == [[1, 2, 3]]
    done = []

    def work(shard: list[int]) -> Iterator[int]:
        for item in shard:
            done.append(item)
            yield item

    results = HERE.run(work, side_by_side([[1, 2], [3]]), name="test")
    assert next(results) == 1 and done == [1]
    assert list(results) == [2, 3]


def test_here_the_next_shard_of_a_lane_is_made_when_the_results_before_it_were_taken() -> None:
    taken: list[int] = []

    def lane() -> Iterator[int]:
        yield 1
        yield taken[-1] + 1

    for result in HERE.run(lambda shard: [shard], [lane()], name="test"):
        taken.append(result)
    assert taken == [1, 2]


def test_results_before_an_error_are_not_lost() -> None:
    def results() -> Iterator[int]:
        yield from (1, 2, 3)
        raise WorkspaceError("the disk is full")

    seen: list[list[int]] = []
    with pytest.raises(WorkspaceError):
        for batch in batches(results(), 2):
            seen.append(batch)
    assert seen == [[1, 2], [3]]


@pytest.mark.parametrize(
    "error",
    [
        WorkspaceError("a"),
        ImageRefused("too_large", "b"),
        TransferFailed("failed", "http_404", "c", http_status=404, attempts=2),
        SourceFailed("blocked", "d"),
        WeightsError("no file", "do this"),
        ShardLost("e"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_from_another_process_as_it_was(error: CollectAndTrainError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))
