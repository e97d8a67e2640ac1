"""The frozen baseline (4.1): features of the frozen base computed once, a head on them trained until it settles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from playbook.adapt.cache import build_cache
from playbook.adapt.encoder import load_encoder
from playbook.adapt.head import Head, fit_head
from playbook.adapt.job import NO_DATASET, DatasetRef
from playbook.adapt.precision import compute_dtype, describe_hardware, set_threads, training_device
from playbook.adapt.results import HEAD, versions, write_predictions
from playbook.adapt.rows import RungData, cache_folder, class_weights, read_rows
from playbook.artifacts import BasePin, canonical_hash
from playbook.settings import settings
from playbook.spec import Adaptation, Limit
from playbook.statistics.answers import Answers, answers_of
from playbook.statistics.metric import Metric, bind


@dataclass(frozen=True)
class FrozenJob:
    """What the frozen baseline needs. Paths are local."""

    base_folder: Path
    pin: BasePin
    labels: tuple[str, ...]
    train: Path
    validation: Path
    boundaries: tuple[int, ...]
    metric: Limit
    adaptation: Adaptation
    cache: Path
    out: Path
    dataset: DatasetRef = NO_DATASET


@dataclass(frozen=True)
class FrozenResult:
    """The settled head: `weights`, `predictions` and `config` files, and how its strength was chosen."""

    files: dict[str, Path]
    l2: float
    grid: dict[str, float]
    iterations: int
    truth: np.ndarray  # (validation rows,)
    answers: Answers  # to the validation rows
    hardware: str


def boundaries_of(blocks: int, max_rungs: int) -> tuple[int, ...]:
    """Boundaries that the rungs of a task start from, lowest first."""
    return tuple(range(blocks - min(max_rungs, blocks), blocks))


@dataclass(frozen=True)
class FrozenFeatures:
    """What the frozen base makes of the rows: `features` float32 (rows, width), train rows first."""

    features: np.ndarray
    data: RungData
    validation_table: pd.DataFrame
    hardware: str


def frozen_features(job: FrozenJob, report: Callable[[str], None]) -> FrozenFeatures:
    """Pooled features of train and validation rows, from the activations cache, which is filled first if need be."""
    set_threads(settings().threads, 1)
    device = training_device(job.adaptation.accelerator)
    dtype = compute_dtype(job.adaptation.precision, device)
    tokens, data, table = read_rows(job)
    encoder = load_encoder(job.base_folder, job.pin.pooling).requires_grad_(False).to(device)
    folder = cache_folder(job.cache, canonical_hash(job.pin.model_dump(mode="json")), tokens, job.boundaries, dtype)
    features = build_cache(folder, encoder, tokens, job.boundaries, dtype, report).features
    return FrozenFeatures(features, data, table, describe_hardware(device, dtype))


def validated_by(found: FrozenFeatures, metric: Metric) -> Callable[[Head], tuple[float, float]]:
    """What `fit_head` chooses by: a head's metric and log loss on the validation rows."""
    inputs, truth = found.features[found.data.validation], found.data.labels[found.data.validation]

    def validate(head: Head) -> tuple[float, float]:
        probabilities = head.probabilities(inputs)
        loss = float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)).mean())
        return metric.value(truth, probabilities), loss

    return validate


def train_frozen(job: FrozenJob, report: Callable[[str], None]) -> FrozenResult:
    """Compute features (and the activations that rungs will start from), fit the head, write its files to `job.out`."""
    found = frozen_features(job, report)
    features, data, table = found.features, found.data, found.validation_table
    truth, metric = data.labels[data.validation], bind(job.metric, job.labels)
    labels = data.labels[data.train]
    weights = class_weights(labels, len(job.labels), job.adaptation.class_weighting)
    validate = validated_by(found, metric)
    fitted = fit_head(features[data.train], labels, len(job.labels), weights, validate, report, metric.sign)
    probabilities = fitted.head.probabilities(features[data.validation])
    files = _write(job, fitted.head, table, probabilities)
    configuration = _configuration(job, fitted.l2, found.hardware)
    files["config"].write_text(json.dumps(configuration, indent=1, sort_keys=True), encoding="utf-8")
    grid = {f"{l2:g}": metric for l2, metric in fitted.grid.items()}
    return FrozenResult(files, fitted.l2, grid, fitted.iterations, truth, answers_of(probabilities), found.hardware)


def _write(job: FrozenJob, head: Head, table: pd.DataFrame, probabilities: np.ndarray) -> dict[str, Path]:
    job.out.mkdir(parents=True, exist_ok=True)
    names = {"weights": "weights.safetensors", "predictions": "predictions.parquet", "config": "config.json"}
    files = {role: job.out / name for role, name in names.items()}
    tensors = {f"{HEAD}weight": head.weight.contiguous(), f"{HEAD}bias": head.bias.contiguous()}
    save_file(tensors, files["weights"])
    write_predictions(files["predictions"], table, job.labels, probabilities)
    return files


def _configuration(job: FrozenJob, l2: float, hardware: str) -> dict[str, Any]:
    return {
        "method": "frozen base, logistic regression",
        "base": job.pin.model_dump(),
        "dataset": job.dataset.model_dump(),
        "unfrozen_blocks": 0,
        "optimizer": "L-BFGS, full batch",
        "l2": l2,
        "class_weighting": job.adaptation.class_weighting,
        "seed": job.adaptation.seed,
        "labels": list(job.labels),
        "metric": {"metric": job.metric.metric, "of_class": job.metric.of_class},  # no limit: none is trained to
        "versions": versions(),
        "hardware": hardware,
        "threads": torch.get_num_threads(),
    }
