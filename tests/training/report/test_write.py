"""The page holds what the catalogue and the run hold, and nothing that strangers wrote becomes markup."""

import base64
import io
import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image
from safetensors.numpy import save_file

from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.held_out import Fitted
from training.evaluation.metrics_json import measure, worst_mistakes
from training.evaluation.predictions import predict_splits
from training.fit.regime import THRESHOLDS
from training.inference.classifier import Outputs
from training.network.views import PRESETS, Augmenter, sheet
from training.report import write as report
from training.report.charts import line_chart, nice_ticks
from training.report.explained import stage_titles
from training.report.thumbnails import jpeg_data_url
from training.stats.calibration import Calibration
from training.stats.folds import OutOfFold
from training.stats.ood import fit_limits
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Sample, Search, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.config.train import AugmentConfig
from workspace.errors import ModelError
from workspace.files.atomic import write_atomic, write_json
from workspace.licenses import license_title, web_address
from workspace.progress import SILENT
from workspace.storage.dataset import dataset_bytes
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import Workspace

LABELS = ("고양이", "كلب", "<b>bold")
HOSTILE = "\"><script>alert(1)</script><img src=http://evil.test/x.png onerror='alert(2)'>"
PICTURES = 14  # per class and kept
AUGMENTER = Augmenter(PRESETS["strong"], AugmentConfig(flip=False), 96)  # of none of the settings that hold here


class Fixed:
    """Right on two of three test pictures."""

    classes = tuple(sorted(LABELS))

    def outputs(self, pictures):
        rows = np.full((len(pictures), 3), 0.1, dtype=np.float32)
        for row, picture in zip(rows, pictures, strict=True):
            place, wrong = int(picture[0, 0, 0]), int(picture[0, 0, 1])
            row[(place + wrong) % 3] = 0.8
        return Outputs(np.ones((len(rows), 4), np.float32), np.log(rows))


class Made:
    """A workspace after evaluate, with every kind of outcome in its catalogue."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root / "ws")
        self.config = WorkspaceConfig.model_validate(
            {"classes": {label: label for label in LABELS}, "evaluate": {"bootstrap": 100}}
        )
        self.folder = self.workspace.run("r1")
        self.workspace.point_to("r1")
        self.cache = PixelCache(self.workspace, self.config.clean)
        self.samples: list[Sample] = []
        self.number = 0
        self.rows: dict[type, list] = {kind: [] for kind in (Hit, Download, ImageFacts, Verdict, Search)}
        for label in LABELS:
            self._collect(label)
        with self.workspace.open_catalog() as catalog:
            for rows in self.rows.values():
                catalog.put(rows)
        write_atomic(self.folder.dataset_file, dataset_bytes(self.samples))
        write_atomic(
            self.folder.config_file,
            b'seed = 0\n[classes]\na = "a"\nb = "b"\n[network]\n# words\ncontact = "me@home.test"\n',
        )
        self.card()
        self.measure()

    def put(self, *rows: object) -> None:
        for row in rows:
            self.rows[type(row)].append(row)

    def found(self, label: str, status: str = "ok", reason: str = "", **hit: str) -> str:
        self.number += 1
        sha = f"{self.number:064x}"
        url = f"http://pictures.test/{self.number}"
        self.put(Hit(label, label, "t", self.number, url, found_at="2026-11-24T10:00:00Z", **hit))
        self.put(Download(url, status, reason, sha256=sha if status == "ok" else ""))
        return sha

    def picture(self, sha: str, *marks: int) -> None:
        pixels = np.random.default_rng(int(sha, 16)).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        pixels[0, 0, : len(marks)] = marks
        self.cache.write(sha, pixels)

    def drop(self, label: str, stage: str, reason: str, group: str = "") -> str:
        sha = self.found(label, title=HOSTILE, page_url="javascript:alert(3)")
        error = reason if stage == "decode" else ""
        self.put(ImageFacts(sha, error=error, detail="cut <off>" if error else ""))
        self.put(Verdict(sha, label, stage, "drop", reason, 0.0, group))
        if not error:
            self.picture(sha)
        return sha

    def _collect(self, label: str) -> None:
        place = Fixed.classes.index(label)
        for k in range(PICTURES):
            sha = self.found(label, title=HOSTILE, page_url=f"https://pages.test/{self.number}")
            self.put(ImageFacts(sha), Verdict(sha, label, "check", "keep"))
            split = "train" if k < 6 else "val" if k < 8 else "test"
            self.picture(sha, place, int(split == "test" and k % 3 == 0))
            page, licence = (
                f"https://pages.test/{self.number}",
                "javascript:alert(4)" if k else "https://x.test/by/2.0/",
            )
            names = ("t", label, f"http://pictures.test/{self.number}", page, HOSTILE, HOSTILE, "by", licence, HOSTILE)
            self.samples.append(Sample(sha, label, split, "", f"images/{sha}.jpg", *names, width=120, height=90))
        kept = self.samples[-1].sha256
        for _ in range(3):
            self.drop(label, "decode", "truncated")
        self.drop(label, "check", "blank")
        for _ in range(30):
            self.drop(label, "copy", "near_copy", kept)
        self.drop(label, "check", "a_reason_of_tomorrow")
        self.found(label, "failed", "http_404")
        self.found(label, "refused", "private_address")
        self.put(Search(label, HOSTILE, "t", "failed", reason="blocked", detail="HTTP 403", asked_at="now"))

    def card(self, **changes: object) -> None:
        card = {
            "format": 2,
            "classes": list(Fixed.classes),
            "backbone": "resnet50",
            "requested_backbone": "resnet50",
            "fallback_reason": "",
            "weights": "imagenet",
            "weights_source": "a file",
            "input": {"resize_px": 256, "crop_px": 224, "mean": [0.5] * 3, "std": [0.5] * 3},
            "cache_side_px": 256,
            "augmentation": AUGMENTER.record(seed=7, views=3).model_dump(),
            "chosen": "finetuned",
            "why": "better",
            "trained_on": {"train": 18, "val": 6},
            "seed": 7,
            "versions": {"torch": "2.14.1"},
            **changes,
        }
        write_json(self.folder.model / "card.json", card)
        epochs = [
            {"epoch": k, "loss": 1 / k, "val_loss": 1.1 / k, "val_accuracy": 1 - 0.5 / k, "lr": 0.01} for k in (1, 2, 3)
        ]
        head = {"C": 0.01, "stages": None, "views": 1, "val_accuracy": 0.8, "val_loss": 0.6, "n_train": 18}
        write_json(self.folder.root / "history.json", {"head": head, "finetune": epochs})

    def measure(self, held_out: OutOfFold | None = None, fitted: Fitted | None = None) -> None:
        splits = ("test",) if held_out else ("test", "val")
        predictions = predict_splits(Fixed(), self.cache, self.samples, splits, SILENT)
        measure(self.config, Fixed.classes, self.samples, predictions, held_out, fitted).write(self.folder.metrics_file)

    def report(self) -> BeautifulSoup:
        report.run(self.workspace, self.config)
        return BeautifulSoup(self.folder.report_file.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_nothing_of_strangers_becomes_markup(made):
    page = made.report()
    assert page.find_all("script") == [] and "<b>bold" in page.h1.text
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert {
        re.match(r"[a-z]+:|#", link["href"]).group()
        for link in page.select('a:not([href="credits.html"], [href="ATTRIBUTION.csv"])')
    } <= {"http:", "https:", "#"}
    assert HOSTILE in page.find(id="credit-list").text  # it is there, as text


def test_the_page_loads_nothing(made):
    page = made.report()
    assert {image["src"][:23] for image in page.find_all("img")} == {"data:image/jpeg;base64,"}
    assert page.find_all(["link", "iframe", "object", "embed", "video", "audio", "source", "base", "form"]) == []
    assert "url(" not in page.style.text and "@import" not in page.style.text
    assert "default-src 'none'" in page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]


def test_pictures_have_words_tables_have_heads_and_anchors_lead_somewhere(made):
    page = made.report()
    assert all(image["alt"] for image in page.find_all("img"))
    assert all(table.find("th", scope="col") for table in page.find_all("table"))
    assert all(svg["aria-label"] for svg in page.find_all("svg")) and len(page.find_all("svg")) == 2
    identifiers = [tag["id"] for tag in page.find_all(id=True)]
    assert len(identifiers) == len(set(identifiers))
    assert {link["href"][1:] for link in page.find_all("a", href=re.compile("^#"))} <= set(identifiers)


def test_the_counts_are_the_catalogues(made):
    rows = {
        row.th.text: [cell.text for cell in row.find_all("td")]
        for row in made.report().find(id="counts").find_all("tr")[1:]
    }
    with made.workspace.open_catalog() as catalog:
        found = Counter(hit.label for hit in catalog.all(Hit))
        dropped = Counter(row.label for row in catalog.all(Verdict) if row.verdict == "drop")
        kept = Counter(label for _, label in catalog.kept())
    for label in LABELS:
        expected = (found[label], found[label] - 2, dropped[label], kept[label], 6, 2, PICTURES - 8)
        assert rows[label] == [str(number) for number in expected]
    assert rows["all"][0] == str(found.total()) and rows["all"][4:] == ["18", "6", "18"]


def test_every_reason_has_its_count_and_the_table_adds_up(made):
    table = made.report().find(id="reasons")
    rows = {row.th.find(string=True): [cell.text for cell in row.find_all("td")] for row in table.find_all("tr")[1:]}
    assert rows["truncated"] == ["9", "3", "3", "3"] and rows["near copy"] == ["90", "30", "30", "30"]
    assert rows["failed: http 404"] == ["3", "1", "1", "1"] and rows["a reason of tomorrow"][0] == "3"
    total = [int(cells[0]) for name, cells in rows.items() if cells and name != "found"]
    assert sum(total) == int(rows["found"][0])


def test_limits_are_kept_and_said(made):
    page = made.report()
    assert "60 of 105 shown" in page.text and "14 of 14 shown" in page.text
    headings = " ".join(heading.text for heading in page.find_all("h3"))
    assert "3 of 3 shown" in headings and "of 90 shown" in headings  # the rare reasons are not crowded out
    assert made.folder.report_file.stat().st_size < 6e6


def test_a_dropped_file_without_pixels_tells_why_and_a_copy_stands_beside_what_stays(made):
    page = made.report()
    nothing = page.find_all(class_="nothing")
    assert len(nothing) == 9 and "cut <off>" in nothing[0].parent.text
    assert nothing[0]["href"].startswith("http://pictures.test/")  # not the javascript: page
    pairs = [pair for pair in page.find_all(class_="pair") if "kept" in pair.text]
    assert pairs and all(len(pair.find_all("img")) == 2 for pair in pairs)


def test_the_matrix_leads_to_its_pictures(made):
    page = made.report()
    metrics = json.loads(made.folder.metrics_file.read_text())["splits"]["test"]
    cells = [cell.text for cell in page.find(class_="matrix").tbody.find_all("td")]
    assert [int(cell) for cell in cells] == [count for row in metrics["confusion"] for count in row]
    wrong = [row for row in metrics["predictions"] if row["label"] != row["predicted"]]
    link = page.find(class_="matrix").find(class_="wrong").a["href"]
    assert len(page.find(id=link[1:]).find_all("img")) == int(page.find(class_="matrix").find(class_="wrong").text)
    mistakes = page.find(id="mistakes").find_next(class_="sheet")
    assert len(mistakes.find_all("figure")) == len(wrong) == 6
    assert "80\u00a0%" in mistakes.text and mistakes.find("a")["href"].startswith("https://pages.test/")


def test_every_picture_is_credited(made):
    rows = made.report().find(id="credit-list").tbody.find_all("tr")
    assert len(rows) == len(made.samples)
    assert {row.a["href"] for row in rows} == {one.page_url for one in made.samples}
    assert [row.text for row in rows if "CC BY 2.0" in row.text] and all(HOSTILE in row.text for row in rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "random"}, "RANDOM WEIGHTS, so the accuracy of this run means nothing"),
        (
            {"backbone": "efficientnet_lite0", "fallback_reason": "no <file>"},
            "efficientnet_lite0 was used in place of resnet50: no <file>",
        ),
    ],
)
def test_what_makes_the_numbers_doubtful_is_the_first_line(made, changes, words):
    made.card(**changes)
    page = made.report()
    assert words in next(page.body.stripped_strings)
    readme = (made.folder.model / "README.md").read_text()
    assert words.partition(" no ")[0].replace("_", r"\_") in readme.split("---\n\n")[1].split("\n\n")[1]


def test_the_first_line_has_classes_accuracy_and_interval(made):
    test = json.loads(made.folder.metrics_file.read_text())["splits"]["test"]
    heading = made.report().h1.text
    low, high = test["accuracy"]["interval"]
    assert all(label in heading for label in LABELS) and "66.7 %" in heading
    assert f"{100 * low:.0f} to {100 * high:.0f} %" in heading


def test_the_cleaned_test_stands_beside_the_whole_one(made: Made) -> None:
    metrics = json.loads(made.folder.metrics_file.read_text())
    test = metrics["splits"]["test"]
    metrics["test_cleaned"] = {key: test[key] for key in ("n", "accuracy", "balanced_accuracy", "macro_f1")}
    write_json(made.folder.metrics_file, metrics)
    report.run(made.workspace, made.config)
    assert "test, cleaned" in made.folder.report_file.read_text()


def _cross_validated(made: Made) -> None:
    """Out-of-fold answers of which every fifth is wrong, a calibration, a map for each mistake, and a regime."""
    samples = tuple(one for one in made.samples if one.split != "test")
    labels = np.array([Fixed.classes.index(one.label) for one in samples])
    logits = np.zeros((len(samples), 3), np.float32)
    logits[np.arange(len(samples)), (labels + (np.arange(len(samples)) % 5 == 0)) % 3] = 4
    held_out = OutOfFold(tuple(one.sha256 for one in samples), labels, logits, np.arange(len(samples)) % 3)
    probability = held_out.probabilities(np.array(held_out.sha256)).max(1)
    distance = np.linspace(0.1, 0.5, len(samples), dtype=np.float32)
    limits = tuple(fit_limits(probability, distance, share) for share in (0.95, 0.8))
    setting = np.arange(len(samples)) != 1  # the second lies far out of its class
    calibration = Calibration(1.5, limits, np.ones((5, 4), np.float16), len(samples))
    fitted = Fitted(calibration, probability, distance, setting)
    made.measure(held_out, fitted)
    metrics = json.loads(made.folder.metrics_file.read_text())
    wrong = worst_mistakes(Metrics.read(made.folder.metrics_file).leading)
    metrics["gradcam"] = [{"sha256": one.sha256, "label": one.predicted, "map": [[0, 1], [0, 0]]} for one in wrong]
    write_json(made.folder.metrics_file, metrics)
    found = {
        "smallest": 8,
        "per_class": 8,
        "probes": {"layer4": 0.8, "<b>": 0.7},
        "probe_errors": {"layer4": 0.1, "<b>": 0},
    }
    found |= {"neighbour": 0.5, "source_head": None, "doubling_gain": 0.1}
    regime = {"regime": "frozen", "number": 4, "why": "few & alike", "otherwise": ["with more: other"]}
    regime |= {"by_setting": False, "opens_stage_before_last": False, "thresholds": asdict(THRESHOLDS)}
    write_json(made.folder.regime_file, regime | {"diagnosis": found})


def test_where_pictures_are_few_cross_validation_leads_and_says_what_the_test_is_worth(made):
    _cross_validated(made)
    page = made.report()
    assert "79.2 % of 24 pictures right in cross-validation" in page.h1.text  # 5 of 24 are wrong
    assert "of 18 frozen test pictures" in page.find(class_="numbers").text and "standard error" in page.text
    assert sum(int(cell.text) for cell in page.find(class_="matrix").tbody.find_all("td")) == 24
    mistakes = page.find(id="mistakes").find_next(class_="mistakes").find_all(class_="mistake")
    assert len(mistakes) == 5 and all(len(one.find_all("img")) == 2 for one in mistakes)
    rows = page.find(id="coverage").tbody.find_all("tr")
    assert [row.th.text.split()[0] for row in rows] == ["95", "80"] and "(default)" in rows[0].text
    assert (
        len(page.find_all("svg", class_="square")) == 2
        and "too high" in page.find(id="calibration").find_next("p").text
    )
    assert "linear probe on the last stage" in page.find(id="regime").text and "with more: other" in page.text
    assert "layer4" not in page.text  # the name that training gives it, whatever the network calls it
    (always,) = [row for row in page.find_all("tr") if row.th and row.th.text.startswith("always answering")]
    assert [cell.text for cell in always.find_all("td")] == ["33.3 %", "", "33.3 %", ""]
    identifiers = [tag["id"] for tag in page.find_all(id=True)]
    assert {link["href"][1:] for link in page.find_all("a", href=re.compile("^#"))} <= set(identifiers)
    card = (made.folder.model / "README.md").read_text(encoding="utf-8")
    assert "rely on the cross-validation" in card and "temperature 1.50" in card and 'answers "none"' in card
    table = [line for line in card.splitlines() if line.startswith(("| accuracy", "| log-loss", "| measure"))]
    assert {line.count("|") for line in table} == {6}


def test_a_mistake_that_predict_would_refuse_is_no_answer(made):
    _cross_validated(made)
    lead = Metrics.read(made.folder.metrics_file).leading
    wrong = worst_mistakes(lead)
    metrics = json.loads(made.folder.metrics_file.read_text())
    far = metrics["rejection"]["held_out_distance"]
    assert len(far) == len(lead.predictions) == len(metrics["rejection"]["own_scores"]["distance"]) + 1
    place = [(row.sha256, row.label) for row in lead.predictions].index((wrong[2].sha256, wrong[2].label))
    metrics["rejection"]["default"] |= {"min_probability": 0.0, "max_distance": 1.0}
    metrics["rejection"]["held_out_distance"] = [*far[:place], 1.5, *far[place + 1 :]]
    write_json(made.folder.metrics_file, metrics)
    page = made.report()
    told = ["predict answers none" in one.text for one in page.find_all(class_="mistake")]
    assert told == [False, False, True, False, False]
    assert "To 1 of them predict would answer none" in page.text
    metrics["rejection"]["default"]["min_probability"] = wrong[0].probability + 1e-6
    write_json(made.folder.metrics_file, metrics)
    assert made.report().text.count("best guess ") == 5


def test_the_page_says_why_the_row_with_the_best_number_is_not_what_ships(made):
    made.card(chosen="head", head_stages=3)
    file = made.folder.root / "history.json"
    rows = (("head on the last stage", 1.0, 0.019), ("linear head", 0.984, 0.028))
    parts = [{"name": name, "n": 63, "balanced_accuracy": value, "log_loss": loss} for name, value, loss in rows]
    history = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, history | {"parts": parts})
    told = made.report().find(id="parts").find_next("p").text
    assert told.startswith("Another row has a better number, but none is chosen by its number, since a single picture")
    assert "of these 63 moves a row by about 1.6 points" in told and "always the mean of a head on the last" in told
    write_json(file, history | {"parts": parts[::-1][:1]})
    assert made.report().find(id="parts").find_next("p").text.startswith("None of them is chosen by its number")
    made.card(tuned_stages=2, head_stages=3)
    write_json(file, history | {"parts": parts})
    assert "worse than the head alone by more than two standard errors" in made.report().text


def test_no_folder_of_this_machine_is_shown_to_others(made):
    made.card(
        weights_source="/home/me/.venv/lib/weights/lite0.pth",
        backbone="efficientnet_lite0",
        fallback_reason="no file in /home/me/cache/torch or C:\\Users\\me\\torch, see https://x.test/a/b",
    )
    made.folder.config_file.write_text(
        '[classes]\na = "a"\nb = "a/b"\n[search.folder]\npath = "/home/me/my photos"\n[search.url_list]\n'
        'file = "C:\\\\Users\\\\me\\\\list.csv"\n[search.website]\nstart_pages = {"*" = ["https://x.test/a?q={keyword}"]}\n'
    )
    with made.workspace.open_catalog() as catalog:
        catalog.put(
            [Search("a", "kw", "folder", "failed", reason="x", detail="/home/me/list.csv, row 3", asked_at="n")]
        )
    page = made.report()
    card = (made.folder.model / "README.md").read_text(encoding="utf-8")
    assert "/home" not in str(page) + card and "Users" not in str(page) + card
    assert "imagenet: lite0.pth" in page.text and "lite0.pth" in card and "https://x.test/a/b" in page.text
    assert 'path = "my photos"' in page.pre.text and 'file = "list.csv"' in page.pre.text
    assert '"a/b"' in page.pre.text and '["https://x.test/a?q={keyword}"]' in page.pre.text


def test_stages_have_the_networks_own_names(tmp_path):
    file = tmp_path / "model.safetensors"
    names = ("layer3.blocks_4_conv", "layer4.blocks_5", "layer4.conv_head", "layer2.blocks_2")
    save_file(
        {f"backbone.stages.{name}.weight": np.zeros(1, np.float32) for name in names} | {"head.weight": np.ones(1)},
        file,
    )
    assert stage_titles(file, ["layer4", "layer3"]) == {
        "layer4": "the last stage (blocks.5, conv_head)",
        "layer3": "the stage before the last (blocks.4_conv)",
    }
    save_file({"backbone.stages.layer4.layer4.0.weight": np.ones(1)}, file)
    assert stage_titles(file, ["layer4"]) == {"layer4": "the last stage (layer4)"}


def test_a_choice_between_head_and_fine_tuned_network_is_told_only_where_there_was_one(made):
    _cross_validated(made)
    assert "The choice between the head" not in made.report().text
    file = made.folder.root / "history.json"
    scores = {"head": 0.7, "finetuned": 0.8, "difference": 0.1, "standard_error": 0.05, "n": 24, "passes": True}
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | {"guard": scores})
    assert "The choice between the head" in made.report().text


def test_a_report_is_written_again_only_when_something_changed(made):
    assert report.run(made.workspace, made.config).done == 1
    before = made.folder.report_file.read_bytes()
    again = report.run(made.workspace, made.config)
    assert (again.done, again.reused) == (0, 1) and str(made.folder.report_file) in again.notes[0]
    with made.workspace.open_catalog() as catalog:
        catalog.put([Search(LABELS[0], HOSTILE, "t", "failed", reason="blocked", detail="HTTP 403", asked_at="later")])
    assert report.run(made.workspace, made.config).done == 0
    (made.folder.model / "README.md").unlink()
    assert report.run(made.workspace, made.config).done == 1
    assert made.folder.report_file.read_bytes() == before
    with made.workspace.open_catalog() as catalog:
        catalog.put([Override(made.samples[0].sha256, LABELS[0], "drop")])
    assert report.run(made.workspace, made.config).done == 1
    assert "dropped by a person" in made.folder.report_file.read_text()
    assert "approximate nearest neighbours" not in made.folder.report_file.read_text()
    write_json(made.workspace.curation_file, {"inputs": "", "neighbour_recall": 0.968})
    assert report.run(made.workspace, made.config).done == 1
    assert "the search found 96.8 % of the true neighbours" in made.folder.report_file.read_text()


def test_a_picture_that_a_person_moved_counts_where_it_is(made):
    moved = made.samples[0]
    with made.workspace.open_catalog() as catalog:
        catalog.put([Override(moved.sha256, LABELS[0], "relabel", LABELS[1])])
        collected = read_collection_stats(catalog, LABELS)
    here, there = collected.by_class[LABELS[0]], collected.by_class[LABELS[1]]
    assert (here.kept, here.dropped["moved by a person"]) == (PICTURES - 1, 1)
    assert (there.kept, there.moved_here) == (PICTURES + 1, 1)
    for counts in collected.by_class.values():
        assert counts.found == counts.downloaded + counts.waiting + counts.not_downloaded.total()
        files = counts.same_file + counts.dropped.total() + counts.unjudged + counts.kept - counts.moved_here
        assert counts.downloaded == files and counts.same_file == 0


def test_settings_are_shown_without_the_contact_address(made):
    page = made.report()
    assert "seed = 0" in page.pre.text and "me@home.test" not in str(page)


def test_the_model_card_is_markdown_that_strangers_cannot_break(made):
    made.card(weights_source="a | b\n# not a heading <script> [x](javascript:y)")
    made.report()
    text = (made.folder.model / "README.md").read_text(encoding="utf-8")
    assert r"a \| b \# not a heading \<script\> \[x\]\(javascript:y\)" in text
    assert "고양이" in text and r"\<b\>bold" in text and "| CC BY 2.0 | 3 |" in text
    assert "Limits" in text and "66.7 %" in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["model-index"][0]["results"][0]["metrics"][0] == {
        "type": "accuracy",
        "name": "accuracy",
        "value": 0.6667,
    }


def test_without_numbers_the_error_names_the_step(made):
    made.folder.metrics_file.unlink()
    with pytest.raises(ModelError, match="collect-and-train evaluate"):
        report.run(made.workspace, made.config)


def test_the_augmented_views_shown_are_those_that_training_drew(made):
    shown = made.report().find("img", class_="wide")
    card = ModelCard.read(made.folder.model / "card.json")
    first = {one.label: one.sha256 for one in reversed(made.samples) if one.split == "train"}
    expected = sheet([(first[label], made.cache.read(first[label])) for label in sorted(first)], card)
    assert expected.shape == (3 * 116, 4 * 116, 3)  # the clean view and the three that were drawn, with gaps
    assert shown["src"] == jpeg_data_url(Image.fromarray(expected))
    assert "preset strong, 3 of 96 px for each picture, seed 7" in shown.find_next("figcaption").text


@pytest.mark.parametrize(
    ("augmentation", "words"),
    [
        ("absent", "is not known: the model's card was written before this was recorded"),
        (None, "Training used no augmented views"),
        (
            AUGMENTER.record(seed=7, views=3).model_dump() | {"name": "many-of-another-version"},
            "preset strong), drawn by another version",
        ),
    ],
)
def test_no_augmented_views_are_made_up(made, augmentation, words):
    made.card(augmentation=augmentation)
    if augmentation == "absent":
        card = json.loads((made.folder.model / "card.json").read_text())
        del card["augmentation"]
        write_json(made.folder.model / "card.json", card)
    page = made.report()
    assert page.find("img", class_="wide") is None and words in page.find(id="training").find_next("h2").parent.text


def test_thumbnails_are_small_pictures_of_the_cached_pixels(made):
    page = made.report()
    sizes = set()
    sheet = page.find("img", class_="wide")
    for image in page.find_all("img"):
        if image is sheet:  # a clean view and five augmented ones of each class
            continue
        with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as picture:
            sizes.add((picture.format, picture.size))
    assert sizes == {("JPEG", (120, 90))}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "JAVASCRIPT:x",
        "data:text/html,x",
        "//evil.test",
        "http:",
        "http://[x",
        "",
    ],
)
def test_only_web_addresses_become_links(url):
    assert web_address(url) == ""
    assert web_address(url, "https://a.test/b") == "https://a.test/b"


def test_licences_have_their_usual_names():
    assert license_title("by-sa", "https://creativecommons.org/licenses/by-sa/4.0/") == "CC BY-SA 4.0"
    assert license_title("cc0", "https://creativecommons.org/publicdomain/zero/1.0/") == "CC0 1.0"
    assert (license_title("", ""), license_title("© all", "")) == ("not stated", "© all")


def test_charts_stay_inside_and_leave_out_what_is_not_finite():
    chart = line_chart("loss", [1, 2, 3], {"training": [3.0, float("nan"), 1.0]}, ("head", 2.0))
    assert [len(line.points) for line in chart.lines] == [2]
    assert all(0 < x < 420 and 0 < y < 210 for x, y in chart.lines[0].points)
    (_, high), (_, low) = chart.lines[0].points
    assert high < chart.level < low  # larger values stand higher
    assert line_chart("loss", [1], {"training": [float("inf")]}) is None
    assert len(line_chart("loss", [1], {"training": [0.5]}).lines[0].points) == 1


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.86, 0.861), (-3.0, 250.0), (0.5, 0.5), (0.0, 0.0), (1e-7, 2e-7)]
)
def test_ticks_are_few_and_hold_the_values(low, high):
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 7 and ticks == sorted(set(ticks))
    assert ticks[0] <= low and ticks[-1] >= high
