"""ONNX models, written byte by byte: those that tests need, and what converts others'.

ONNX is a protobuf message; of it so little is needed here that writing it takes fewer lines than its package has
dependencies. Fields by https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def _varint(number: int) -> bytes:
    out = b""
    while True:
        number, low = number >> 7, number & 127
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


def _field(tag: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(tag << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(tag << 3 | 2) + _varint(len(data)) + data


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_field(1, _field(2 if isinstance(one, str) else 1, one)) for one in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sizes)))  # 1: float32


def tensor(name: str, values: np.ndarray) -> bytes:
    """A named constant of floats."""
    sizes = b"".join(_field(1, size) for size in values.shape)
    return sizes + _field(2, 1) + _field(8, name) + _field(9, values.astype("<f4").tobytes())


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int | float | Sequence[int]) -> bytes:
    """One step."""
    named = b""
    for name, value in attributes.items():
        if isinstance(value, float):
            body = _varint(2 << 3 | 5) + np.float32(value).tobytes() + _field(20, 1)
        elif isinstance(value, int):
            body = _field(3, value) + _field(20, 2)
        else:
            body = b"".join(_field(8, one) for one in value) + _field(20, 7)
        named += _field(5, _field(1, name) + body)
    return b"".join(_field(1, one) for one in inputs) + _field(2, output) + _field(4, kind) + named


def model(
    nodes: Sequence[bytes],
    constants: Sequence[bytes],
    takes: tuple[str, Sequence[int | str]],
    gives: tuple[str, Sequence[int | str]],
) -> bytes:
    """The file. `takes` and `gives`: name and shape of input and output."""
    graph = b"".join(_field(1, one) for one in nodes) + _field(2, "graph")
    graph += b"".join(_field(5, one) for one in constants)
    graph += _field(11, _value(*takes)) + _field(12, _value(*gives))
    return _field(1, 8) + _field(8, _field(2, 13)) + _field(7, graph)  # IR 8, opset 13


def classifier(weights: np.ndarray, bias: np.ndarray, side: int = 32) -> bytes:
    """Takes (n, 3, side, side); gives for each picture mean colour x weights (3 x answers) + bias."""
    return model(
        [
            node("GlobalAveragePool", ["picture"], "pooled"),
            node("Flatten", ["pooled"], "mean"),
            node("Gemm", ["mean", "weights", "bias"], "answers"),
        ],
        [tensor("weights", weights), tensor("bias", bias)],
        ("picture", ["n", 3, side, side]),
        ("answers", ["n", weights.shape[1]]),
    )
