"""The clean process of `playbook.operate.parity`: loads a bundle, answers, writes what it answered."""

from __future__ import annotations

import json
from pathlib import Path


def main(folder: str) -> None:
    """Answer `request.json` (bundle, texts) in a folder by `answers.safetensors` (float32, rows by classes)."""
    import numpy as np
    from safetensors.numpy import save_file

    from playbook.adapt.classifier import load_bundle

    place = Path(folder)
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    model = load_bundle(Path(request["bundle"]))
    probabilities = np.ascontiguousarray(model.predict_proba(request["texts"]), dtype=np.float32)
    (place / "labels.json").write_text(json.dumps(list(model.labels)), encoding="utf-8")
    save_file({"probabilities": probabilities}, place / "answers.safetensors")
