"""Read what a file's own metadata says of machine learning: IPTC/PLUS Data Mining in XMP, and C2PA manifests.

The bytes are searched, and neither format is parsed: both hold the words in plain text in every container (XMP packets;
CBOR or JSON in JUMBF boxes), and a signature is of no interest where the worst is a flag. A packet that is compressed
(which PNG allows) or in UTF-16 is not seen.
"""

from __future__ import annotations

import re

# PLUS vocabulary "Data Mining", which the IPTC Photo Metadata Standard 2023.1 takes over: a URI that ends in DMI-….
_DATA_MINING = re.compile(rb"DataMining.{0,160}?(DMI-[A-Z-]{2,60})", re.DOTALL)
# CAWG "Training and Data Mining Assertion" 1.1, and the one of C2PA 1.4 with its other prefix.
_ASSERTION = b".training-mining"
_ENTRY = re.compile(
    rb"((?:c2pa|cawg)\.(?:data_mining|ai_training|ai_generative_training|ai_inference))"
    rb".{0,300}?use.{1,12}?(notAllowed|constrained|allowed)",
    re.DOTALL,
)
_REFUSALS = re.compile(
    r"DMI-PROHIBITED(?!-GENAIMLTRAINING)"  # a classifier generates nothing
    r"|\.(?:data_mining|ai_training): (?:notAllowed|constrained)"  # constrained "shall be treated as […] notAllowed"
)


def usage_rights(data: bytes) -> str:
    """Return what a file says of its use for data mining and training, in its own words; empty: nothing.

    >>> usage_rights(b'<rdf:Description plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/>')
    'DMI-PROHIBITED'

    Args:
        data: the whole file.
    """
    found = [value[1].decode("ascii") for value in _DATA_MINING.finditer(data)] if b"DataMining" in data else []
    if _ASSERTION in data:
        found += [f"{entry[1].decode('ascii')}: {entry[2].decode('ascii')}" for entry in _ENTRY.finditer(data)]
    return "; ".join(dict.fromkeys(found))[:500]


def refuses_training(rights: str) -> bool:
    """Return whether what usage_rights found refuses the training of a classifier."""
    return _REFUSALS.search(rights) is not None
