import io

import pytest

from cli.names_on_stdin import names_from


class Slow(io.BytesIO):
    """Gives three bytes at a time, as a pipe may."""

    def read1(self, size: int = -1, /) -> bytes:
        return super().read1(3)


@pytest.mark.parametrize("stream", [io.BytesIO, Slow])
@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", []),
        (b"\n \n", []),
        (b" a b.jpg\r\nc.jpg", ["a b.jpg", "c.jpg"]),
        (b"\xef\xbb\xbfa.jpg\n", ["a.jpg"]),
        ("é.jpg\r\n키위.png\r\n".encode("utf-16"), ["é.jpg", "키위.png"]),
        (b"ca\xf1on.jpg\nb\n", ["ca\udcf1on.jpg", "b"]),
    ],
)
def test_a_list_by_lines(stream, data, names) -> None:
    assert list(names_from(stream(data))) == names


@pytest.mark.parametrize(
    ("data", "names"),
    [(b"a\n b.jpg\0c\0", ["a\n b.jpg", "c"]), (b"\xef\xbb\xbfa\0\0b", ["a", "b"]), (b"a\0", ["a"])],
)
def test_a_list_by_nul_whose_names_may_hold_line_ends(data, names) -> None:
    assert list(names_from(io.BytesIO(data))) == names


def test_names_come_before_the_list_ends() -> None:
    class Endless(io.BytesIO):
        def read1(self, _size: int = -1, /) -> bytes:
            return b"a.jpg\n"

    names = names_from(Endless())
    assert [next(names), next(names)] == ["a.jpg", "a.jpg"]
