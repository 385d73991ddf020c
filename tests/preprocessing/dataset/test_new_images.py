import dataclasses

from preprocessing.dataset.new_images import count_new_images
from workspace.catalog.records import Sample, Verdict
from workspace.clock import utc_now
from workspace.files.atomic import write_atomic
from workspace.storage.champion import Decision, record_decision
from workspace.storage.dataset import dataset_bytes
from workspace.storage.paths import Workspace


def keep(place: Workspace, *names: str) -> None:
    with place.open_catalog() as catalog:
        catalog.put([Verdict(name, "a", "check", "keep") for name in names])


def decide(place: Workspace, run_id: str, action: str, champion: str, *names: str) -> None:
    row = Sample("", "a", "train", "", "", *[""] * 9, 1, 1)
    rows = [dataclasses.replace(row, sha256=name) for name in names]
    write_atomic(place.run(run_id).dataset_file, dataset_bytes(rows))
    record_decision(place, Decision(run_id, action, champion, "", utc_now()))


def test_new_is_what_no_decided_run_has_seen_and_enough_is_a_number_or_a_share(collected) -> None:
    place = collected.workspace
    config = collected.config(retrain={"min_new_images": 3})
    keep(place, "1", "2", "3")
    assert count_new_images(place, config).new == 3
    assert not count_new_images(place, config).enough(config)  # there is no model to retrain
    decide(place, "r", "published", "r", "1", "2")
    keep(place, "4", "5")
    found = count_new_images(place, config)
    assert (found.new, found.per_class, found.trained_on) == (3, {"a": 3}, 2)
    assert found.enough(config)
    assert not found.enough(collected.config(retrain={"min_new_images": 4}))
    assert found.enough(collected.config(retrain={"min_new_images": 4, "min_new_share": 1.0}))
    decide(place, "s", "kept_champion", "r", "1", "2", "3", "4", "5")
    assert (count_new_images(place, config).new, count_new_images(place, config).trained_on) == (0, 2)
    assert not count_new_images(place, config).enough(collected.config(retrain={"min_new_share": 0.1}))
