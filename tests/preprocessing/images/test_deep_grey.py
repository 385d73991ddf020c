"""Grey values of more than 8 bits: their range is the file's word, else an assumption that is written down."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from preprocessing import clean
from preprocessing.images.decode import decode
from workspace.catalog.records import ImageFacts, Verdict
from workspace.errors import ImageRefused

RAMP = np.linspace(0, 1, 64 * 80).reshape(64, 80)
EXPECTED = np.rint(RAMP * 255)
LEAST, LARGEST, NO_DATA = 340, 341, 42113


def tiff(
    values: np.ndarray, *extra: tuple[int, int, bytes], packed: bool = False, black: int = 1, bits: int | None = None
) -> bytes:
    """A TIFF of one strip; `extra` are (tag, type, bytes), `black` is 0 where the least value is white."""
    order = ">" if values.dtype.byteorder == ">" else "<"
    height, width = values.shape
    data = zlib.compress(values.tobytes()) if packed else values.tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    short = {258: bits or values.itemsize * 8, 259: 8 if packed else 1, 262: black, 277: 1, 339: kind}
    long = {256: width, 257: height, 273: 8, 278: height, 279: len(data)}
    entries = [(tag, 3, 1, struct.pack(f"{order}H", value)) for tag, value in short.items()]
    entries += [(tag, 4, 1, struct.pack(f"{order}I", value)) for tag, value in long.items()]
    sizes = {2: 1, 3: 2, 4: 4, 11: 4, 12: 8}
    entries += [(tag, kind, len(value) // sizes[kind], value) for tag, kind, value in extra]
    body, fields = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4) + data, []
    for tag, kind, count, value in sorted(entries):
        if len(value) > 4:
            value, body = struct.pack(f"{order}I", len(body)), body + value
        fields.append(struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0"))
    place = struct.pack(f"{order}I", len(body))
    return body[:4] + place + body[8:] + struct.pack(f"{order}H", len(fields)) + b"".join(fields) + bytes(4)


def grey(data: bytes) -> tuple[np.ndarray, str]:
    found = decode(data)
    return found.pixels[..., 0].astype(int), found.note


def off(pixels: np.ndarray, expected: np.ndarray = EXPECTED) -> float:
    return float(np.abs(pixels - expected).mean())


@pytest.mark.parametrize("top", [1, 20, 255, 1023, 1500, 4095, 16383, 65535, 5e6])
def test_values_of_any_scale_come_out_neither_black_nor_white(top) -> None:
    for dtype in ("f4", "f8", "i4", "u4"):
        if top > 1 or dtype[0] == "f":
            pixels, note = grey(tiff((RAMP * top).astype(f"<{dtype}")))
            assert pixels.min() == 0 and pixels.max() >= 90, (dtype, top)
            assert note.startswith(f"grey values 0 to {top:g}: "), (dtype, top)


@pytest.mark.parametrize(("order", "packed", "black"), [*itertools.product("<>", (False, True), (1, 0))])
def test_every_layout_of_a_tiff_is_read(order, packed, black) -> None:
    tops = {"u2": 65535, "i2": 4095, "u4": 65535, "i4": 4095, "f2": 255, "f4": 255, "f8": 4095}
    for dtype, top in tops.items():
        pixels, _ = grey(tiff((RAMP * top).astype(order + dtype), packed=packed, black=black))
        assert off(pixels if black else 255 - pixels) < 0.6, dtype


def test_the_file_s_own_range_is_taken_at_its_word() -> None:
    values = (RAMP * 300 - 100).astype("<f4")
    pixels, note = grey(tiff(values, (LEAST, 11, struct.pack("<f", -400)), (LARGEST, 11, struct.pack("<f", 600))))
    assert note == "" and off(pixels, np.rint((values + 400) * 0.255)) < 0.01
    wide = tiff((RAMP * 4095).astype("<u2"), (LEAST, 3, struct.pack("<H", 0)), (LARGEST, 3, struct.pack("<H", 4095)))
    assert off(grey(wide)[0]) < 0.1
    clipped = tiff(values, (LEAST, 12, struct.pack("<d", 0)), (LARGEST, 12, struct.pack("<d", 200)))
    assert off(grey(clipped)[0], np.rint(np.clip(values, 0, 200) * 255 / 200)) < 0.01


@pytest.mark.parametrize(
    "stated",
    [(0.0, 1.0), (5.0, 5.0), (9.0, 1.0), (float("nan"), 2.0), (0.0, float("inf")), (1e9, 2e9), (-3.4e38, 3.4e38)],
)
def test_a_range_that_does_not_hold_the_values_is_not_believed(stated) -> None:
    least, largest = ((tag, 12, struct.pack("<d", value)) for tag, value in zip((LEAST, LARGEST), stated, strict=True))
    pixels, note = grey(tiff((RAMP * 254 + 1).astype("<f4"), least, largest))
    assert off(pixels) < 1.1 and "255" in note


def test_the_bits_of_unsigned_integers_are_their_range() -> None:
    dark = (RAMP * 9000).astype("<u2")
    pixels, note = grey(tiff(dark))
    assert note == "" and off(pixels, np.rint(dark / 257)) < 0.01
    out = io.BytesIO()
    Image.fromarray(dark).save(out, "PNG")
    assert np.array_equal(grey(out.getvalue())[0], pixels) and grey(out.getvalue())[1] == ""
    twelve = np.rint(RAMP * 4095).astype(int).reshape(-1, 2)
    packed = np.stack([twelve[:, 0] >> 4, (twelve[:, 0] & 15) << 4 | twelve[:, 1] >> 8, twelve[:, 1] & 255], 1)
    data = tiff(packed.astype(np.uint8).reshape(64, 120), bits=12).replace(
        struct.pack("<HHII", 256, 4, 1, 120), struct.pack("<HHII", 256, 4, 1, 80)
    )
    assert off(grey(data)[0]) < 0.1 and grey(data)[1] == ""


def test_a_transparent_16_bit_grey_is_white() -> None:
    values = (RAMP * 65535).astype(np.uint16)
    values[:10] = 777
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG", transparency=777)
    assert (grey(out.getvalue())[0][:10] == 255).all()


@pytest.mark.parametrize("stray", [np.nan, np.inf, -np.inf, 1e30, -3.4e38, -9999.0, 1e6])
def test_a_few_stray_values_do_not_darken_the_others(stray) -> None:
    values = (RAMP * 255).astype("<f4")
    values[0, :4] = stray
    assert off(grey(tiff(values))[0][1:], EXPECTED[1:]) < 1.5


def test_what_stands_for_no_measurement_has_no_part_in_the_range() -> None:
    values = (RAMP * 200 + 55).astype("<f4")
    values[:20] = -9999
    pixels, note = grey(tiff(values, (NO_DATA, 2, b"-9999\0")))
    assert (pixels[:20] == 0).all() and off(pixels[20:], np.rint(values[20:])) < 0.01 and "-9999" not in note


@pytest.mark.parametrize("value", [0.0, 0.5, 7.0, 300.0, -5.0, np.nan, np.inf])
def test_a_single_value_is_one_grey(value) -> None:
    pixels, _ = grey(tiff(np.full((20, 20), value, "<f4")))
    assert len(np.unique(pixels)) == 1


def test_clean_keeps_it_and_says_what_was_assumed(collected, picture, encode) -> None:
    photo = np.asarray(picture(1).convert("L"))
    assumed = collected.add(tiff(photo.astype("<f4")), "a")
    plain = collected.add(encode(picture(2)), "a")
    counts = clean.run(collected.workspace, collected.config(clean={"workers": 1}))
    with collected.workspace.open_catalog() as catalog:
        notes = {one.sha256: one.note for one in catalog.all(ImageFacts)}
        kept = {one.sha256 for one in catalog.all(Verdict) if one.verdict != "drop"}
    assert kept == {assumed, plain} and notes[plain] == ""
    assert "0 to 255 was taken as black to white" in notes[assumed]
    assert [note.startswith("1 picture with grey values") for note in counts.notes] == [True]


def test_a_layout_that_is_not_opened_is_named_as_such() -> None:
    data = tiff(np.zeros((20, 60), "<f4")).replace(
        struct.pack("<HHII", 256, 4, 1, 60), struct.pack("<HHII", 256, 4, 1, 20)
    )
    of_three = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    data = data.replace(struct.pack("<HHIHH", 277, 3, 1, 1, 0), of_three)
    with pytest.raises(
        ImageRefused, match=r"format_not_allowed: a TIFF whose pixels have a layout .*; opened are JPEG"
    ):
        decode(data)
