"""Faulty answers that arrive whole: refusals, broken redirects, and content of other types."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable

from gallery.faults.exchange import Exchange

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">'
    b'<rect width="400" height="300" fill="#7a9"/><circle cx="200" cy="150" r="90" fill="#e96"/></svg>'
)
HTML = b"<!doctype html>\n<html><title>Not here</title><p>This picture may not be linked to.</html>\n"


def status(code: int) -> Callable[[Exchange], None]:
    """Return the fault that answers with this status and a line of text."""

    def answer(exchange: Exchange) -> None:
        exchange.whole(code, b"" if code == 204 else b"no picture\n", content_type="text/plain")

    return answer


def partial(exchange: Exchange) -> None:
    """Answer 206 with a part that nobody asked for."""
    part = exchange.body[: len(exchange.body) // 2]
    content_range = f"bytes 0-{len(part) - 1}/{len(exchange.body)}"
    exchange.whole(206, part, content_type=exchange.content_type, content_range=content_range)


def busy(exchange: Exchange) -> None:
    """Answer 429 with Retry-After: 1."""
    exchange.whole(429, b"slow down\n", content_type="text/plain", retry_after=1)


def busy_until(exchange: Exchange) -> None:
    """Answer 429 with a Retry-After that is a date, one or two seconds from now."""
    moment = email.utils.formatdate(time.time() + 2, usegmt=True)
    exchange.whole(429, b"slow down\n", content_type="text/plain", retry_after=moment)


def busy_for_long(exchange: Exchange) -> None:
    """Answer 503 with a Retry-After of a day."""
    exchange.whole(503, b"tomorrow\n", content_type="text/plain", retry_after=86_400)


def redirect_loop(exchange: Exchange) -> None:
    """Redirect to a URL that redirects again, without end."""
    hop = 1 if exchange.handler.path.endswith("hop=0") else 0
    exchange.whole(302, b"", location=f"/fault/redirect_loop/{exchange.name}?hop={hop}")


def moved_in_circles(exchange: Exchange) -> None:
    """Answer 301 to the same URL."""
    exchange.whole(301, b"", location=exchange.handler.path)


def moved(exchange: Exchange) -> None:
    """Answer 301 to the honest picture, by a relative URL."""
    exchange.whole(301, b"", location=f"../../images/{exchange.name}")


def redirect_nowhere(exchange: Exchange) -> None:
    """Answer 302 without a Location."""
    exchange.whole(302, b"", content_type="text/plain")


def redirect_to(address: str) -> Callable[[Exchange], None]:
    """Return the fault that redirects to this URL; ``{name}`` and ``{port}`` in it are the picture's and the site's."""

    def answer(exchange: Exchange) -> None:
        port = exchange.handler.connection.getsockname()[1]
        exchange.whole(302, b"", location=address.replace("{name}", exchange.name).replace("{port}", str(port)))

    return answer


def svg(exchange: Exchange) -> None:
    """Answer with an SVG drawing, which no raster decoder opens."""
    exchange.whole(200, SVG, content_type="image/svg+xml")


def html(exchange: Exchange) -> None:
    """Answer with a page of HTML, declared as a JPEG."""
    exchange.whole(200, HTML, content_type="image/jpeg")


def text(exchange: Exchange) -> None:
    """Answer with plain text, declared as a PNG."""
    exchange.whole(200, b"hotlinking is not allowed\n", content_type="image/png")


def empty(exchange: Exchange) -> None:
    """Answer 200 with an empty body."""
    exchange.whole(200, b"", content_type=exchange.content_type)


def octet_stream(exchange: Exchange) -> None:
    """Answer with the honest picture, declared as application/octet-stream."""
    exchange.whole(200, exchange.body, content_type="application/octet-stream")


def wrong_type(exchange: Exchange) -> None:
    """Answer with the honest picture, declared as HTML."""
    exchange.whole(200, exchange.body, content_type="text/html")


def no_type(exchange: Exchange) -> None:
    """Answer with the honest picture, without a content type."""
    exchange.whole(200, exchange.body)


def cookie(exchange: Exchange) -> None:
    """Answer with the honest picture and a cookie for this host and all its neighbours."""
    exchange.whole(200, exchange.body, content_type=exchange.content_type, set_cookie="seen=1; Path=/")


def tagged(robots_tag: str) -> Callable[[Exchange], None]:
    """Return the fault that answers with the honest picture and this X-Robots-Tag."""

    def answer(exchange: Exchange) -> None:
        exchange.whole(200, exchange.body, content_type=exchange.content_type, x_robots_tag=robots_tag)

    return answer
