"""Runs where every place has an awkward name: nothing goes elsewhere, and telemetry is off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from play_runs import Place, make_place

from playbook.plays import DATASET

AWKWARD = "job@2 #1, a b'c\"d $x & (y) <z> uml\N{LATIN SMALL LETTER A WITH DIAERESIS}ut"

IN_FORCE = """
import json, os
from playbook.settings import quiet_environment, settings
quiet_environment()
import dagster as dg
from dvc.analytics import is_enabled
from dvc.repo import Repo
from mlflow.telemetry.utils import is_telemetry_disabled
from huggingface_hub import constants
os.chdir(settings().home / "data")
with dg.DagsterInstance.from_config(str(settings().dagster_home)) as instance:
    on = {"dagster": instance.telemetry_enabled}
on["dvc"] = is_enabled()
on["mlflow"] = not is_telemetry_disabled()
on["huggingface_hub"] = not constants.HF_HUB_DISABLE_TELEMETRY
print(json.dumps(on))
"""


def test_data_in_an_awkward_folder_go_nowhere_else(tmp_path: Path, database: Path) -> None:
    place = make_place(tmp_path / "outside" / AWKWARD, database)
    done = place.run("--until", DATASET)
    assert done.code == 0, done.said
    assert [entry.name for entry in place.folder.parent.iterdir()] == [AWKWARD]
    assert (place.folder / "home" / "dvc-remote" / "files").is_dir()
    telemetry_is_off(place)


@pytest.mark.proof
def test_a_whole_run_in_an_awkward_folder(tmp_path: Path, database: Path) -> None:
    place = make_place(tmp_path / "outside" / AWKWARD, database)
    done = place.run()
    assert done.code == 0, done.said
    assert done.status["state"] == "shipped"
    assert [entry.name for entry in place.folder.parent.iterdir()] == [AWKWARD]
    assert place.run().status["seconds"] == done.status["seconds"]  # nothing was made again
    telemetry_is_off(place)


def telemetry_is_off(place: Place) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", IN_FORCE], env=place.environment, capture_output=True, text=True, check=True
    )
    on = json.loads(asked.stdout.strip().splitlines()[-1])
    assert len(on) == 4 and on == dict.fromkeys(on, False)
