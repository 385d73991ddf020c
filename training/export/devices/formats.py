"""The registry of formats for devices."""

from __future__ import annotations

from collections.abc import Mapping

from training.export.devices import core_ml, onnx_int8, openvino_ir, tflite
from training.export.devices.device_format import PICTURES, VIEWS, DeviceFormat

DEVICE_FORMATS: Mapping[str, DeviceFormat] = {
    made.name: made
    for made in (
        DeviceFormat(
            "onnx-int8",
            "ONNX, 8-bit",
            onnx_int8.FILE,
            ("onnx", "onnxruntime"),
            "export",
            ("onnx", "onnxruntime"),
            PICTURES,
            onnx_int8.convert,
            onnx_int8.opened,
        ),
        DeviceFormat(
            "openvino",
            "OpenVINO, 16-bit weights",
            openvino_ir.FILE,
            ("openvino",),
            "openvino",
            ("openvino",),
            VIEWS,
            openvino_ir.convert,
            openvino_ir.opened,
        ),
        DeviceFormat(
            "litert",
            "LiteRT",
            tflite.FILE,
            ("litert_torch", "ai_edge_litert"),
            "litert",
            ("litert-torch", "ai-edge-litert"),
            VIEWS,
            tflite.convert,
            tflite.opened,
        ),
        DeviceFormat(
            "coreml",
            "Core ML, 16-bit",
            core_ml.FILE,
            ("coremltools",),
            "coreml",
            ("coremltools",),
            VIEWS,
            core_ml.convert,
            core_ml.opened,
            core_ml.why_not_run,
        ),
    )
}
"""By the name that `export --to` takes."""
