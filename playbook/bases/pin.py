"""Nailing a base down (2.4): weights by hash, tokenizer, size, depth, pooling, and no remote code.

Reads headers and JSON only; torch is not needed. File formats: safetensors
(https://github.com/huggingface/safetensors#format) and the `1_Pooling/config.json` of sentence-transformers.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any, Literal

from playbook.artifacts import BasePin
from playbook.bases.locate import CONFIG, REQUIRED, TOKENIZER, WEIGHTS
from playbook.errors import PinMismatch
from playbook.spec import Base
from playbook.store import file_sha256

MAX_HEADER = 100_000_000  # bytes; the limit that safetensors itself sets
DERIVED = "derived.json"  # what a folder made by `playbook.bases.derive` says about itself
BLOCKS_FIELDS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
WIDTH_FIELDS = ("hidden_size", "dim", "d_model", "n_embd")
# Families whose positions start after the padding id, so that fewer tokens fit than max_position_embeddings says.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")
POOLING = Path("1_Pooling") / "config.json"
Pooling = Literal["mean", "cls"]


def pin_base(base: Base, folder: Path) -> BasePin:
    """Verify that a folder holds exactly the pinned base, and describe it.

    Args:
        base: the base of the task file, with the expected SHA-256 of its weights.
        folder: where `playbook.bases.derive.base_on_disk` has it: the base's own folder, or, where the task file asks
            for `layers`, the one that was truncated from it.

    Returns:
        The pin: hashes, `parameters` (floating-point numbers in the weights), `blocks`, `width` (of an embedding). Of
        a truncated base the hashes and sizes are those of the truncated folder; name and revision are the source's.

    Raises:
        PinMismatch: weights differ from the pin, are missing or only pickled; the model needs remote code; a file is
            not readable; pooling is neither mean nor cls; `max_length` exceeds what the base can read; the folder of a
            truncated base was not made from the pinned weights.
    """
    require_files(folder)
    weights_sha256 = file_sha256(folder / WEIGHTS)
    if base.layers is None:
        verify_weights(base, folder, weights_sha256)
    else:
        _verify_truncated(base, folder, weights_sha256)
    config = read_json(folder / CONFIG)
    _refuse_remote_code(folder, config)
    _check_length(folder, config, base.max_length)
    origin, name, revision = _origin(base)
    return BasePin(
        name=name,
        origin=origin,
        revision=revision,
        weights_sha256=weights_sha256,
        tokenizer_sha256=file_sha256(folder / TOKENIZER),
        licence=base.licence,
        parameters=count_parameters(folder / WEIGHTS),
        blocks=_whole_number(folder, config, BLOCKS_FIELDS),
        width=_whole_number(folder, config, WIDTH_FIELDS),
        pooling=read_pooling(folder),
        max_length=base.max_length,
        config_sha256=file_sha256(folder / CONFIG),
        layers=base.layers,
    )


def verify_weights(base: Base, folder: Path, weights_sha256: str = "") -> None:
    """Refuse weights that are not the pinned ones; `weights_sha256` spares a second reading of the file.

    Raises:
        PinMismatch: with both hashes.
    """
    found = weights_sha256 or file_sha256(folder / WEIGHTS)
    if found != base.sha256:
        raise PinMismatch(
            f"{folder / WEIGHTS}: expected SHA-256 {base.sha256}, found {found}; if the base was changed on purpose, "
            "write the found hash into base.sha256, else fetch the pinned base again"
        )


def _verify_truncated(base: Base, folder: Path, weights_sha256: str) -> None:
    if not (folder / DERIVED).is_file():
        raise PinMismatch(
            f"{folder}: expected a folder truncated to the lowest {base.layers} blocks, found no {DERIVED}; "
            "playbook.bases.derive.base_on_disk makes one from the pinned base"
        )
    made = read_json(folder / DERIVED)
    expected = {"kind": "truncated", "layers": base.layers, "source_sha256": base.sha256}
    found = {name: made.get(name) for name in expected}
    if found != expected:
        raise PinMismatch(f"{folder / DERIVED}: expected {expected}, found {found}; delete the folder and run again")
    files = made.get("files")
    written = files.get(WEIGHTS) if isinstance(files, dict) else None
    if written != weights_sha256:
        raise PinMismatch(
            f"{folder / WEIGHTS}: expected SHA-256 {written}, as it was truncated, found {weights_sha256}; delete the "
            "folder and run again"
        )


def read_header(weights: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Tensors of a safetensors file (dtype, shape, data_offsets by name), and the byte at which their data begins.

    Raises:
        PinMismatch: the file is not a safetensors file.
    """
    try:
        with weights.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= min(MAX_HEADER, weights.stat().st_size - 8):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(stream.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        for entry in tensors.values():
            begin, end = entry["data_offsets"]
            if not isinstance(entry["dtype"], str) or math.prod(entry["shape"]) < 0 or begin > end:
                raise ValueError(f"a tensor described as {entry}")
        return tensors, 8 + length
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PinMismatch(
            f"{weights}: expected a safetensors file, found {type(error).__name__} ({error}); fetch the base again"
        ) from None


def count_parameters(weights: Path) -> int:
    """Floating-point numbers in a safetensors file, from its header alone; integer buffers do not count.

    Raises:
        PinMismatch: the file is not a safetensors file.
    """
    return sum(math.prod(entry["shape"]) for entry in read_header(weights)[0].values() if "F" in entry["dtype"])


def read_pooling(folder: Path) -> Pooling:
    """How token vectors become one vector, as sentence-transformers' `1_Pooling` says; mean where it says nothing.

    Raises:
        PinMismatch: the base asks for another pooling, or for several at once.
    """
    if not (folder / POOLING).is_file():
        return "mean"
    config = read_json(folder / POOLING)
    modes = [key.removeprefix("pooling_mode_") for key, value in config.items() if "pooling_mode_" in key and value]
    modes = modes or [str(config.get("pooling_mode", "mean"))]  # newer files name it in one field
    known: dict[str, Pooling] = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise PinMismatch(
            f"{folder / POOLING}: expected mean or cls pooling, found {' and '.join(modes)}; choose another base"
        )
    return known[modes[0]]


def require_files(folder: Path) -> None:
    """Refuse a folder without weights as one safetensors file, configuration and tokenizer.

    Raises:
        PinMismatch: with what is missing, what is there, and what to do.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if not missing:
        return
    found = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    remedy = "fetch the base again, or choose one that has them"
    if WEIGHTS in missing and any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in found):
        remedy = "pickled weights are never loaded: choose a base or a revision with safetensors"
    elif any(name.endswith(".safetensors.index.json") for name in found):
        remedy = f"weights in several files are not supported: save them as one {WEIGHTS}"
    raise PinMismatch(
        f"{folder}: expected {', '.join(REQUIRED)}; {', '.join(missing)} missing, found {', '.join(found[:12])}; "
        f"{remedy}"
    )


def _refuse_remote_code(folder: Path, config: dict[str, Any]) -> None:
    tokenizer = folder / "tokenizer_config.json"
    configs = {CONFIG: config, tokenizer.name: read_json(tokenizer) if tokenizer.is_file() else {}}
    for name, content in configs.items():
        if content.get("auto_map"):
            raise PinMismatch(
                f"{folder / name}: expected a model that transformers knows, found auto_map, which runs code from the "
                "model's repository; remote code is never run: choose another base"
            )


def _check_length(folder: Path, config: dict[str, Any], max_length: int) -> None:
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return  # relative or rotary positions without a limit
    offset = int(config.get("pad_token_id") or 0) + 1 if config.get("model_type") in OFFSET_POSITIONS else 0
    if max_length > positions - offset:
        raise PinMismatch(
            f"base.max_length: expected at most {positions - offset} tokens, which {folder / CONFIG} allows, found "
            f"{max_length}; lower it"
        )


def _origin(base: Base) -> tuple[Literal["hub", "folder", "package"], str, str]:
    """Origin, name and revision: commit on the hub, version of a package, hash of a folder's weights."""
    if base.hub is not None:
        return "hub", base.hub, base.revision or ""
    if base.package is not None:
        try:
            return "package", base.package, importlib.metadata.version(base.package)
        except importlib.metadata.PackageNotFoundError:  # the distribution has another name than its package
            return "package", base.package, f"sha256:{base.sha256[:12]}"
    return "folder", Path(base.folder or "").name, f"sha256:{base.sha256[:12]}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        PinMismatch: the file holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__}")
    except (ValueError, TypeError) as error:
        raise PinMismatch(f"{path}: expected a JSON object, found {error}; fetch the base again") from None
    return content


def _whole_number(folder: Path, config: dict[str, Any], fields: tuple[str, ...]) -> int:
    value = next((config[field] for field in fields if field in config), None)
    if not isinstance(value, int) or value < 1:
        raise PinMismatch(
            f"{folder / CONFIG}: expected a positive whole number in one of {', '.join(fields)}, found {value!r}; "
            "choose a text encoder"
        )
    return value
