"""Shards on Prefect's page: each is a task run beside its step; one that was given up is crashed, and stays so."""

import time
from collections import Counter

import pytest
from prefect import flow, get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows.cluster.prefect_runs import PrefectRuns
from flows.cluster.spread import EngineSpread
from workspace.config.cluster import ClusterConfig
from workspace.errors import ShardLost
from workspace.spread.shards import side_by_side

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]


def test_a_shard_that_was_given_up_is_crashed_on_the_page_the_others_completed(over_threads) -> None:
    engine = over_threads(lose=lambda shard, _tries: shard == 3).engine
    results: list[int] = []

    @task(name="clean")
    def step() -> None:
        spread = EngineSpread(engine, ClusterConfig(), PrefectRuns(get_run_logger()))
        for result in spread.run(lambda shard: [shard], side_by_side(range(5)), name="decode"):
            results.append(result)

    @flow(name="collect")
    def collect() -> None:
        step()

    with prefect_test_harness(server_startup_timeout=120):
        with pytest.raises(ShardLost):
            collect()
        with get_client(sync_client=True) as client:
            deadline = time.monotonic() + 60
            runs = client.read_task_runs()
            while "Failed" not in [run.state_name for run in runs]:  # the step's end comes as an event, later
                assert time.monotonic() < deadline, runs
                time.sleep(0.1)
                runs = client.read_task_runs()
    assert sorted(results) == [0, 1, 2, 4]
    shards = {run.name: run for run in runs if run.name.startswith("decode: ")}
    assert Counter(run.state_name for run in shards.values()) == {"Completed": 4, "Crashed": 1}
    crashed = shards["decode: 3"]
    assert "3 processes ended over it, the last with: killed" in (crashed.state.message if crashed.state else "")
    (parent,) = [run for run in runs if run.name.startswith("clean")]
    assert parent.state_name == "Failed"
    assert {run.flow_run_id for run in runs} == {parent.flow_run_id}
