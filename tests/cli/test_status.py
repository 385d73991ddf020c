import subprocess
import sys

from cli.status import read_status, status_text
from collectors import inbox
from pages.review_data import ReviewData
from workspace.catalog.class_progress import class_progress
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.records import Download, Hit, Override, Verdict
from workspace.resolve import open_workspace
from workspace.served.kept import KeptPicture, KeptPictures, Limits
from workspace.storage.champion import Decision, record_decision


def test_the_status_the_review_page_and_the_report_tell_the_same_of_a_class(tmp_path) -> None:
    workspace, config = open_workspace(tmp_path, ["cat", "dog"])
    names = "abcdefghi"  # i was never fetched
    with workspace.open_catalog() as catalog:
        catalog.put([Hit("cat", "cat", "s", rank, f"http://s/{name}") for rank, name in enumerate(names)])
        catalog.put([Download(f"http://s/{name}", "ok", sha256=name) for name in names[:8]])
        catalog.put([Verdict(name, "cat", "check", "keep") for name in "acdef"])
        catalog.put(
            [
                Verdict("b", "cat", "check", "flag", "too_dark"),
                Verdict("h", "cat", "check", "flag", "too_bright"),
                Verdict("c", "cat", "curate", "flag", "off_topic"),
                Verdict("d", "cat", "curate", "drop", "off_topic"),
                Verdict("e", "cat", "curate", "flag", "label_issue"),
                Verdict("f", "cat", "near_copy", "drop", "edited_copy"),
                Verdict("g", "cat", "decode", "drop", "truncated"),
            ]
        )
        catalog.put([Override("e", "cat", "relabel", "dog"), Override("a", "cat", "keep")])
        state = class_progress(catalog, ["cat", "dog"])
        seen = ReviewData(workspace, config, catalog).overview()
        collected = read_collection_stats(catalog, config.classes).by_class
    cat = state["cat"]
    assert (cat.found, cat.waiting, cat.clean, cat.kept) == (9, 1, 6, 4)
    assert (cat.judged, cat.to_review, cat.decided) == (8, 3, 2)
    assert (state["dog"].kept, state["dog"].decided) == (1, 0)
    rows = {
        line.split()[0]: line.split("│")
        for line in status_text(read_status(workspace, config)).splitlines()[:4]
        if "│" in line
    }
    assert [int(cell) for cell in rows["cat"][1:6]] == [9, 6, 4, 3, 2]
    assert seen[0] == {"label": "cat", "negatives": False, "pictures": 8, "waiting": 3, "decided": 2}
    assert [(progress.found, progress.waiting, progress.kept) for progress in collected.values()] == [
        (9, 1, 4),
        (0, 0, 1),
    ]


def test_the_status_says_that_the_live_model_is_gone(tmp_path) -> None:
    workspace, config = open_workspace(tmp_path, ["cat", "dog"])
    record_decision(workspace, Decision("r1", "published", "r1", "the first model", "2026-11-26T00:00:00Z"))
    assert "runs/r1/model holds no model any more, so nothing can answer; " in status_text(
        read_status(workspace, config)
    ).replace("\n", "")


def test_the_status_says_what_waits_in_the_inbox(tmp_path) -> None:
    workspace, config = open_workspace(tmp_path, ["cat", "dog"])
    for name in ("cat/1.png", "Cat/2.png", "teddy bear/3.png"):
        file = workspace.inbox / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not looked at")
    status = read_status(workspace, config)
    assert status.notes["inbox"][0].startswith("2 files not taken in yet (cat 2); to take in: collect-and-train watch")
    assert "match no class: teddy bear" in status.notes["inbox"][1]
    inbox.run(workspace, config.model_copy(update={"retrain": config.retrain.model_copy(update={"settle_s": 0})}))
    assert len(read_status(workspace, config).notes["inbox"]) == 1


def test_the_status_says_what_the_service_has_kept(tmp_path) -> None:
    workspace, config = open_workspace(tmp_path, ["cat", "dog"])
    assert "unlabelled" not in status_text(read_status(workspace, config))
    facts = {"sha256": "0" * 64, "suffix": ".png", "bytes": 4, "kept_at": "2026-01-01", "run_id": "r1", "best": "cat"}
    KeptPictures(workspace).keep(KeptPicture(version=1, probability=0.4, **facts), b"data", Limits(9, 99))
    assert "unlabelled      1 picture that the service kept: collect-and-train review -w" in status_text(
        read_status(workspace, config)
    )


def test_status_and_the_estimate_before_a_step_load_no_heavy_library() -> None:
    code = "import sys, cli.status, flows.timing.estimate; print({'torch', 'sklearn', 'prefect'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
