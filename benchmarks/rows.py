"""What the benchmarks share: a task run in a state folder of its own, one JSON row per measurement, a page of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, Any]
TASK = ROOT / "tests" / "tasks" / "banking77.yaml"


def write_row(**figures: Any) -> None:
    """Print one measurement as one line of JSON, with versions and machine."""
    versions = {name: version(name) for name in ("torch", "pytorch-lightning", "transformers")}
    row = {**figures, "versions": versions, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    print(json.dumps(row), flush=True)


def banking_task(data: Path, folder: Path, name: str = "banking77", **adaptation: Any) -> Path:
    """The task file of the tests with its data at `data` and changed adaptation settings."""
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    task["task"] = name
    task["data"]["source"] |= {"train": str(data.resolve() / "train.csv"), "test": str(data.resolve() / "test.csv")}
    task["adaptation"] |= adaptation
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    return path


def run_task(task: Path, home: Path) -> tuple[dict[str, Any], float]:
    """Run a task by the command line in its own state folder: its status and the wall clock seconds of the command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "playbook.cli", "run", str(task), "--json"]
    environment = {**os.environ, "PLAYBOOK_HOME": str(home)}
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - began


def measure_and_write(about: str, measured: Callable[[Path], Figures], page: Callable[[Figures], str]) -> None:
    """The command line of a benchmark on the shared data: measure, and write the page where one is named."""
    parser = argparse.ArgumentParser(description=about.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--write", type=Path, help="Markdown page to write")
    options = parser.parse_args()
    found = measured(options.data)
    if options.write is not None:
        options.write.write_text(page(found), encoding="utf-8")
