"""Preprocessing as an ONNX graph: from images of any size to the square input of the network.

It repeats the arithmetic of Pillow (src/libImaging/Resample.c and Reduce.c of Pillow 12): coefficients in double
precision, rounded to 22 bits; one axis after the other, each rounded to integer levels. So an exported model gives the
same answers as `predict` to the same pixels, in any ONNX runtime. `predict` reads a JPEG at least twice as large as the
cache in Pillow's draft mode (preprocessing/images/decode.py), whose pixels differ a little from those of the full size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import PIL
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
"""Of the graphs; onnxruntime 1.17 and later run it."""

IR_VERSION = 9

REDUCING_GAP = 3.0
"""As in preprocessing.images.decode.shrink: blocks of a large image are averaged to at least 3 times the final size."""

# Pillow 13 resizes columns first where many more rows than columns are dropped (pull request 9549), 12 never.
_TALL_COLUMNS_FIRST = int(PIL.__version__.split(".")[0]) >= 13

_COEFFICIENT_BITS = 22  # PRECISION_BITS of Resample.c
_SUPPORT = 2.0  # of the bicubic filter, in pixels


class _Graph:
    """Builder of a graph; a value is the name of the node output that holds it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return its name."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: object, kind: type[np.generic] = np.float64) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def calculate(self, kind: str, left: str, right: float) -> str:
        """Add a node that combines a value and a constant, in double precision."""
        return self(kind, left, self.constant(right))

    def double(self, value: str) -> str:
        """Cast to double."""
        return self("Cast", value, to=TensorProto.DOUBLE)

    def whole(self, value: str) -> str:
        """Cast to int64, truncating."""
        return self("Cast", value, to=TensorProto.INT64)


def preprocessing_graph(side_px: int, resize_px: int, crop_px: int) -> onnx.ModelProto:
    """Build the graph from `pictures`, uint8 [n, h, w, 3], to `views`, uint8 [n, crop, crop, 3].

    Args:
        side_px: the shorter side to which images are shrunk first, as in the pixel cache.
        resize_px: the shorter side before the centre crop.
        crop_px: side of the crop.
    """
    graph, plan = _Graph(), (side_px, resize_px, crop_px)
    shape = graph("Shape", "pictures")
    height, width = (graph.double(graph("Gather", shape, graph.constant(axis, np.int64), axis=0)) for axis in (1, 2))
    pixels = graph("Transpose", graph("Cast", "pictures", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    rows, columns = (_axis(graph, size, graph("Min", height, width), plan) for size in (height, width))
    pixels = _reduce(graph, pixels, (height, width), (rows.factor, columns.factor))
    pixels = _cut(graph, pixels, rows.shrink.pixels, columns.shrink.pixels)
    pixels = _resize(graph, pixels, rows.shrink, columns.shrink)
    pixels = _resize(graph, pixels, rows.crop, columns.crop)
    views = graph("Cast", graph("Transpose", pixels, perm=[0, 2, 3, 1]), to=TensorProto.UINT8)
    inputs = [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", "height", "width", 3])]
    outputs = [helper.make_tensor_value_info(views, TensorProto.UINT8, ["n", crop_px, crop_px, 3])]
    body = helper.make_graph(graph.nodes, "preprocess", inputs, outputs, graph.constants)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


@dataclass(frozen=True, slots=True)
class _Resample:
    """One resampling along one axis: of `length` pixels, a box becomes `size` results.

    `box` and `size` are Pillow's arguments; `pixels` and `results` are the ranges (start, end) that take part. All are
    names of double scalars.
    """

    length: str
    pixels: tuple[str, str]
    box: tuple[str, str]
    size: str
    results: tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The resampling along one axis: the mean of blocks of `factor` pixels, then two passes."""

    factor: str
    shrink: _Resample
    crop: _Resample


def _axis(graph: _Graph, size: str, short: str, plan: tuple[int, int, int]) -> _Axis:
    """Reproduce preprocessing.images.decode.shrink and training.network.views.clean_view along one axis.

    Only the pixels that the crop reads are computed, which saves most of a panorama.
    """
    side_px, resize_px, crop_px = plan
    zero, one = graph.constant(0.0), graph.constant(1.0)
    fits = graph("LessOrEqual", short, graph.constant(side_px))
    scaled = {
        name: graph("Round", graph("Div", graph.calculate("Mul", value, side_px), short))
        for name, value in (("size", size), ("short", short))
    }
    small = graph("Where", fits, size, graph("Max", one, scaled["size"]))
    small_short = graph("Where", fits, short, graph("Max", one, scaled["short"]))
    gap = graph.calculate("Div", graph("Div", size, small), REDUCING_GAP)
    factor = graph("Max", one, graph("Floor", gap))
    side = graph.calculate("Div", graph.calculate("Mul", small_short, crop_px), resize_px)
    start = graph.calculate("Div", graph("Sub", small, side), 2)
    start = graph("Where", graph("Equal", small_short, graph.constant(resize_px)), graph("Floor", start), start)
    box = (start, graph("Add", start, side))
    seen = _window(graph, box, graph.calculate("Div", side, crop_px), small)
    end = graph("Div", size, factor)
    scale = graph("Div", end, small)
    read = (graph("Mul", seen[0], scale), graph("Mul", seen[1], scale))
    count = graph("Ceil", end)
    pixels = _window(graph, read, scale, count)
    return _Axis(
        factor,
        _Resample(count, pixels, (zero, end), small, seen),
        _Resample(small, seen, box, graph.constant(crop_px), (zero, graph.constant(crop_px))),
    )


def _window(graph: _Graph, box: tuple[str, str], scale: str, size: str) -> tuple[str, str]:
    """Compute the range (start, end) of the pixels that a box reads when `scale` of them make one result."""
    reach = graph.calculate("Add", graph.calculate("Mul", graph("Max", scale, graph.constant(1.0)), _SUPPORT), 1)
    start = graph("Max", graph.constant(0.0), graph("Floor", graph("Sub", box[0], reach)))
    return start, graph("Min", size, graph("Ceil", graph("Add", box[1], reach)))


def _reduce(graph: _Graph, pixels: str, sizes: tuple[str, str], factors: tuple[str, str]) -> str:
    """Average blocks and round; the last block of a row or column may be smaller (Image.reduce)."""
    blocks = [graph("Ceil", graph("Div", size, factor)) for size, factor in zip(sizes, factors, strict=True)]
    counts = []
    missing = []
    for size, factor, block in zip(sizes, factors, blocks, strict=True):
        missing.append(graph.whole(graph("Sub", graph("Mul", block, factor), size)))
        index = graph("Range", graph.constant(0.0), block, graph.constant(1.0))
        counts.append(graph("Min", factor, graph("Sub", size, graph("Mul", index, factor))))
    axis = graph.constant([0], np.int64)
    pads = graph(
        "Concat", graph.constant([0] * 6, np.int64), *(graph("Unsqueeze", count, axis) for count in missing), axis=0
    )
    padded = graph("Pad", pixels, pads, graph.constant(0.0, np.float32))
    parts = [graph("Unsqueeze", graph.whole(size), axis) for pair in zip(blocks, factors, strict=True) for size in pair]
    split = graph("Reshape", padded, graph("Concat", graph.constant([0, 0], np.int64), *parts, axis=0))
    total = graph("ReduceSum", split, graph.constant([3, 5], np.int64), keepdims=0)
    down = graph("Unsqueeze", counts[0], graph.constant([1], np.int64))
    count = graph("Mul", down, graph("Unsqueeze", counts[1], axis))
    # Reduce.c multiplies by a truncated 24-bit inverse, which gives one level less where the mean is an integer.
    half = graph("Floor", graph.calculate("Div", count, 2))
    inverse = graph("Floor", graph("Div", graph.constant(2.0**24), count))
    mean = graph.calculate("Div", graph("Mul", graph("Add", graph.double(total), half), inverse), 2.0**24)
    return graph("Cast", graph("Floor", mean), to=TensorProto.FLOAT)


def _resize(graph: _Graph, pixels: str, rows: _Resample, columns: _Resample) -> str:
    """Resize with an antialiased bicubic filter; pixels [n, 3, h, w] come from the pass before."""
    down = _coefficients(graph, rows)
    across = graph("Transpose", _coefficients(graph, columns), perm=[1, 0])
    one_way = _rounded(graph, graph("MatMul", down, _rounded(graph, graph("MatMul", pixels, across))))
    if not _TALL_COLUMNS_FIRST:
        return one_way
    other_way = _rounded(graph, graph("MatMul", _rounded(graph, graph("MatMul", down, pixels)), across))
    lost_rows = graph("Sub", rows.length, rows.size)
    lost_columns = graph("Sub", columns.length, columns.size)
    tall = graph("Greater", lost_rows, graph.calculate("Mul", lost_columns, 2))
    shrinks = graph("Greater", lost_rows, graph.constant(0.0))
    return graph("Where", graph("And", tall, shrinks), other_way, one_way)


def _cut(graph: _Graph, pixels: str, rows: tuple[str, str], columns: tuple[str, str]) -> str:
    """Slice the pixels of these ranges."""
    axis = graph.constant([0], np.int64)
    starts, ends = (
        graph("Concat", *(graph("Unsqueeze", graph.whole(bounds[side]), axis) for bounds in (rows, columns)), axis=0)
        for side in (0, 1)
    )
    # In double precision a sum of levels times 22-bit coefficients is exact, as in Pillow's integer arithmetic.
    return graph.double(graph("Slice", pixels, starts, ends, graph.constant([2, 3], np.int64)))


def _rounded(graph: _Graph, values: str) -> str:
    levels = graph("Floor", graph.calculate("Add", values, 0.5))
    return graph("Clip", levels, graph.constant(0.0), graph.constant(255.0))


def _coefficients(graph: _Graph, resample: _Resample) -> str:
    """Compute the weight of each pixel in each result, double [results, pixels] (precompute_coeffs of Resample.c)."""
    # Pillow takes boxes in single precision.
    start, end = (graph("Cast", bound, to=TensorProto.FLOAT) for bound in resample.box)
    scale = graph("Div", graph.double(graph("Sub", end, start)), resample.size)
    zero, one = graph.constant(0.0), graph.constant(1.0)
    spread = graph("Max", scale, one)
    positions = graph.calculate("Add", graph("Range", *resample.results, one), 0.5)
    centres = graph("Add", graph.double(start), graph("Mul", positions, scale))
    pixels = graph("Range", *resample.pixels, one)
    centres = graph("Unsqueeze", centres, graph.constant([1], np.int64))
    pixels = graph("Unsqueeze", pixels, graph.constant([0], np.int64))
    weights = _bicubic(graph, graph("Div", graph.calculate("Add", graph("Sub", pixels, centres), 0.5), spread))
    # Pillow reads only the pixels between these two, which leaves out slivers at the ends of the filter.
    reach = graph.calculate("Mul", spread, _SUPPORT)
    first = graph("Floor", graph.calculate("Add", graph("Sub", centres, reach), 0.5))
    last = graph("Floor", graph.calculate("Add", graph("Add", centres, reach), 0.5))
    inside = graph("And", graph("GreaterOrEqual", pixels, first), graph("Less", pixels, last))
    weights = graph("Where", inside, weights, zero)
    total = graph("ReduceSum", weights, graph.constant([1], np.int64), keepdims=1)
    steps = float(2**_COEFFICIENT_BITS)
    scaled = graph.calculate("Mul", graph("Div", weights, total), steps)
    # C's cast after adding ±0.5 rounds halves away from zero.
    whole = graph("Mul", graph("Sign", scaled), graph("Floor", graph.calculate("Add", graph("Abs", scaled), 0.5)))
    return graph.calculate("Div", whole, steps)


def _bicubic(graph: _Graph, offsets: str) -> str:
    """Evaluate Keys' cubic kernel with a = -0.5, as in Pillow."""
    x = graph("Abs", offsets)
    square = graph("Mul", x, x)
    near = graph.calculate("Add", graph("Mul", graph.calculate("Sub", graph.calculate("Mul", x, 1.5), 2.5), square), 1)
    far = graph("Mul", graph.calculate("Sub", x, 5), x)
    far = graph.calculate("Sub", graph("Mul", graph.calculate("Add", far, 8), x), 4)
    far = graph.calculate("Mul", far, -0.5)
    far = graph("Where", graph("Less", x, graph.constant(_SUPPORT)), far, graph.constant(0.0))
    return graph("Where", graph("Less", x, graph.constant(1.0)), near, far)
