"""The clean process of `playbook.operate.parity`: loads a bundle, answers, writes what it answered."""

from __future__ import annotations

import json
from pathlib import Path


def main(folder: str) -> None:
    """Answer `request.json` (bundle, texts) in a folder by `answers.safetensors`.

    That holds probabilities (float32, rows by classes) and, where the bundle looks at inputs, `scores` (rows,).
    """
    import numpy as np
    from safetensors.numpy import save_file

    from playbook.operate.answering import load_answering

    place = Path(folder)
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    model = load_answering(Path(request["bundle"]))
    probabilities, scores = model.raw(request["texts"])
    found = {"probabilities": probabilities} | ({"scores": scores} if scores is not None else {})
    (place / "labels.json").write_text(json.dumps(list(model.labels)), encoding="utf-8")
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in found.items()}
    save_file(arrays, place / "answers.safetensors")
