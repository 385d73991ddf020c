"""The address of a database: what is taken, what is refused in one sentence, and that no password is ever shown."""

import importlib.util
import pickle

import pytest

from workspace.database.address import address_in, parse_address
from workspace.errors import WorkspaceError

SECRET = "s3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://ann:{SECRET}@db.example:5433/pandas",
        f"postgres://ann:{SECRET}@db.example:5433/pandas",
        f"  postgresql+psycopg://ann:{SECRET}@db.example:5433/pandas\n",
        f"postgresql://ann@db.example:5433/pandas?password={SECRET}&sslpassword={SECRET}",
    ],
)
def test_a_plain_url_means_the_driver_psycopg_and_no_text_of_it_shows_the_password(monkeypatch, text) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: True)
    monkeypatch.setenv("CATALOG", text)
    address = address_in("CATALOG")
    assert address.url.drivername == "postgresql+psycopg"
    assert (address.url.password or address.url.query["password"]) == SECRET
    shown = f"{address} {address!r} {[address]}"
    assert "db.example:5433/pandas" in shown and "(CATALOG)" in shown
    assert SECRET not in shown
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "CATALOG, which is not set; set it to the address of the database: export CATALOG=postgresql://"),
        (f"{SECRET}", "holds no url; write it as postgresql://USER"),
        (f"postgresql://ann:{SECRET}@db:port/x", "holds no url; write it as"),
        (f"mysql://ann:{SECRET}@db/x", "a url of 'mysql'; a catalogue outside of the workspace is on PostgreSQL"),
        ("sqlite:////data/catalog.sqlite", "a url of 'sqlite'"),
        (f"postgresql+psycopg2://ann:{SECRET}@db/x", "a url of 'postgresql.psycopg2'"),
        (f"postgresql://ann:{SECRET}@{SECRET}/w@db/x", "more than one @; write the signs .* as %40"),
    ],
)
def test_what_is_no_address_is_one_sentence_that_does_not_repeat_it(monkeypatch, text, remedy) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: True)
    monkeypatch.setenv("CATALOG", text)
    with pytest.raises(WorkspaceError, match=remedy) as caught:
        address_in("CATALOG")
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None  # whose text would show it in a traceback


def test_a_driver_that_is_not_installed_is_named_with_its_extra(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(WorkspaceError, match=r"needs the driver psycopg, which the extra .*\[postgres\]"):
        parse_address("postgresql://ann@db/x")
