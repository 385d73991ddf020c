import json

import pytest

from benchmarks import million
from benchmarks.support.process_tree import Cost
from workspace.catalog.records import Download, Hit, Verdict
from workspace.storage.dataset import read_dataset
from workspace.storage.paths import Workspace

COUNT, DIM = 300, 16


@pytest.mark.parametrize("drawn", [False, True])
def test_every_stage_sees_the_pictures_and_the_copies_that_were_planted(tmp_path, drawn: bool) -> None:
    told = {
        stage: million.run_stage(stage, tmp_path, COUNT, DIM, drawn)["told"]
        for stage in ("fill", *million.STAGE_FUNCTIONS)
    }
    workspace = Workspace(tmp_path)
    with workspace.open_catalog() as catalog:
        assert (len(catalog.all(Hit)), len(catalog.all(Download))) == (COUNT + COUNT // 20, COUNT)
        dropped = {verdict.sha256 for verdict in catalog.all(Verdict) if verdict.verdict == "drop"}
        kept = catalog.kept()
    copies = COUNT // 10
    assert copies // 3 < len(dropped) <= copies  # made-up hashes of some copies are too far apart
    assert len(kept) == COUNT - len(dropped)
    assert told["neighbours"]["pictures"] == len(kept)
    assert sum(told["split"].values()) == len(kept)
    assert len(read_dataset(workspace.latest_run().dataset_file)) == len(kept)
    rows = {name: rows for name, (_, _, rows) in told["queries"].items()}
    assert rows["appearances"] == rows["sizes"] == rows["best_ranks"] == COUNT
    assert rows["kept"] == len(kept)
    assert rows["urls_to_fetch"] == COUNT // 20


def test_the_table_has_a_line_for_each_stage_and_query(monkeypatch, capsys, tmp_path) -> None:
    def here(command: list[str]) -> Cost:
        given = dict(zip(command[3::2], command[4::2], strict=True))
        got = million.run_stage(given["--stage"], million.Path(given["--place"]), int(given["--pictures"]), DIM, False)
        return Cost(1.0, 1.0, 77.0, f"a warning\n{json.dumps(got)}\n", ())

    monkeypatch.setattr(million, "measure", here)
    monkeypatch.setattr("sys.argv", ["million", "--pictures", "60,120", "--dim", "8", "--place", str(tmp_path)])
    million.main()
    lines = capsys.readouterr().out.splitlines()
    for count in ("60", "120"):
        of_count = {line.split()[0]: line for line in lines if line.split()[1:2] == [count]}
        assert {"fill", "clean", "queries", "neighbours", "split", "class_progress", "appearances"} <= of_count.keys()
        assert "77" in of_count["clean"].split() and "verdicts" in of_count["clean"]
    assert not list(tmp_path.iterdir())
