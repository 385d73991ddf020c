"""The examples in docstrings run, and give what they say; test_classifier.py has those that need a model."""

import doctest
import importlib

import pytest

MODULES = (
    "flows.step_table",
    "training.stats.folds",
    "workspace.catalog.catalog",
    "workspace.names",
    "workspace.resolve",
    "workspace.storage.paths",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0
