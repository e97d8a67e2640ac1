"""The recipe of a model: everything that makes its weights again, and the hashes that they have to come to (6.2).

It lies in the bundle as `recipe.json`. Nothing in it depends on when or where it was written, so that one model has one
hash. A refreshed model starts from another model's weights: the recipe of that one lies in it whole, down to a model
that was trained from its base.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from playbook.artifacts import BasePin, DatasetVersion, Part
from playbook.errors import ArtifactError
from playbook.operate.bundle import CARD
from playbook.spec import SPLITS, Adaptation, Base, Limit, TaskSpec
from playbook.store import file_sha256

RECIPE = "recipe.json"
NOT_MADE_AGAIN = frozenset({RECIPE, CARD, "reference.safetensors"})  # of a bundle: itself, and what the test split said
MODEL, HEAD = "model.safetensors", "head.safetensors"
TRAINED = "weights.safetensors"  # the file of trained tensors, which lies in the store and not in the bundle
Method = Literal["frozen_baseline", "staircase", "refresh"]


class RecipeData(Part):
    """The dataset version: DVC's hash of the prepared folder, and the SHA-256 of each split's file."""

    hash: str = Field(pattern=r"^[0-9a-f]{32}\.dir$")
    number: int
    files: dict[str, str]

    @model_validator(mode="after")
    def _trainable(self) -> RecipeData:
        missing = {"train", "validation"} - set(self.files)
        if missing:
            raise ValueError(f"expected hashes of train and validation, found none of {', '.join(sorted(missing))}")
        return self


class Circumstances(Part):
    """What the numbers may depend on beside the recipe: hardware with its arithmetic, threads, versions of packages."""

    hardware: str
    threads: int
    versions: dict[str, str]


class Recipe(Part):
    """How a model's weights are made."""

    format: Literal[1] = 1
    task: str
    spec: dict[str, JsonValue]  # the whole task file, resolved
    labels: tuple[str, ...]
    pin: BasePin
    base: Base  # where the pinned base comes from
    data: RecipeData
    method: Method
    unfrozen: int
    max_rungs: int  # of the task: which boundaries the activations cache serves
    l2: float  # of the frozen head, as chosen on validation; found again, not set
    metric: Limit  # that training is steered by
    adaptation: Adaptation  # as it was in force
    precision: Literal["bf16", "float32"]
    circumstances: Circumstances
    expected: dict[str, str]  # file of the bundle, and `weights.safetensors`, -> SHA-256
    refreshed_from: str = ""  # version of the model whose recipe `starts_from` is
    starts_from: Recipe | None = None

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if {MODEL, HEAD} - set(self.expected):
            raise ValueError(f"expected hashes of {MODEL} and {HEAD}")
        if (self.method == "refresh") != (self.starts_from is not None):
            raise ValueError("a refresh, and nothing else, starts from another recipe")
        return self

    @property
    def text(self) -> str:
        """The one form in which it is written."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def chain(self) -> tuple[Recipe, ...]:
        """This recipe and those that it starts from, the first training first."""
        return (*(self.starts_from.chain if self.starts_from else ()), self)


def make_recipe(
    spec: TaskSpec,
    dataset: DatasetVersion,
    pin: BasePin,
    base: Base,
    bundle: Path,
    *,
    unfrozen: int,
    weights_sha256: str,
    circumstances: Circumstances,
    l2: float = 0.0,
    refreshed: tuple[str, Recipe] | None = None,
) -> Recipe:
    """The recipe of the model whose bundle lies in a folder.

    Args:
        spec: the task.
        dataset: the version that it was trained on.
        pin: of the base.
        base: where the task file has that base from.
        bundle: folder with `model.safetensors`, `head.safetensors` and `bundle.json`. Hashes are taken of all files but
            card and monitoring reference, which rest on the test split.
        unfrozen: blocks that were trained.
        weights_sha256: of the file of trained tensors.
        circumstances: hardware, threads, versions.
        l2: strength of the frozen head's penalty.
        refreshed: version and recipe of the model that a refresh started from.
    """
    precision = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["precision"]
    adaptation = spec.adaptation
    if refreshed is not None:
        from playbook.adapt.refresh import refresh_plan

        adaptation = refresh_plan(adaptation, spec.retraining.refresh)
    method: Method = "refresh" if refreshed else "staircase" if unfrozen else "frozen_baseline"
    return Recipe(
        task=spec.task,
        spec=spec.model_dump(mode="json"),
        labels=spec.labels,
        pin=pin,
        base=base,
        data=RecipeData(
            hash=dataset.dataset_hash,
            number=dataset.number,
            files={split: dataset.files[split].sha256 for split in SPLITS if split in dataset.files},
        ),
        method=method,
        unfrozen=unfrozen,
        max_rungs=spec.adaptation.max_rungs,
        l2=l2,
        metric=spec.target.all_limits[0],
        adaptation=adaptation,
        precision=precision,
        circumstances=circumstances,
        expected={
            **{path.name: file_sha256(path) for path in sorted(bundle.iterdir()) if path.name not in NOT_MADE_AGAIN},
            "weights.safetensors": weights_sha256,
        },
        refreshed_from=refreshed[0] if refreshed else "",
        starts_from=refreshed[1] if refreshed else None,
    )


def circumstances_of(hardware: str, versions: Mapping[str, str], threads: int) -> Circumstances:
    """Circumstances of a training; where its hardware names the threads, those count rather than `threads`."""
    named = re.search(r"(\d+) threads", hardware)
    return Circumstances(hardware=hardware, threads=int(named[1]) if named else threads, versions=dict(versions))


def base_of(pin: BasePin, bases: tuple[Base, ...]) -> Base:
    """The base of a task file that a pin names.

    Raises:
        ArtifactError: none does.
    """
    for base in bases:
        same = (base.layers, base.max_length) == (pin.layers, pin.max_length)
        if same and (base.layers is not None or base.sha256 == pin.weights_sha256):
            return base
    raise ArtifactError(
        f"{pin.name}: expected a base of the task file with this pin, found none; materialise base_selection again"
    )


def read_recipe(text: str | bytes, where: str) -> Recipe:
    """A recipe from its text.

    Raises:
        ArtifactError: it is not one.
    """
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{where}: expected a recipe, found a fault in {at or 'it'}: {first['msg']}; take the package from where "
            "it was handed over again"
        ) from None


def recipe_in(bundle: Path) -> Recipe | None:
    """The recipe of a bundle; None of one that was made before there were recipes."""
    path = bundle / RECIPE
    return read_recipe(path.read_bytes(), str(path)) if path.is_file() else None


def settings_that_differ(then: Circumstances, now: Circumstances) -> list[str]:
    """Hardware and versions that are not those of the recipe, one line each."""
    pairs: list[tuple[str, Any, Any]] = [
        ("hardware", then.hardware, now.hardware),
        ("threads", then.threads, now.threads),
    ]
    names: Mapping[str, None] = dict.fromkeys((*then.versions, *now.versions))
    pairs += [(name, then.versions.get(name, "none"), now.versions.get(name, "none")) for name in names]
    return [f"{name}: expected {before}, found {here}" for name, before, here in pairs if before != here]
