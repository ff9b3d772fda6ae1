"""The MobileNet of nsfwjs (npm, MIT) as ONNX, without TensorFlow: read from its JavaScript, written layer by layer."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.agents.onnx_model import model, node, tensor

#: Its answers, in their order.
LABELS = ("drawing", "hentai", "neutral", "porn", "sexy")
#: Those that the package means by unsafe.
UNSAFE = ("hentai", "porn", "sexy")


def onnx_of(folder: Path) -> bytes:
    """The model of an unpacked package's folder `dist/models/mobilenet_v2`. Takes (n, 3, 224, 224) from 0 to 1."""
    written = (folder / "model.min.js").read_text("utf-8")
    tree = _literal(written[written.index("{modelTopology:") :])
    shards = b"".join(
        base64.b64decode(max(re.findall(r'"([A-Za-z0-9+/=]{1000,})"', path.read_text("utf-8")), key=len))
        for path in sorted(folder.glob("group1-shard*.min.js"))
    )
    weights = _weights(tree["weightsManifest"][0]["weights"], shards)
    layers = tree["modelTopology"]["model_config"]["config"]["layers"]
    nodes: list[bytes] = []
    constants = [tensor("zero", np.array(0.0)), tensor("six", np.array(6.0))]
    names: dict[str, str] = {}  # layer → the tensor that holds its answer
    padded: dict[str, list[int]] = {}  # layer that only pads → its pads: what follows does it
    for layer in layers:
        name, kind, config = layer["name"], layer["class_name"], layer["config"]
        inputs = [one[0] for one in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []
        held = [names[one] for one in inputs]
        names[name] = name
        if kind == "InputLayer":
            names[name] = "picture"
        elif kind == "Dropout":
            names[name] = held[0]
        elif kind == "ZeroPadding2D":
            (top, bottom), (left, right) = config["padding"]
            padded[name], names[name] = [top, left, bottom, right], held[0]
        elif kind in {"Conv2D", "DepthwiseConv2D"}:
            deep = kind == "DepthwiseConv2D"
            kernel = weights[f"{name}/{'depthwise_kernel' if deep else 'kernel'}"]
            kernel = kernel.transpose(2, 3, 0, 1) if deep else kernel.transpose(3, 2, 0, 1)
            side = kernel.shape[2] // 2 if config["padding"] == "same" else 0
            if config["padding"] == "same" and config["strides"] != [1, 1] and side:
                raise ValueError(f"{name}: padding of a strided layer is not known here")
            constants.append(tensor(f"{name}/kernel", kernel))
            nodes.append(
                node(
                    "Conv",
                    [held[0], f"{name}/kernel"],
                    name,
                    strides=config["strides"],
                    group=kernel.shape[0] if deep else 1,
                    pads=padded.get(inputs[0], [side] * 4),
                )
            )
        elif kind == "BatchNormalization":
            parts = [f"{name}/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")]
            constants += [tensor(part, weights[part]) for part in parts]
            nodes.append(node("BatchNormalization", [held[0], *parts], name, epsilon=float(config["epsilon"])))
        elif kind == "ReLU":
            nodes.append(node("Clip", [held[0], "zero", "six"], name))
        elif kind == "Add":
            nodes.append(node("Add", held, name))
        elif kind == "AveragePooling2D":
            nodes.append(node("GlobalAveragePool", held, name))
        elif kind == "Flatten":
            nodes.append(node("Flatten", held, name))
        elif kind == "Dense":
            constants += [tensor(f"{name}/{part}", weights[f"{name}/{part}"]) for part in ("kernel", "bias")]
            nodes.append(node("Gemm", [held[0], f"{name}/kernel", f"{name}/bias"], f"{name}/linear"))
            nodes.append(node({"relu": "Relu", "softmax": "Softmax"}[config["activation"]], [f"{name}/linear"], name))
        else:
            raise ValueError(f"{name}: layers of kind {kind} are not known here")
    return model(nodes, constants, ("picture", ["n", 3, 224, 224]), (names[layers[-1]["name"]], ["n", len(LABELS)]))


def _weights(listed: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for one in listed:
        count = int(np.prod(one["shape"]))
        how = one["quantization"]
        values = np.frombuffer(data, how["dtype"], count, at)
        at += values.nbytes
        found[one["name"]] = (values * how["scale"] + how["min"]).reshape(one["shape"])
    return found


def _literal(written: str) -> Any:
    """A JavaScript literal, of the kind that minifiers write, as Python."""
    quoted = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', written).replace(":!1", ":false").replace(":!0", ":true")
    quoted = re.sub(r"([:,\[]-?)\.(\d)", r"\g<1>0.\2", quoted)
    return json.JSONDecoder().raw_decode(quoted)[0]
