"""Walk the segments of a JPEG without decoding it."""

from __future__ import annotations

import re
from collections.abc import Iterator

START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9

# In the data of a scan 0xFF stands before 0x00 (stuffing) or a restart marker; anything else begins a segment.
# ITU-T T.81, B.1.1.2.
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment up to the end of the image, or to where the file ends.

    A scan's segment holds its data too.
    """
    at = 2
    while match := _MARKER.search(data, at):
        marker, start = data[match.end() - 1], match.start()
        at = match.end()
        if marker not in (0x01, END_OF_IMAGE):  # neither has a length
            at += int.from_bytes(data[at : at + 2], "big")
        if marker == START_OF_SCAN:
            following = _MARKER.search(data, at)
            at = following.start() if following else len(data)
        yield marker, start, min(at, len(data))
        if marker == END_OF_IMAGE:
            return


def count_scans(data: bytes, most: int) -> int:
    """Count the scans of a JPEG, if there may be more than `most`; else what is at least their number."""
    possible = data.count(bytes((0xFF, START_OF_SCAN)))  # a thumbnail, or what stands behind the image, has some too
    return possible if possible <= most else sum(marker == START_OF_SCAN for marker, _, _ in segments(data))
