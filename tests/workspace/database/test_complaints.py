"""What a server refuses is one sentence with its remedy, before any work begins, and without the password."""

import socket
import time
from urllib.parse import urlsplit

import pytest

from workspace.catalog.catalog import Catalog
from workspace.catalog.records import Hit
from workspace.errors import WorkspaceError

pytestmark = pytest.mark.cluster
HIT = Hit("cat", "cat", "s", 0, "http://a/1")


def refused(address: str) -> str:
    with pytest.raises(WorkspaceError) as caught:
        Catalog(address)
    text = str(caught.value)
    assert "\n" not in text
    assert (urlsplit(address).password or "none") not in text
    return text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace(urlsplit(url).password, "wr0ng"), "put the right user and password into the address"),
        (lambda url: url.replace("collector:", "stranger:"), "put the right user and password into the address"),
        (lambda url: url.replace("/postgres", "/nowhere"), "create the database, or correct its name"),
        (lambda url: url.replace("127.0.0.1", "host.invalid"), "see that the address is right and the server runs"),
        (lambda url: f"{url}?options=-csearch_path%3Dnowhere", "create the schema that the address names"),
    ],
)
def test_a_wrong_address_says_what_to_put_right(database_server, change, said) -> None:
    text = refused(change(database_server))
    assert said in text
    assert "postgresql://" in text


def test_a_server_that_is_not_there_and_one_that_does_not_answer(database_server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        text = refused(f"postgresql://ann:pw@127.0.0.1:{port}/x?connect_timeout=2")
        assert time.monotonic() - began < 60
        assert "see that the address is right and the server runs" in text
    assert "see that the address is right and the server runs" in refused(f"postgresql://ann:pw@127.0.0.1:{port}/x")


def test_a_user_without_rights_is_told_which_are_missing(empty_database, database_server) -> None:
    import psycopg

    url = urlsplit(empty_database)
    schema = url.query.rpartition("%3D")[2]
    address = f"postgresql://guest:s3cret@127.0.0.1:{url.port}{url.path}?{url.query}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 's3cret'")
        assert "give its user the right to use it" in refused(address)
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO guest")
        assert "the right to create and to write tables" in refused(address)
        connection.execute("DROP OWNED BY guest; DROP ROLE guest")


def test_a_database_that_does_not_hold_every_letter_is_refused(database_server) -> None:
    import psycopg

    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        assert "createdb --encoding=UTF8" in refused(database_server.replace("/postgres", "/latin"))
        connection.execute("DROP DATABASE latin")


def test_a_connection_that_the_server_ends_is_no_matter_of_free_space(empty_database, database_server) -> None:
    import psycopg

    with Catalog(empty_database) as catalog:
        catalog.put([HIT])
        with psycopg.connect(database_server, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'collect-and-train'"
            )
        with pytest.raises(WorkspaceError, match=r"refused a .*run the same command again") as caught:
            catalog.hits_per_label()
        assert "space" not in str(caught.value)
        assert catalog.all(Hit) == [HIT]  # the next one is a new connection


def test_a_catalogue_that_a_later_version_wrote_is_refused(empty_database) -> None:
    import psycopg

    Catalog(empty_database).close()
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'a7'")
    assert "use the program's version that wrote it" in refused(empty_database)
