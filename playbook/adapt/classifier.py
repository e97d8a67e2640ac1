"""An adapted model as one folder, and the classifier that answers from it.

The folder is a model in Hugging Face layout (config.json, tokenizer.json, model.safetensors with the trained blocks in
place) with two files of ours: head.safetensors and bundle.json (labels, pooling, arithmetic, the pin of the base, and
the temperature that makes probabilities of what the head says).
"""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from playbook.adapt.cache import chunks_of, embed_rows, length_order
from playbook.adapt.encoder import EMBEDDINGS, Encoder, load_encoder
from playbook.adapt.precision import compute_dtype
from playbook.adapt.tokens import tokenize
from playbook.artifacts import BasePin
from playbook.errors import ArtifactError

HEAD = "head."
FROZEN = "frozen.safetensors"  # tensors of the base that training changed, as they were
COPIED = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


class TextClassifier:
    """Class probabilities for texts; the same arithmetic as in training, on the device that it is given.

    The head's logits are divided by `temperature` before the softmax (Guo et al., On Calibration of Modern Neural
    Networks, ICML 2017): one over 1 makes the model less sure, 1 leaves it as it was trained.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: dict[str, torch.Tensor],
        labels: Sequence[str],
        tokenizer: Path,
        max_length: int,
        dtype: torch.dtype,
        temperature: float = 1.0,
    ) -> None:
        if not 0 < temperature < math.inf:
            raise ArtifactError(f"expected a temperature above 0, found {temperature}; package the model again")
        self.encoder, self.labels, self.dtype = encoder.eval(), tuple(labels), dtype
        self._weight, self._bias = head[f"{HEAD}weight"].to(self.device), head[f"{HEAD}bias"].to(self.device)
        self._tokenizer, self._max_length = tokenizer, max_length
        self.temperature = temperature
        self._frozen: Encoder | None = None  # None: the encoder is the frozen base itself
        self._shared = len(self.encoder.blocks)  # blocks from the bottom that both have in common

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.embeddings.word.device

    def keep_frozen(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take the base's own tensors in place of the trained ones, so that its features can be had beside answers."""
        self._frozen, self._shared = _frozen_encoder(self.encoder, tensors)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities, float32 of shape (texts, classes), columns in the order of `labels`."""
        return self._answer(texts, with_features=False)[0]

    def predict_with_features(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities, and pooled features of the frozen base, float32 of shape (texts, width).

        Blocks that are the base's own run once; those above them run with trained and with frozen weights.
        """
        return self._answer(texts, with_features=True)

    @torch.inference_mode()
    def _answer(self, texts: Sequence[str], *, with_features: bool) -> tuple[np.ndarray, np.ndarray]:
        tokens = tokenize(texts, self._tokenizer, self._max_length)
        result = np.zeros((len(texts), len(self.labels)), np.float32)
        features = np.zeros((len(texts) if with_features else 0, self.encoder.width), np.float32)
        order = length_order(tokens)
        for part in chunks_of(tokens.lengths[order]):
            hidden, spans = embed_rows(self.encoder, tokens, order[part], self.dtype)
            shared = self.encoder.run(hidden, spans, 0, self._shared)
            pooled = self.encoder.pool(self.encoder.run(shared, spans, self._shared), spans)
            logits = F.linear(pooled, self._weight, self._bias)
            result[order[part]] = (logits / self.temperature).softmax(1).cpu().numpy()
            if with_features:
                frozen = self._frozen
                found = pooled if frozen is None else frozen.pool(frozen.run(shared, spans, self._shared), spans)
                features[order[part]] = found.cpu().numpy()
        return result, features


def save_bundle(
    folder: Path,
    base_folder: Path,
    pin: BasePin,
    labels: Sequence[str],
    weights: Path,
    precision: Literal["auto", "bf16", "float32"] = "auto",
    temperature: float = 1.0,
    keep_frozen: bool = False,
) -> None:
    """Write a self-contained model folder: the base with the trained tensors of `weights` in place, and the head.

    Args:
        folder: made where it is missing.
        base_folder: of the pinned base.
        pin: of the base.
        labels: classes in the order of the head's rows.
        weights: safetensors file of trained tensors.
        precision: arithmetic that the model answers in.
        temperature: that its logits are divided by; 1 for answers as trained.
        keep_frozen: keep the base's own tensors of what was trained, too, for features of the frozen base.

    Raises:
        ArtifactError: `weights` has no head, or a tensor that the base does not have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (base_folder / name).exists():
            shutil.copyfile(base_folder / name, folder / name)
    trained = load_file(weights)
    head = {name: tensor for name, tensor in trained.items() if name.startswith(HEAD)}
    if head.keys() != {f"{HEAD}weight", f"{HEAD}bias"}:
        raise ArtifactError(f"{weights}: expected head.weight and head.bias, found {sorted(head)}")
    full = load_file(base_folder / "model.safetensors")
    places = {name: _name_in(full, name) for name in trained if not name.startswith(HEAD)}
    if keep_frozen and places:
        save_file({name: full[place] for name, place in places.items()}, folder / FROZEN)
    full |= {place: trained[name] for name, place in places.items()}
    save_file(full, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(head, folder / "head.safetensors")
    about = {"labels": list(labels), "precision": precision, "pin": pin.model_dump(), "temperature": temperature}
    (folder / "bundle.json").write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")


def _name_in(full: dict[str, torch.Tensor], name: str) -> str:
    """A block's tensor in a checkpoint that may carry the encoder under a prefix."""
    found = [known for known in full if known == name or known.endswith(f".{name}")]
    if len(found) != 1:
        raise ArtifactError(f"trained tensor {name} has {len(found)} places in the base's checkpoint, expected one")
    return found[0]


def load_bundle(folder: Path, device: torch.device | None = None) -> TextClassifier:
    """Read a model folder; nothing is unpickled and no code of the folder is run.

    A folder that names no temperature answers as its model was trained: such bundles were made before there was one.
    """
    about = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    pin = BasePin(**about["pin"])
    device = device or torch.device("cpu")
    encoder = load_encoder(folder, pin.pooling).requires_grad_(False).to(device)
    head = load_file(folder / "head.safetensors")
    dtype = compute_dtype(about["precision"], device)
    temperature = float(about.get("temperature", 1.0))
    tokenizer = folder / "tokenizer.json"
    model = TextClassifier(encoder, head, about["labels"], tokenizer, pin.max_length, dtype, temperature)
    if (folder / FROZEN).is_file():
        model.keep_frozen(load_file(folder / FROZEN))
    return model


def _frozen_encoder(encoder: Encoder, tensors: dict[str, torch.Tensor]) -> tuple[Encoder, int]:
    """The encoder as it was before training, and how many of its blocks, from the bottom, both share.

    Raises:
        ArtifactError: embeddings were trained, so that nothing is shared.
    """
    if any(name.startswith(EMBEDDINGS) for name in tensors):
        raise ArtifactError("expected a model whose embeddings are the base's own, found trained ones")
    shared = min(int(name.removeprefix(encoder.names.block_prefix).split(".")[0]) for name in tensors)
    blocks = [*encoder.blocks[:shared], *copy.deepcopy(encoder.blocks[shared:])]
    frozen = Encoder(encoder.embeddings, blocks, encoder.names, encoder.pooling)
    frozen.load_tensors(_filled(encoder, tensors, shared))
    return frozen.requires_grad_(False).eval(), shared


def _filled(encoder: Encoder, tensors: dict[str, torch.Tensor], shared: int) -> dict[str, torch.Tensor]:
    """Tensors of whole blocks: what is not in `tensors` was not trained and is the encoder's own."""
    return dict(encoder.named_tensors(shared)) | tensors
