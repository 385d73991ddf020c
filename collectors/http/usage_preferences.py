"""Read what a site's owner says of machine learning with its content, in each form that machines can read.

    X-Robots-Tag, <meta name="robots">          noai, noimageai
    Content-Signal (robots.txt, header)         ai-train=no: contentsignals.org
    Content-Usage (robots.txt, header)          train-ai=n: IETF drafts draft-ietf-aipref-vocab and -attach
    tdm-reservation (header, <meta>)            1: W3C Community Group report "TDM Reservation Protocol (TDMRep)"

The files of a whole site are fetched by collectors/http/robots.py and collectors/http/tdmrep.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bs4 import BeautifulSoup
from requests.utils import requote_uri
from urllib3 import HTTPHeaderDict

from workspace.reasons import OPTED_OUT, RESERVED

PRODUCT = "collect-and-train"
"""The product token of our user agent, which robots.txt and X-Robots-Tag may name (RFC 9309, section 2.2.1)."""

_PAIR = re.compile(r"([a-z-]+)\s*=\s*([^\s,;]+)")
_OPT_OUTS = frozenset({"noai", "noimageai"})
_META = re.compile(rb"<meta\b[^<>]*>", re.I)
# Directives of X-Robots-Tag that have a value, whose colon does not follow the name of a robot.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


@dataclass(frozen=True, slots=True)
class Preference:
    """One statement of an owner.

    Attributes:
        text: where it stands and what it says, such as `robots.txt: Content-Signal: ai-train=no`.
        reason: why a url is refused for it: `opted_out` or `reserved`; empty: it does not refuse training.
    """

    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The categories of use that training a classifier belongs to, the most specific first, and the word for no."""

    categories: tuple[str, ...]
    no: str
    yes: str

    def refuses_training(self, value: str) -> bool:
        """Return whether the most specific preference that concerns training refuses it.

        The value is a dictionary of RFC 9651, in which the last of equal keys counts. It is read leniently: letter case
        and the kind of separator are ignored, so that an owner's slip loses no reservation.
        """
        said: dict[str, str] = dict(_PAIR.findall(value.lower()))
        for category in self.categories:
            if said.get(category) in {self.no, self.yes}:
                return said[category] == self.no
        return False


VOCABULARIES: Mapping[str, _Vocabulary] = {
    "Content-Signal": _Vocabulary(("ai-train",), "no", "yes"),
    # `ai`, `tdm`, `all` and `bots` are the names that earlier drafts gave to training, and to any automated use.
    "Content-Usage": _Vocabulary(("train-ai", "ai", "bots", "all", "tdm"), "n", "y"),
}
"""By the name of the header field, and of the line in robots.txt."""


@dataclass(frozen=True, slots=True)
class UsageRule:
    """A Content-Signal or Content-Usage line of robots.txt: its name, its path pattern (empty: any) and its value."""

    name: str
    path: str
    value: str


_USAGE_LINE = re.compile(rf"\s*({'|'.join(VOCABULARIES)})\s*:\s*(?:(/\S*)\s+)?([^#]*)", re.I)
_NAMES = {name.lower(): name for name in VOCABULARIES}


def usage_rule(line: str) -> UsageRule | None:
    """Parse a line of robots.txt; None when it says nothing of usage.

    >>> usage_rule("Content-Usage: /ai-ok/ train-ai=y")
    UsageRule(name='Content-Usage', path='/ai-ok/', value='train-ai=y')
    """
    match = _USAGE_LINE.match(line)
    return UsageRule(_NAMES[match[1].lower()], match[2] or "", match[3].strip()) if match else None


def site_preferences(rules: Iterable[UsageRule], url_path: str) -> list[Preference]:
    """Return the preferences of a robots.txt for one path: of each name, the rules with the longest matching path.

    Args:
        rules: of the group that applies to us.
        url_path: path and query of a url.
    """
    matching = [rule for rule in rules if path_matches(rule.path, url_path)]
    longest = {rule.name: max(len(other.path) for other in matching if other.name == rule.name) for rule in matching}
    return [
        _preference(rule.name, " ".join(filter(None, (rule.path, rule.value))), rule.value, "robots.txt: ")
        for rule in matching
        if len(rule.path) == longest[rule.name]
    ]


def header_preferences(headers: HTTPHeaderDict) -> list[Preference]:
    """Return the preferences in the headers of a response."""
    found = []
    opt_out = header_opt_out(headers.getlist("X-Robots-Tag"))
    if opt_out:
        found.append(Preference(f"X-Robots-Tag: {opt_out}", OPTED_OUT))
    reservations = {value.strip() for line in headers.getlist("tdm-reservation") for value in line.split(",")}
    if "1" in reservations:
        found.append(tdm_preference("tdm-reservation: 1", headers.get("tdm-policy")))
    for name in VOCABULARIES:
        if value := ", ".join(headers.getlist(name)):
            found.append(_preference(name, value, value))
    return found


def page_preferences(html: bytes) -> list[Preference]:
    """Return the opt-outs and reservations in the `<meta>` elements of a page."""
    tags = b"".join(_META.findall(html.replace(b"\0", b"")))  # without NUL, UTF-16 is read too
    if b"ai" not in tags.lower() and b"tdm" not in tags.lower():
        return []  # most pages
    found: list[Preference] = []
    policy: str | None = None
    for name, content in _named_metas(tags):
        words = [word.strip().lower() for word in content.split(",")]
        if name in {"robots", PRODUCT}:
            found += [Preference(f'<meta name="{name}">: {word}', OPTED_OUT) for word in words if word in _OPT_OUTS]
        elif name == "tdm-policy":
            policy = content.strip()
    if any(name == "tdm-reservation" and content.strip() == "1" for name, content in _named_metas(tags)):
        found.append(tdm_preference('<meta name="tdm-reservation">: 1', policy))
    return found


def _named_metas(tags: bytes) -> Iterator[tuple[str, str]]:
    for tag in BeautifulSoup(tags, "html.parser").find_all("meta", attrs={"name": True}):
        yield str(tag["name"]).strip().lower(), str(tag.get("content") or "")


def tdm_preference(text: str, policy: str | None) -> Preference:
    """Return a reservation of TDMRep, with the url of the policy that offers licences, if there is one."""
    return Preference(text + (f" (licences: {policy[:200]})" if policy else ""), RESERVED)


def header_opt_out(values: Iterable[str]) -> str | None:
    """Return the opt-out in the X-Robots-Tag headers of a response, for every robot or for ours, or None.

    Args:
        values: one text per header: a robot's name at its start holds to its end, and not for the next header.
    """
    for value in values:
        robot = ""
        for part in value.split(","):
            name, colon, rest = part.partition(":")
            if colon and name.strip().lower() not in _WITH_VALUE:
                robot, part = name.strip().lower(), rest
            if part.strip().lower() in _OPT_OUTS and robot in {"", "*", PRODUCT}:
                return part.strip().lower()
    return None


def path_matches(pattern: str, url_path: str) -> bool:
    """Return whether a pattern of robots.txt or tdmrep.json matches: a prefix, `*` for anything, `$` for the end.

    Each part is found as early as possible, which takes linear time; a regular expression may take exponential time.

    >>> path_matches("/images/*.jpg$", "/images/a/b.jpg")
    True
    """
    at_end = pattern.endswith("$")
    first, *others = requote_uri(pattern.removesuffix("$")).split("*")
    path = requote_uri(url_path)
    if not path.startswith(first):
        return False
    position = len(first)
    for part in others[:-1] if at_end else others:
        found = path.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    if not at_end:
        return True
    return path.endswith(others[-1]) and len(path) - len(others[-1]) >= position if others else position == len(path)


def _preference(name: str, shown: str, value: str, where: str = "") -> Preference:
    reason = RESERVED if VOCABULARIES[name].refuses_training(value) else ""
    return Preference(f"{where}{name}: {shown[:200]}", reason)
