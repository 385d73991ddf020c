"""Short names of Creative Commons licences (`by-sa`, `cc0`, `pdm`) from the many forms of sources, and their titles."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LICENSE_PATH = re.compile(r"/(?:licenses/(?P<name>[a-z-]+)|publicdomain/(?P<tool>zero|mark))/")
_TOOLS = {"zero": "cc0", "mark": "pdm"}
_OLD_NAMES = {"by-nd-nc": "by-nc-nd", "publicdomain": "pdm"}  # version 1.0 named its parts in another order
# An address of this host and path shape states a Creative Commons licence (creativecommons.org, "Marking your work").
_LICENSE_HOST = "creativecommons.org"
_PARTS = re.compile(r"(?:cc-)?by((?:-(?:nc|nd|sa))*)(?![a-z])")
_PUBLIC_DOMAIN = re.compile(r"(?:cc-)?(?:pd|pdm|public-domain)(?![a-z])")
_ZERO = re.compile(r"(?:cc-?0|cc-zero|0)(?![a-z])")
_CREATIVE_COMMONS = frozenset({"by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"})
_WORDS = {"-nc": "non-?commercial", "-nd": "no-?deriv", "-sa": "share-?alike"}


def license_name(license_url: str) -> str:
    """Return the short name of a Creative Commons licence by its URL: `by-sa`, `cc0`; empty for any other URL."""
    try:
        parts = urlsplit(license_url)
    except ValueError:
        return ""  # such as http://[…: people type these into licence fields
    if (parts.hostname or "").removeprefix("www.") != _LICENSE_HOST:
        return ""
    match = _LICENSE_PATH.search(parts.path)
    if not match:
        return ""
    name = match["name"] or _TOOLS[match["tool"]]
    return _OLD_NAMES.get(name, name)


def license_from(text: str) -> str:
    """Parse the URL or name of a licence to its short name; empty for what is no Creative Commons licence.

    Reads `https://creativecommons.org/licenses/by/4.0/`, `CC BY-SA 4.0`, `cc-by-nc`, `CC_BY_NC_4_0`, `CC0`,
    `Public domain`, `Creative Commons Attribution-ShareAlike 4.0`.
    """
    if "://" in text:
        return license_name(text)
    name = re.sub(r"[\s_]+", "-", text.strip().lower())
    if _ZERO.match(name):
        return "cc0"
    if _PUBLIC_DOMAIN.match(name):
        return "pdm"
    if match := _PARTS.match(name):
        return "by" + "".join(part for part in _WORDS if part in match[1])
    if name.startswith("creative-commons-attribution"):
        return "by" + "".join(part for part, word in _WORDS.items() if re.search(word, name))
    return ""


def license_title(code: str, url: str) -> str:
    """Return the title of a licence: `by-sa` at …/licenses/by-sa/2.0/ is CC BY-SA 2.0; other words stay as they are."""
    version = re.search(r"/(\d\.\d)(?:/|$)", url)
    number = f" {version.group(1)}" if version else ""
    lower = code.lower()
    if lower in _CREATIVE_COMMONS:
        return f"CC {lower.upper()}{number}"
    return {"cc0": f"CC0{number}", "pdm": f"Public Domain Mark{number}", "": "not stated"}.get(lower, code)


def web_address(*urls: str) -> str:
    """Return the first http or https URL, else an empty text: they come from strangers and become links."""
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        if parts.scheme in {"http", "https"} and parts.netloc:
            return url
    return ""
