import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from preprocessing import clean
from preprocessing.images.usage_rights import refuses_training, usage_rights
from workspace.catalog.records import Download, Hit, ImageFacts, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

PLUS = "http://ns.useplus.org/ldf/vocab/"


def xmp(rights: str, *, as_element: bool = False) -> bytes:
    inside = f"><plus:DataMining>{PLUS}{rights}</plus:DataMining></rdf:Description>"
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
        + (inside if as_element else f' plus:DataMining="{PLUS}{rights}"/>')
        + '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def picture(kind: str, packet: bytes = b"", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (80, 96, 3), dtype=np.uint8)
    out = io.BytesIO()
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet.decode())
    more = {"PNG": {"pnginfo": text}, "TIFF": {"tiffinfo": {700: packet}}}.get(kind, {"xmp": packet})
    Image.fromarray(pixels).save(out, kind, **more)
    return out.getvalue()


def cbor(value: object) -> bytes:
    """Short texts and maps in CBOR (RFC 8949), as C2PA assertions are written."""
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0x60 + len(data)]) if len(data) < 24 else bytes([0x78, len(data)])) + data
    assert isinstance(value, dict)
    return bytes([0xA0 + len(value)]) + b"".join(cbor(key) + cbor(item) for key, item in value.items())


def manifest(entries: dict[str, str], *, prefix: str = "cawg", as_json: bool = False) -> bytes:
    """A JPEG with an APP11 segment that holds a training and data mining assertion in a JUMBF box."""
    assertion = {"entries": {f"{prefix}.{name}": {"use": use} for name, use in entries.items()}}
    content = json.dumps(assertion).encode() if as_json else cbor(assertion)
    label = f"{prefix}.training-mining".encode() + b"\0"
    box = len(content).to_bytes(4, "big") + (b"json" if as_json else b"cbor") + content
    payload = b"JP\0\1\0\0\0\1" + b"jumb" + b"jumd" + label + box
    jpeg = picture("JPEG")
    return jpeg[:2] + b"\xff\xeb" + (len(payload) + 2).to_bytes(2, "big") + payload + jpeg[2:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("as_element", [False, True])
def test_iptc_data_mining_is_read_in_every_container(kind: str, as_element: bool) -> None:
    rights = usage_rights(picture(kind, xmp("DMI-PROHIBITED-AIMLTRAINING", as_element=as_element)))
    assert (rights, refuses_training(rights)) == ("DMI-PROHIBITED-AIMLTRAINING", True)


@pytest.mark.parametrize(
    ("value", "refuses"),
    [
        ("DMI-PROHIBITED", True),
        ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", True),
        ("DMI-PROHIBITED-SEECONSTRAINT", True),
        ("DMI-PROHIBITED-GENAIMLTRAINING", False),
        ("DMI-ALLOWED", False),
        ("DMI-UNSPECIFIED", False),
    ],
)
def test_what_forbids_training_a_classifier_refuses_and_the_rest_is_kept(value: str, refuses: bool) -> None:
    rights = usage_rights(picture("JPEG", xmp(value)))
    assert (rights, refuses_training(rights)) == (value, refuses)


@pytest.mark.parametrize("form", [{"prefix": "cawg"}, {"prefix": "c2pa"}, {"prefix": "c2pa", "as_json": True}])
@pytest.mark.parametrize(
    ("entries", "refuses"),
    [
        ({"ai_inference": "allowed", "ai_training": "notAllowed"}, True),
        ({"ai_training": "constrained"}, True),
        ({"data_mining": "notAllowed", "ai_training": "allowed"}, True),
        ({"ai_generative_training": "notAllowed", "ai_training": "allowed"}, False),
        ({"ai_training": "allowed"}, False),
    ],
)
def test_a_c2pa_manifest_is_read(entries: dict[str, str], refuses: bool, form: dict[str, object]) -> None:
    rights = usage_rights(manifest(entries, **form))  # type: ignore[arg-type]
    assert rights == "; ".join(f"{form['prefix']}.{name}: {use}" for name, use in entries.items())
    assert refuses_training(rights) is refuses


def test_a_file_without_either_says_nothing() -> None:
    assert usage_rights(picture("JPEG")) == usage_rights(b"") == ""
    assert usage_rights(picture("JPEG", b"<p>DataMining is prohibited, c2pa.ai_training notAllowed</p>")) == ""


@pytest.mark.parametrize("flagged", [True, False])
def test_clean_flags_such_a_picture_and_keeps_it(tmp_path, flagged: bool) -> None:
    workspace = Workspace(tmp_path)
    files = {"reserved": picture("JPEG", xmp("DMI-PROHIBITED")), "free": picture("JPEG", seed=1)}
    names = {hashlib.sha256(data).hexdigest(): name for name, data in files.items()}
    with workspace.open_catalog() as catalog:
        for sha, name in names.items():
            ImageStore(workspace).put(sha, ".jpg", files[name], durable=False)
            catalog.put([Hit("x", "x", "folder", 0, name)])
            catalog.put([Download(name, "ok", bytes=len(files[name]), sha256=sha)])
    config = {"classes": {"x": "x", "y": "y"}, "clean": {"flag_reserved": flagged, "workers": 1}}
    clean.run(workspace, WorkspaceConfig.model_validate(config))
    with workspace.open_catalog() as catalog:
        rights = {names[facts.sha256]: facts.usage_rights for facts in catalog.all(ImageFacts)}
        found = {names[row.sha256]: (row.verdict, row.reason) for row in catalog.all(Verdict) if row.stage == "check"}
    assert rights == {"reserved": "DMI-PROHIBITED", "free": ""}
    assert found == {"reserved": ("flag", "training_refused") if flagged else ("keep", ""), "free": ("keep", "")}
