"""Bases made from a base: truncated, with random weights, or with shuffled ones.

A derived base is an ordinary folder in Hugging Face layout, so everything that reads a base reads it. It is written
once under a cache folder, named by the hash of what it is made from, and beside its files lies `derived.json` with what
was done and the hash of every file: a folder that is incomplete or was changed is made again. The same source and
recipe give the same bytes on every machine.

- `truncated`: the lowest blocks of an encoder lose little on many tasks and take a part of the time: Sajjad et al.,
  Computer Speech and Language 77 (2023), "On the effect of dropping layers of pre-trained transformer models".
- `random_weights`: the control without transfer, initialised as the authors of BERT do (`initializer_range` 0.02,
  biases 0, norms 1; https://github.com/google-research/bert/blob/master/modeling.py), with the normal distribution
  that transformers uses in place of the truncated one.
- `shuffled`: the values of each tensor without their order, so that scales are those of the base and nothing else is;
  in the spirit of the Mean Var initialisation of Raghu et al., NeurIPS 2019 ("Transfusion").
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from playbook.artifacts import BasePin, canonical_hash
from playbook.bases.locate import CONFIG, TOKENIZER, WEIGHTS, locate_base
from playbook.bases.pin import BLOCKS_FIELDS, DERIVED, POOLING, read_header, read_json, require_files, verify_weights
from playbook.errors import PinMismatch
from playbook.spec import Base
from playbook.store import file_sha256

FORMAT = 1  # raised when the same source and recipe would give other bytes, so that older folders are not taken
COPIED = (
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    POOLING.as_posix(),
)
MODEL_PREFIXES = ("bert.", "roberta.", "distilbert.", "model.")  # of checkpoints saved from a model with a head
INITIALIZER_RANGE = 0.02
Resolve = Callable[[str], str]


@dataclass(frozen=True)
class Tensor:
    """A tensor as a safetensors file holds it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def base_on_disk(base: Base, resolve: Resolve, cache: Path) -> Path:
    """Folder of a base as the task file asks for it: its own, or, with `layers`, one truncated from it under `cache`.

    The source's weights are verified against `base.sha256` in every case.

    Raises:
        PinMismatch: not found, other weights than pinned, or fewer blocks than `layers`.
    """
    folder = locate_base(base, resolve)
    require_files(folder)
    verify_weights(base, folder)
    return folder if base.layers is None else truncated(folder, base.layers, cache)


def folder_of_pin(pin: BasePin, bases: Sequence[Base], resolve: Resolve, cache: Path) -> Path:
    """Folder on this machine of one of the task's bases, found by its pin and verified against it.

    Raises:
        PinMismatch: none of the bases has these weights, this tokenizer and this configuration here.
    """
    for base in bases:
        if base.layers != pin.layers or base.max_length != pin.max_length:
            continue
        if base.layers is None and base.sha256 != pin.weights_sha256:
            continue
        folder = base_on_disk(base, resolve, cache)
        pinned = {WEIGHTS: pin.weights_sha256, TOKENIZER: pin.tokenizer_sha256, CONFIG: pin.config_sha256}
        if all(file_sha256(folder / name) == sha256 for name, sha256 in pinned.items() if sha256):
            return folder
    raise PinMismatch(
        f"{pin.name}: expected a base of the task file with weights {pin.weights_sha256[:12]}…, tokenizer "
        f"{pin.tokenizer_sha256[:12]}… and config.json {pin.config_sha256[:12]}…, found none among {len(bases)}; "
        "materialise base_selection again"
    )


def truncated(folder: Path, layers: int, out: Path) -> Path:
    """The base with its embeddings and its lowest `layers` blocks; poolers and heads above them are left out.

    Raises:
        PinMismatch: an architecture without known names, or fewer blocks than `layers`.
    """
    config = read_json(folder / CONFIG)
    prefix = _block_prefix(folder, config)
    fields = [field for field in BLOCKS_FIELDS if isinstance(config.get(field), int)]
    blocks = min((config[field] for field in fields), default=0)
    if not 1 <= layers <= blocks:
        raise PinMismatch(
            f"base.layers: expected 1 to {blocks} blocks, which is what {folder} has, found {layers}; lower it, or "
            "leave it out for the whole base"
        )

    def tensors() -> Iterator[Tensor]:
        for tensor in read_tensors(folder / WEIGHTS):
            if _is_kept(tensor.name, prefix, layers):
                yield tensor

    shorter = {**config, **dict.fromkeys(fields, layers)}
    return _derived(folder, out, {"kind": "truncated", "layers": layers}, shorter, tensors)


def random_weights(folder: Path, seed: int, out: Path) -> Path:
    """The same architecture and tokenizer, with random weights: what training without transfer starts from.

    Matrices and embeddings are normal with the configuration's `initializer_range`, biases 0, norms 1, in float32;
    each tensor has a generator of its own, from the seed and its name.
    """
    config = read_json(folder / CONFIG)
    deviation = float(config.get("initializer_range", INITIALIZER_RANGE))

    def tensors() -> Iterator[Tensor]:
        for tensor in read_tensors(folder / WEIGHTS):
            if "F" not in tensor.dtype:
                yield tensor  # position numbers and the like
                continue
            if tensor.name.endswith((".bias", ".beta")):
                values = np.zeros(tensor.shape, np.float32)
            elif len(tensor.shape) < 2:
                values = np.ones(tensor.shape, np.float32)
            else:
                values = _generator(seed, tensor.name).standard_normal(tensor.shape, np.float32) * np.float32(deviation)
            yield Tensor(tensor.name, "F32", tensor.shape, values.astype("<f4").tobytes())

    return _derived(folder, out, {"kind": "random_weights", "seed": seed}, config, tensors)


def shuffled(folder: Path, seed: int, out: Path) -> Path:
    """The values of each tensor in random places of the same tensor: distributions stay, what was learned does not."""

    def tensors() -> Iterator[Tensor]:
        for tensor in read_tensors(folder / WEIGHTS):
            if "F" not in tensor.dtype or math.prod(tensor.shape) < 2:
                yield tensor
                continue
            size = len(tensor.data) // math.prod(tensor.shape)
            values = np.frombuffer(tensor.data, dtype=f"<u{size}")  # bits are moved, so any float type will do
            moved = _generator(seed, tensor.name).permutation(values).tobytes()
            yield Tensor(tensor.name, tensor.dtype, tensor.shape, moved)

    return _derived(folder, out, {"kind": "shuffled", "seed": seed}, read_json(folder / CONFIG), tensors)


def read_tensors(weights: Path) -> Iterator[Tensor]:
    """Tensors of a safetensors file in the order of their data, one in memory at a time."""
    header, start = read_header(weights)
    with weights.open("rb") as stream:
        for name, entry in sorted(header.items(), key=lambda item: (item[1]["data_offsets"], item[0])):
            begin, end = entry["data_offsets"]
            stream.seek(start + begin)
            data = stream.read(end - begin)
            if len(data) != end - begin:
                raise PinMismatch(
                    f"{weights}: expected {end - begin} bytes of {name}, found {len(data)}; fetch it again"
                )
            yield Tensor(name, entry["dtype"], tuple(entry["shape"]), data)


def write_tensors(path: Path, tensors: Callable[[], Iterator[Tensor]]) -> None:
    """Write a safetensors file; `tensors` is called twice, so that one tensor is in memory at a time.

    The layout is that of https://github.com/huggingface/safetensors#format.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors():
        begin, end = end, end + len(tensor.data)
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors():
            stream.write(tensor.data)


def _derived(
    folder: Path, out: Path, recipe: dict[str, Any], config: dict[str, Any], tensors: Callable[[], Iterator[Tensor]]
) -> Path:
    """The folder under `out` that the recipe makes of `folder`, made now unless it lies there whole."""
    copied = [name for name in COPIED if (folder / name).is_file()]
    source = {name: file_sha256(folder / name) for name in (WEIGHTS, CONFIG, *copied)}
    name = f"{recipe['kind']}-{canonical_hash({'format': FORMAT, 'recipe': recipe, 'source': source})[:16]}"
    target = out / name
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if _is_whole(target):
            return target
        for left in out.glob(f"{name}.*.part"):  # of a killed process; whoever works on this name holds the lock
            shutil.rmtree(left, ignore_errors=True)
        part = out / f"{name}.{uuid.uuid4().hex}.part"
        part.mkdir()
        for file in copied:
            (part / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / file, part / file)
        (part / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")
        write_tensors(part / WEIGHTS, tensors)
        files = {file: file_sha256(part / file) for file in (WEIGHTS, CONFIG, *copied)}
        about = {**recipe, "source_sha256": source[WEIGHTS], "files": files}
        (part / DERIVED).write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    return target


def _is_whole(folder: Path) -> bool:
    """Whether every file of a derived folder is as it was written."""
    try:
        files = read_json(folder / DERIVED)["files"]
        return WEIGHTS in files and all(file_sha256(folder / name) == sha256 for name, sha256 in files.items())
    except (OSError, PinMismatch, KeyError, TypeError, AttributeError):
        return False


def _block_prefix(folder: Path, config: dict[str, Any]) -> str:
    from playbook.adapt.encoder import ARCHITECTURES

    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise PinMismatch(
            f"base.layers: expected one of the architectures {', '.join(ARCHITECTURES)}, found {kind!r} in {folder}; "
            "leave it out for the whole base, or choose another"
        )
    return ARCHITECTURES[kind].block_prefix


def _is_kept(name: str, prefix: str, layers: int) -> bool:
    for model in MODEL_PREFIXES:
        name = name.removeprefix(model)
    block = re.match(rf"{re.escape(prefix)}(\d+)\.", name)
    return name.startswith("embeddings.") if block is None else int(block[1]) < layers


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")])
