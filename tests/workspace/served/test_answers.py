"""The counts of the latest answers: a rolling window of one model, as a small file."""

import pytest

from workspace.errors import WorkspaceError
from workspace.served.answers import AnswersFile, AnswerWindow

CLASSES = ("ape", "bee")


def test_the_window_forgets_the_oldest_and_reads_back_what_it_wrote(tmp_path) -> None:
    file = tmp_path / "answers.json"
    window = AnswerWindow(file, "r1", CLASSES, 100)
    for number in range(300):
        window.add("ape" if number < 250 else "bee", number / 300, number / 150, number % 2 == 0)
    tally = window.tally()
    assert 95 <= tally.n <= 100 and tally.classes[1] == 50
    assert tally.none == tally.n // 2
    assert tally.confidence[:30].sum() == 0 and tally.distance[:60].sum() == 0  # the oldest have gone
    window.save()
    assert AnswersFile.read(file).tally().classes.tolist() == tally.classes.tolist()
    assert file.stat().st_size < 50_000
    again = AnswerWindow(file, "r1", CLASSES, 100)
    again.add("bee", 1.0, None, False)
    assert again.tally().n == tally.n + 1 or again.tally().n == tally.n - 4
    assert again.tally().confidence[-1] >= 1 and again.tally().distance.sum() < again.tally().n


def test_another_model_begins_a_new_window_and_a_damaged_file_too(tmp_path, caplog) -> None:
    file = tmp_path / "answers.json"
    window = AnswerWindow(file, "r1", CLASSES, 100)
    window.add("ape", 0.5, None, False)
    window.save()
    assert AnswerWindow(file, "r1", CLASSES, 100).tally().n == 1
    assert AnswerWindow(file, "r2", CLASSES, 100).tally().n == 0
    assert AnswerWindow(file, "r1", ("ape", "cow"), 100).tally().n == 0
    file.write_text("{")
    assert AnswerWindow(file, "r1", CLASSES, 100).tally().n == 0
    assert "its counts are lost" in caplog.text


def test_counts_that_could_not_be_written_are_written_by_the_next_save(tmp_path) -> None:
    folder = tmp_path / "served"
    folder.write_text("in the way")
    window = AnswerWindow(folder / "answers.json", "r1", CLASSES, 100)
    window.add("ape", 0.5, None, False)
    with pytest.raises(WorkspaceError):
        window.save()
    folder.unlink()
    window.save()
    assert AnswersFile.read(folder / "answers.json").tally().n == 1
    stamp = (folder / "answers.json").stat().st_ino
    window.save()
    assert (folder / "answers.json").stat().st_ino == stamp  # nothing new: not written again
