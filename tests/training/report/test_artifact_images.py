"""Pictures inside Prefect's Markdown: small, whole, and with nothing of a stranger's words as markup."""

import base64
import re
import xml.etree.ElementTree as ElementTree

from training.report.artifact_images import history_chart
from training.report.history import history_markdown, history_table
from workspace.storage.champion import Decision, record_decision
from workspace.storage.paths import Workspace


def decision(run_id: str, action: str, champion: str, accuracy: float, **more: object) -> Decision:
    return Decision(run_id, action, champion, "why | not", "2026-11-25T00:00:00+00:00", {
        "test_n": 40, "test_accuracy": accuracy, **more,
    })  # fmt: skip


def test_the_history_has_a_row_per_decision_and_a_chart_from_two_on(tmp_path) -> None:
    place = Workspace(tmp_path)
    record_decision(place, decision("a", "published", "a", 0.8))
    assert "data:" not in history_markdown(place)
    compared = {"pictures": 40, "challenger_right": 30, "champion_right": 33}
    record_decision(place, decision("b", "kept_champion", "a", 0.7, **compared))
    record_decision(place, decision("c", "published", "c", 0.9, **compared))
    text = history_markdown(place)
    assert text.count(r": why \| not") == 3
    assert text.count("30 to 33 of 40") == 2
    assert [line.split("|")[2].strip() for line in text.splitlines() if "| 2026" in line] == ["a", "b", r"c \*"]
    assert "not published" in history_table(place)
    address = re.search(
        r"!\[Test accuracy by decision: 0.800, 0.700, 0.900\]\(data:image/svg\+xml;base64,(\S+)\)", text
    )
    assert address is not None
    svg = ElementTree.fromstring(base64.b64decode(address[1]))
    lines = [one.attrib["points"].split() for one in svg.iter() if one.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [3, 3]
    heights = [[float(point.split(",")[1]) for point in points] for points in lines]
    assert heights[1][0] == heights[1][1] > heights[1][2]  # the live model: 0.8, 0.8, then 0.9, which is higher up


def test_decisions_without_numbers_make_no_chart() -> None:
    assert history_chart([Decision("a", "rolled_back", "a", "", "")] * 3) == ""
