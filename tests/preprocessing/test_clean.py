import functools
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from preprocessing import clean
from preprocessing.extract_facts import ExtractionJob, extract_all, extract_facts
from preprocessing.images.pixel_cache import PixelCache
from workspace.catalog.records import ImageFacts, Verdict
from workspace.errors import WorkspaceError
from workspace.storage.image_store import ImageStore

CRASHER = '''
import os
from preprocessing.extract_facts import extract_facts

def crash_on(doomed, job):
    """Stands in for a decoder that takes its whole process down."""
    if job.sha256 in doomed:
        os._exit(11)
    return extract_facts(job)
'''


def verdicts(collected) -> dict[tuple[str, str], tuple[str, str]]:
    with collected.workspace.open_catalog() as catalog:
        rows = catalog.all(Verdict)
    last = {}
    for row in sorted(rows, key=lambda row: clean.STAGES.index(row.stage)):
        last[row.sha256, row.label] = (row.verdict, row.reason)
    return last


def everything(collected) -> tuple[list[ImageFacts], list[Verdict]]:
    with collected.workspace.open_catalog() as catalog:
        return catalog.all(ImageFacts), catalog.all(Verdict)


def test_every_fault_gets_its_reason_and_honest_pictures_stay(collected, picture, encode) -> None:
    image = picture(1, 200, 150)
    data = encode(image)
    expected = {
        (collected.add(data, "a"), "a"): ("keep", ""),
        (collected.add(encode(image, "BMP"), "a"), "a"): ("keep", ""),  # less compressed: it stays, the PNG goes
        (collected.add(encode(image.resize((100, 75)), "JPEG", quality=60), "a"), "a"): ("drop", "near_copy"),
        (collected.add(encode(image.transpose(0), "JPEG", quality=80), "a"), "a"): ("drop", "mirrored_copy"),
        (collected.add(encode(picture(2, 90, 40)), "a"), "a"): ("drop", "too_small"),
        (collected.add(encode(picture(3, 700, 70)), "a"), "a"): ("drop", "extreme_aspect"),
        (collected.add(encode(picture(4).point(lambda _: 90)), "b"), "b"): ("drop", "blank"),
        (collected.add(data[:-300], "b"), "b"): ("drop", "truncated"),
        (collected.add(b"<html>gone</html>", "b"), "b"): ("drop", "not_an_image"),
        (collected.add(encode(picture(5)), "b"), "b"): ("keep", ""),
    }
    expected[next(iter(expected))] = ("drop", "same_pixels")
    collected.add(data, "a")  # the same bytes under another url
    counts = clean.run(collected.workspace, collected.config())
    assert verdicts(collected) == expected
    assert counts.done == 10
    assert dict(counts.by_reason) == {
        "kept": 2, "same_bytes": 1, "not_an_image": 1, "truncated": 1, "too_small": 1, "extreme_aspect": 1,
        "blank": 1, "same_pixels": 1, "near_copy": 1, "mirrored_copy": 1, "flagged blurred": 2,
    }  # fmt: skip


def test_a_second_run_does_nothing_and_says_so(collected, picture, encode) -> None:
    for seed in range(4):
        collected.add(encode(picture(seed)), "a")
    collected.add(b"<html>", "a")
    first = clean.run(collected.workspace, collected.config())
    before = everything(collected)
    again = clean.run(collected.workspace, collected.config())
    assert (first.done, first.reused, again.done, again.reused) == (5, 0, 0, 5)
    assert again.by_reason == first.by_reason
    assert everything(collected) == before


def test_changed_limits_judge_anew_without_decoding(collected, picture, encode, monkeypatch) -> None:
    small, large = collected.add(encode(picture(1, 90, 80)), "a"), collected.add(encode(picture(2, 200, 200)), "a")
    clean.run(collected.workspace, collected.config())
    assert {verdict for verdict, _ in verdicts(collected).values()} == {"keep"}
    monkeypatch.setattr("preprocessing.images.decode.Image.open", None)
    clean.run(collected.workspace, collected.config(clean={"min_side_px": 100}))
    assert verdicts(collected) == {(small, "a"): ("drop", "too_small"), (large, "a"): ("keep", "")}
    clean.run(collected.workspace, collected.config(clean={"max_megapixels": 0.01}))
    assert verdicts(collected) == {(small, "a"): ("keep", ""), (large, "a"): ("drop", "too_many_pixels")}


def test_a_raised_pixel_limit_brings_refused_pictures_back(collected, picture, encode) -> None:
    sha = collected.add(encode(picture(1, 200, 200)), "a")
    strict, wide = collected.config(clean={"max_megapixels": 0.01}), collected.config()
    assert clean.run(collected.workspace, strict).by_reason["too_many_pixels"] == 1
    assert clean.run(collected.workspace, strict).done == 0
    assert clean.run(collected.workspace, wide).done == 1
    assert verdicts(collected) == {(sha, "a"): ("keep", "")}


@pytest.mark.parametrize(
    ("rank_a", "rank_b", "kept"), [(0, 10, "a"), (15, 5, "b"), (0, 9, None), (9, 0, None), (3, 3, None)]
)
@pytest.mark.parametrize("copy", ["same bytes", "half size"])
def test_a_picture_under_two_labels(collected, picture, encode, rank_a, rank_b, kept, copy) -> None:
    image = picture(1, 200, 150)
    first = collected.add(encode(image), "a", rank=rank_a)
    other = encode(image) if copy == "same bytes" else encode(image.resize((100, 75)))
    second = collected.add(other, "b", rank=rank_b)
    counts = clean.run(collected.workspace, collected.config())
    got = verdicts(collected)
    assert got[first, "a"] == (("keep", "") if kept == "a" else ("drop", "two_labels"))
    assert got[second, "b"] == (("keep", "") if kept == "b" else ("drop", "two_labels"))
    assert counts.by_reason["two_labels"] == (2 if kept is None else 1)


def test_the_best_of_several_ranks_counts(collected, picture, encode) -> None:
    data = encode(picture(1))
    for label, rank in (("a", 12), ("b", 1), ("b", 40)):
        sha = collected.add(data, label, rank=rank)
    clean.run(collected.workspace, collected.config())
    assert verdicts(collected) == {(sha, "a"): ("drop", "two_labels"), (sha, "b"): ("keep", "")}


def test_copies_and_original_share_a_group(collected, picture, encode) -> None:
    image = picture(1, 200, 150)
    best = collected.add(encode(image), "a", license="by")
    copy = collected.add(encode(image.resize((150, 112))), "a")
    alone = collected.add(encode(picture(2)), "a")
    clean.run(collected.workspace, collected.config())
    groups = {row.sha256: row.group for row in everything(collected)[1] if row.stage == "copy"}
    assert groups == {best: best, copy: best, alone: ""}


def test_a_label_that_left_the_config_takes_no_part(collected, picture, encode) -> None:
    image = encode(picture(1))
    sha = collected.add(image, "old", rank=0)
    collected.add(image, "a", rank=0)
    config = collected.config()
    config = config.model_copy(update={"classes": {"a": ("a",), "b": ("b",)}})
    clean.run(collected.workspace, config)
    assert verdicts(collected) == {(sha, "a"): ("keep", "")}


def test_a_file_that_is_gone_is_told_and_comes_back(collected, picture, encode) -> None:
    data = encode(picture(1))
    lost, there = collected.add(data, "a"), collected.add(encode(picture(2)), "a")
    path = collected.workspace.root / ImageStore(collected.workspace).key(lost)
    path.rename(path.with_name("elsewhere"))
    counts = clean.run(collected.workspace, collected.config())
    assert verdicts(collected) == {(there, "a"): ("keep", "")}
    assert (counts.done, len(counts.notes)) == (1, 1)
    path.with_name("elsewhere").rename(path)
    assert clean.run(collected.workspace, collected.config()).done == 1
    assert verdicts(collected)[lost, "a"] == ("keep", "")


def test_after_a_kill_only_the_rest_is_examined(collected, picture, encode, monkeypatch) -> None:
    for seed in range(6):
        collected.add(encode(picture(seed)), "a")
    examined: list[str] = []

    def dies_at_the_fourth(job: ExtractionJob) -> ImageFacts:
        if len(examined) == 4:
            raise KeyboardInterrupt
        examined.append(job.sha256)
        return extract_facts(job)

    monkeypatch.setattr(clean, "BATCH", 2)
    monkeypatch.setattr("preprocessing.extract_facts.extract_all", lambda jobs, _clean: map(dies_at_the_fourth, jobs))
    with pytest.raises(KeyboardInterrupt):
        clean.run(collected.workspace, collected.config())
    monkeypatch.undo()
    counts = clean.run(collected.workspace, collected.config())
    assert (counts.done, counts.reused, counts.by_reason["kept"]) == (2, 4, 6)
    halfway = everything(collected)
    shutil.rmtree(collected.workspace.cache)
    collected.workspace.catalog_file.rename(collected.workspace.root / "old")
    for seed in range(6):
        collected.ranks = {} if seed == 0 else collected.ranks
        collected.add(encode(picture(seed)), "a")
    clean.run(collected.workspace, collected.config())
    assert everything(collected) == halfway


def test_many_files_over_processes_give_what_one_process_gives(collected, picture, encode) -> None:
    for seed in range(12):
        collected.add(encode(picture(seed, 80, 70)), "a")
    config = collected.config(clean={"workers": 2})
    assert clean.run(collected.workspace, config).by_reason["kept"] == 12
    facts = everything(collected)[0]
    with ImageStore(collected.workspace).staged([one.sha256 for one in facts]) as files:
        jobs = [
            ExtractionJob(one.sha256, collected.workspace, config.clean, file)
            for one, file in zip(facts, files, strict=True)
        ]
        assert [extract_facts(job) for job in jobs] == facts
    cache = PixelCache(collected.workspace, config.clean)
    assert all(one.sha256 in cache for one in facts)


KILLED = """
import functools, os, pathlib, sys, time
import preprocessing.extract_facts
from preprocessing import clean
from preprocessing.extract_facts import extract_all, extract_facts
from workspace.config.model import load_config
from workspace.storage.paths import Workspace

root = pathlib.Path(sys.argv[1])

def slow(job):
    root.joinpath(f"worker-{os.getpid()}").touch()
    root.joinpath(f"begun-{job.sha256}").touch()
    while len([*root.glob("begun-*")]) > 10 and not root.joinpath("killed").exists():
        time.sleep(0.02)
    return extract_facts(job)

if __name__ == "__main__":
    clean.BATCH = 2
    preprocessing.extract_facts.extract_all = functools.partial(extract_all, extract_one=slow)
    clean.run(Workspace(root), load_config(root / "workspace.toml"))
"""


def test_kill_9_in_mid_work_loses_a_batch_and_leaves_no_worker_behind(collected, picture, encode, tmp_path) -> None:
    for seed in range(40):
        collected.add(encode(picture(seed, 80, 70)), "ab"[seed % 2])
    root = collected.workspace.root
    collected.workspace.config_file.write_text(
        '[classes]\na = "a"\nb = "b"\n[clean]\nworkers = 2\ndecoder_timeout_s = 170\n'
    )
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    paths = os.pathsep.join(sys.path)
    with subprocess.Popen([sys.executable, script, root], env={**os.environ, "PYTHONPATH": paths}) as process:
        try:
            while len(everything(collected)[0]) < 6:
                assert process.poll() is None
                time.sleep(0.02)
        finally:
            process.kill()
            (root / "killed").touch()
    workers = [int(path.name.removeprefix("worker-")) for path in root.glob("worker-*")]
    deadline = time.monotonic() + 60
    while any(command_line(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)
    done = len(everything(collected)[0])
    counts = clean.run(collected.workspace, collected.config(clean={"workers": 2}))
    assert 6 <= done < 40
    assert (counts.done, counts.reused, counts.by_reason["kept"]) == (40 - done, done, 40)


def command_line(pid: int) -> bytes:
    """Empty when there is no such process, or only its zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
def crash_on(tmp_path, monkeypatch):
    (tmp_path / "crasher_for_test.py").write_text(CRASHER)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("crasher_for_test").crash_on
    del sys.modules["crasher_for_test"]


def test_a_decoder_that_crashes_takes_only_its_own_picture(collected, picture, encode, monkeypatch, crash_on) -> None:
    shas = [collected.add(encode(picture(seed, 80, 70)), "a") for seed in range(14)]
    doomed = {shas[0], shas[7]}
    one_crashes = functools.partial(extract_all, extract_one=functools.partial(crash_on, doomed))
    monkeypatch.setattr("preprocessing.extract_facts.extract_all", one_crashes)
    counts = clean.run(collected.workspace, collected.config(clean={"workers": 2}))
    assert dict(counts.by_reason) == {"kept": 12, "same_bytes": 0, "decoder_crashed": 2}
    assert Counter(one.error for one in everything(collected)[0]) == {"": 12, "decoder_crashed": 2}
    assert {sha for (sha, _), (_, reason) in verdicts(collected).items() if reason == "decoder_crashed"} == doomed


def test_a_cache_that_cannot_be_written_stops_the_step_with_a_remedy(collected, picture, encode) -> None:
    collected.add(encode(picture(1)), "a")
    collected.workspace.cache.write_text("in the way")
    with pytest.raises(WorkspaceError, match="run the same command again"):
        clean.run(collected.workspace, collected.config())


def test_an_empty_catalogue_is_clean(collected) -> None:
    counts = clean.run(collected.workspace, collected.config())
    assert (counts.done, dict(counts.by_reason)) == (0, {"kept": 0, "same_bytes": 0})


UNGUARDED = """
import sys
from pathlib import Path
from preprocessing import clean
from workspace.config.model import WorkspaceConfig
from workspace.storage.paths import Workspace
clean.run(Workspace(Path(sys.argv[1])), WorkspaceConfig.model_validate({"classes": {"a": "a", "b": "b"}}))
"""


def test_a_script_that_cannot_start_processes_is_told_why_and_no_file_is_blamed(
    collected, picture, encode, tmp_path
) -> None:
    for seed in range(3):
        collected.add(encode(picture(seed)), "a")
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, script, collected.workspace.root], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode != 0
    assert "if __name__ == '__main__':" in done.stderr
    assert everything(collected) == ([], [])
