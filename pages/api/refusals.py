"""What the service refuses, and why: one exception, one shape of answer."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        reason: one word, for programs and for /metrics.
        detail: a sentence that names the limit and the remedy.
        headers: of the answer.
    """

    def __init__(self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer: `{"reason": …, "detail": …}`."""
        return JSONResponse({"reason": self.reason, "detail": self.detail}, self.status, self.headers)


def try_again(reason: str, detail: str, after_s: int = 1) -> Refused:
    """Return the refusal of what may succeed in some seconds: 503 with Retry-After."""
    return Refused(503, reason, detail, {"retry-after": str(after_s)})
