"""The examples in docstrings run as written."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "collectors.http.session",
        "collectors.http.transfer",
        "collectors.http.urls",
        "collectors.sources.base",
        "collectors.sources.html.images",
        "collectors.sources.parsing",
        "collectors.url_identity",
    ],
)
def test_the_examples_of_a_module_run(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert (result.failed, result.attempted > 0) == (0, True)
