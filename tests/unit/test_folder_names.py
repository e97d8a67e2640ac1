"""Folders of state: what every library can be given is taken, what one of them would misread is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from configobj import ConfigObj

from playbook.errors import SettingsError
from playbook.settings import settings
from resources.dvc_stages import Stage, _configuration

FINE = [
    "a blank", "hash #1", "br]x", "$x", "one:colon", "quote'x", 'dquote"x', "umläut", "semi;x", "amp&x", "pipe|x", "雪",
    "comma,x", "equal=x", "at@2", "tilde~x", "par(x)", "excl!x", "lt<x>", "plus+x", "-lead", "l" * 200,
]  # fmt: skip
REFUSED = {
    "ws%2Ffeature": "%", "100%": "%", "home?x": "?", "star*x": "*", "br[1]": "[", "dollar${x}": "{", "back\\x": "\\\\",
    "co::lon": "::", "new\nline": "U+000A", "tab\tx": "U+0009",
}  # fmt: skip
VARIABLES = ("PLAYBOOK_HOME", "DAGSTER_HOME", "PLAYBOOK_STORE", "PLAYBOOK_MLFLOW_ARTIFACTS")


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_folder_that_a_library_would_misread_is_refused_with_its_characters(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, character in REFUSED.items():
        monkeypatch.setenv(variable, str(tmp_path / name))
        with pytest.raises(SettingsError) as error:
            settings()
        assert str(error.value).startswith(f"{variable}: expected a folder")
        assert character in str(error.value).partition("found")[2]
        assert f"set {variable} to another folder" in str(error.value)


@pytest.mark.parametrize("variable", VARIABLES)
def test_other_names_are_taken(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in FINE:
        monkeypatch.setenv(variable, str(tmp_path / name))
        found = settings()
        places = {found.home, found.dagster_home, Path(found.store), Path(found.mlflow_artifacts or "/")}
        assert tmp_path / name in places


def test_urls_are_no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_STORE", "simplecache::s3://bucket/a%20b")
    monkeypatch.setenv("PLAYBOOK_MLFLOW_ARTIFACTS", "s3://bucket/a%20b")
    assert settings().store == "simplecache::s3://bucket/a%20b"
    assert settings().mlflow_artifacts == "s3://bucket/a%20b"


def test_dvc_reads_the_remote_that_was_meant() -> None:
    for name in [*FINE, "a\"b'c #d,e"]:
        read = ConfigObj(_configuration(Path("/home") / name).splitlines())
        assert read['remote "default"']["url"] == f"/home/{name}"
        assert read["core"]["analytics"] == "false"


def test_an_at_sign_is_kept_out_of_dvc_addresses() -> None:
    assert Stage(Path("/r"), Path("/r/a"), "prepare", Path("/r/a/prepared")).has_address
    assert not Stage(Path("/r"), Path("/r/job@2/a"), "prepare", Path("/r/job@2/a/prepared")).has_address
