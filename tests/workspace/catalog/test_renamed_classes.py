"""Pictures and decisions follow their keyword when the classes of workspace.toml change."""

import pytest

from workspace.catalog.records import Cluster, Download, Hit, Override, Search, Verdict
from workspace.catalog.renamed_classes import carry_over, plan_carry_over

OLD = {"grizzly": ("grizzly", "ursus arctos"), "black": ("black bear",)}


@pytest.fixture
def catalog(catalog):
    """Pictures a, b, c of grizzly (c by its other keyword), x, y of black; a is dropped, b moved to black."""
    for label, keyword, names in (
        ("grizzly", "grizzly", "ab"),
        ("grizzly", "ursus arctos", "c"),
        ("black", "black bear", "xy"),
    ):
        catalog.put([Search(label, keyword, "s", "exhausted")])
        catalog.add_new([Hit(label, keyword, "s", rank, f"http://s/{name}") for rank, name in enumerate(names)])
        catalog.put([Download(f"http://s/{name}", "ok", sha256=name) for name in names])
        catalog.put([Verdict(name, label, "check", "keep") for name in names])
        catalog.put([Cluster(name, label, 1) for name in names])
    catalog.put([Override("a", "grizzly", "drop", made_at="1"), Override("b", "grizzly", "relabel", "black", "2")])
    return catalog


def decisions(catalog):
    return {(row.sha256, row.label): (row.action, row.new_label) for row in catalog.all(Override)}


def labels(catalog, kind):
    return {row.label for row in catalog.all(kind)}


def label_of(catalog, url):
    return next(hit.label for hit in catalog.all(Hit) if hit.image_url == url)


def test_without_a_change_nothing_moves_and_nothing_is_said(catalog) -> None:
    plan = carry_over(catalog, OLD)
    assert (plan.moves, dict(plan.decisions), plan.orphans, plan.notes, plan.waiting) == ((), {}, (), (), ())


def test_a_class_with_another_name_and_the_same_keyword_keeps_everything(catalog) -> None:
    new = {"brown bear": ("Grizzly",), "black": ("black bear",)}
    planned = plan_carry_over(catalog, new)
    assert decisions(catalog) == {("a", "grizzly"): ("drop", ""), ("b", "grizzly"): ("relabel", "black")}
    assert carry_over(catalog, new).notes == planned.notes
    assert planned.notes == ("the class 'grizzly' is now 'brown bear': 3 pictures and 2 decisions go with it",)
    assert decisions(catalog) == {("a", "brown bear"): ("drop", ""), ("b", "brown bear"): ("relabel", "black")}
    for kind in (Hit, Verdict, Cluster, Search):
        assert labels(catalog, kind) == {"black", "brown bear"}
    assert set(catalog.kept()) == {("b", "black"), ("c", "brown bear"), ("x", "black"), ("y", "black")}
    assert carry_over(catalog, new).notes == ()
    carry_over(catalog, OLD)
    assert decisions(catalog) == {("a", "grizzly"): ("drop", ""), ("b", "grizzly"): ("relabel", "black")}


def test_a_picture_moved_to_a_class_goes_with_the_class_when_that_is_renamed(catalog) -> None:
    plan = carry_over(catalog, {"grizzly": ("grizzly",), "baribal": ("black bear",)})
    assert decisions(catalog)["b", "grizzly"] == ("relabel", "baribal")
    assert "1 picture that a person moved to 'black' is now of 'baribal'" in plan.notes and not plan.waiting


def test_two_classes_that_become_one_make_a_move_between_them_a_keep_and_the_later_decision_counts(catalog) -> None:
    catalog.add_new([Hit("black", "black bear", "s", 9, "http://s/a")])
    catalog.put([Override("a", "black", "keep", made_at="0"), Override("x", "black", "drop", made_at="3")])
    carry_over(catalog, {"bear": ("grizzly", "black bear"), "teddy": ("teddy",)})
    assert decisions(catalog) == {("a", "bear"): ("drop", ""), ("b", "bear"): ("keep", ""), ("x", "bear"): ("drop", "")}
    assert len(catalog.all(Hit)) == 5  # the picture that both had found is one


def test_a_class_that_is_divided_gives_each_part_what_its_keyword_found(catalog) -> None:
    catalog.put([Override("c", "grizzly", "drop", made_at="3")])
    carry_over(catalog, {"g": ("grizzly",), "u": ("ursus arctos",), "black": ("black bear",)})
    assert decisions(catalog) == {("a", "g"): ("drop", ""), ("b", "g"): ("relabel", "black"), ("c", "u"): ("drop", "")}
    assert label_of(catalog, "http://s/c") == "u"


def test_a_keyword_that_moves_to_another_class_takes_its_pictures_along_but_not_those_of_the_inbox(catalog) -> None:
    catalog.add_new([Hit("grizzly", "ursus arctos", "inbox", 0, "inbox:grizzly/i.jpg")])
    catalog.put([Download("inbox:grizzly/i.jpg", "ok", sha256="i")])
    catalog.put([Override("c", "grizzly", "drop", made_at="3"), Override("i", "grizzly", "keep", made_at="4")])
    plan = carry_over(catalog, {"grizzly": ("grizzly",), "black": ("black bear", "ursus arctos")})
    assert plan.notes == (
        "the keyword 'ursus arctos' is now of 'black', not 'grizzly': 1 picture and 1 decision go with it",
    )
    assert decisions(catalog)["c", "black"] == ("drop", "") and decisions(catalog)["i", "grizzly"] == ("keep", "")
    assert label_of(catalog, "inbox:grizzly/i.jpg") == "grizzly"
    assert not carry_over(catalog, {"grizzly": ("grizzly",), "black": ("black bear", "ursus arctos")}).notes


def test_decisions_of_a_class_that_is_gone_wait_and_say_so(catalog) -> None:
    new = {"grizzly": ("grizzly",), "teddy": ("teddy",)}
    catalog.put([Override("x", "black", "drop", made_at="3")])
    plan = carry_over(catalog, new)
    assert [row.sha256 for row in plan.orphans] == ["b", "x"] and not plan.notes
    assert plan.waiting[0].startswith("1 decision under 'black', which is no class now, waits")
    assert plan.waiting[1].startswith("1 picture that a person moved to 'black', which is no class now, is in no class")
    after = carry_over(catalog, new, {"black": "teddy"})
    assert decisions(catalog) == {
        ("a", "grizzly"): ("drop", ""),
        ("b", "grizzly"): ("relabel", "teddy"),
        ("x", "teddy"): ("drop", ""),
    }
    assert not after.waiting and "the class 'black' is now 'teddy': 2 pictures and 1 decision go with it" in after.notes


def test_a_keyword_of_two_classes_is_nobodys_claim(catalog) -> None:
    plan = carry_over(catalog, {"brown": ("grizzly",), "bear": ("grizzly",), "black": ("black bear",)})
    assert not plan.moves and len(plan.waiting) == 1


def test_classes_that_swap_their_names_keep_what_is_theirs(catalog) -> None:
    plan = carry_over(catalog, {"black": ("grizzly", "ursus arctos"), "grizzly": ("black bear",)})
    assert decisions(catalog) == {("a", "black"): ("drop", ""), ("b", "black"): ("relabel", "grizzly")}
    assert (label_of(catalog, "http://s/a"), label_of(catalog, "http://s/x")) == ("black", "grizzly")
    assert len(plan.notes) == 4 and not plan.waiting


def test_a_name_that_goes_on_to_another_class_in_turn(catalog) -> None:
    carry_over(catalog, {"black": ("grizzly",), "baribal": ("black bear",)})
    assert decisions(catalog) == {("a", "black"): ("drop", ""), ("b", "black"): ("relabel", "baribal")}


def test_a_class_with_new_words_of_its_own_stays_what_it_is_called(catalog) -> None:
    carry_over(catalog, {"grizzly": ("grizzly", "black bear"), "black": ("ursus americanus",)})
    assert decisions(catalog)["b", "grizzly"] == ("relabel", "black")
