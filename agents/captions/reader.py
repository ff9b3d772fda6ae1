"""The reader: finds and reads lines of text by PP-OCRv6 small (Baidu, Apache-2.0) in the package rapidocr."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.weights import wrong

#: SHA-256 of the models in the package's wheel, as its list of models states them.
MODELS = {
    "PP-OCRv6_det_small.onnx": "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    "PP-OCRv6_rec_small.onnx": "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}
#: Changes with the models: what is read depends on them alone.
VERSION = "pp-ocrv6-small"
#: Pixels around a line that are read with it: the finder's corners may cut the first stroke.
MARGIN = 2


class Line(NamedTuple):
    """A line of text as found: its four corners, (4, 2) pixels from the top left one clockwise."""

    corners: NDArray[np.float32]


def problems() -> list[str]:
    """What is missing or not as it was measured."""
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        return ["the package rapidocr is missing: pip install 'veristream[captions]'"]
    folder = Path(spec.origin).parent / "models"
    return wrong({folder / name: digest for name, digest in MODELS.items()})


class Reader:
    """The loaded models, on one thread. Takes RGB pictures."""

    def __init__(self) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)  # processes × threads = cores
        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                # A picture is searched as it is given: the size it has was chosen.
                "Det.limit_type": "min",
                "Det.limit_side_len": 32,
            }
        )
        # Models are loaded at their first use, which must not come when files are out of reach.
        blank = np.full((64, 320, 3), 255, np.uint8)
        self.find(blank)
        self.read(blank, Line(np.array([(8, 8), (312, 8), (312, 56), (8, 56)], np.float32)))

    def find(self, rgb: NDArray[np.uint8]) -> list[Line]:
        """Every line of text in the picture, from top to bottom."""
        found = self._engine(rgb[:, :, ::-1], use_det=True, use_cls=False, use_rec=False)
        boxes = getattr(found, "boxes", None)
        return [] if boxes is None else [Line(np.asarray(corners, np.float32).reshape(4, 2)) for corners in boxes]

    def read(self, rgb: NDArray[np.uint8], line: Line) -> tuple[str, float]:
        """The line's text, and how sure of it the model is, 0 to 1. A line that is higher than wide is turned first."""
        from rapidocr.utils.process_img import get_rotate_crop_image

        height, width = rgb.shape[:2]
        away = np.array([(-MARGIN, -MARGIN), (MARGIN, -MARGIN), (MARGIN, MARGIN), (-MARGIN, MARGIN)], np.float32)
        corners = np.clip(line.corners + away, 0, (width - 1, height - 1)).astype(np.float32)
        piece = get_rotate_crop_image(rgb[:, :, ::-1], corners)
        if min(piece.shape[:2]) < 2:
            return "", 0.0
        found = self._engine(piece, use_det=False, use_cls=False, use_rec=True)
        texts, scores = getattr(found, "txts", None), getattr(found, "scores", None)
        return (str(texts[0]), float(scores[0])) if texts and scores else ("", 0.0)
