"""`answers.json` of a run: what its network answers to the test images; read without torch."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from nas.runs.stored import Count, Percent, Schema, Share, read_record, record

FILE = "answers.json"
ANSWERS: Schema = {
    "test_images": Count,
    "class_percent": dict[str, Percent | None],
    "class_images": dict[str, Count],
    "confusion": list[list[Count]] | None,
    "calibration_error_percent": Percent,
    "calibration_bins": Count,
    "samples": dict[str, list[dict]],
}
SAMPLE: Schema = {"row": Count, "label": Count, "answer": Count, "confidence": Share, "picture": str}
PNG = b"\x89PNG\r\n\x1a\n"


def read_answers(run: Path) -> dict[str, Any] | None:
    """The answers of the network in `run`; None where it was not trained, or by a release that kept none.

    Raises `ValueError` where they are damaged, and for a picture that is none.
    """
    path = run / FILE
    if not path.exists():
        return None
    found = read_record(path, "answers", ANSWERS)
    classes, table = len(found["class_percent"]), found["confusion"]
    sizes = {len(found["class_images"])} | ({len(table), *map(len, table)} if table is not None else set())
    if sizes != {classes}:
        raise ValueError(f"answers {path}: its figures are of different numbers of classes; it is damaged")
    for kind, rows in found["samples"].items():
        found["samples"][kind] = [_sample(row, classes, f"answers {path}: an image") for row in rows]
    return found


def _sample(row: Any, classes: int, what: str) -> dict[str, Any]:
    found = record(row, SAMPLE, what)
    if max(found["label"], found["answer"]) >= classes:
        raise ValueError(f"{what}: label and answer must be below {classes}, the number of classes; it is damaged")
    try:
        is_png = base64.b64decode(found["picture"], validate=True).startswith(PNG)
    except (binascii.Error, ValueError):
        is_png = False
    if not is_png:
        raise ValueError(f"{what}: picture must be a PNG in base 64; it is damaged")
    return found
