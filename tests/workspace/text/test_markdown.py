"""Words of strangers in Markdown are shown as they are, by whatever renders it."""

import re

import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from preprocessing.dataset.export.columns import readme
from workspace.catalog.records import Sample
from workspace.text.markdown import escaped, table_row

HOSTILE = [
    *("*bold* _too_ `code`", "![x](https://a.test/x.png)", "[x](javascript:y)", "<script>alert(1)</script>"),
    *("a | b", "~~gone~~ & &lt;", "\\| \\", "# title {x}"),
]


def shown(text: str) -> BeautifulSoup:
    return BeautifulSoup(
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text), "html.parser"
    )


@pytest.mark.parametrize("words", HOSTILE)
def test_nothing_in_them_is_markup(words: str) -> None:
    page = shown(f"{escaped(words)}\n\n{table_row(('a', 'b'))}\n|---|---|\n{table_row((words, 1))}\n")
    assert [tag.get_text() for tag in page.find_all(["p", "td"])] == [words, words, "1"]
    assert not page.find_all(["em", "strong", "code", "a", "img", "script", "s", "h1"])


@pytest.mark.parametrize("words", HOSTILE)
def test_nor_is_it_in_the_card_of_an_exported_dataset(words: str) -> None:
    urls = {"image_url": "https://a.test/i", "page_url": "", "license_url": ""}
    texts = {"source": "s", "keyword": "k", "title": words, "creator": words, "license": words, "attribution": words}
    sample = Sample("0" * 64, words, "train", "g", "images/0.jpg", width=1, height=1, **texts, **urls)
    card = shown(re.sub(r"\A---.*?---\n", "", readme([sample], words, "x").decode(), flags=re.DOTALL))
    assert card.h1.get_text() == words
    assert [cell.get_text() for cell in card.find_all("td")] == [words, "1", words, "1"]
    assert not card.find_all(["em", "strong", "a", "img", "script", "s"])
