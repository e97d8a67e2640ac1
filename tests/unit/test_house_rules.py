"""Rules that no single test would see broken: what no file of the tree may do, and who may import whom."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import playbook

CHECKOUT = Path(playbook.__file__).resolve().parents[1]
PACKAGES = ("playbook", "assets", "resources", "pipelines")
TREES = (*PACKAGES, "benchmarks", "data", "tests")
SOURCES = sorted(path for tree in TREES for path in (CHECKOUT / tree).rglob("*.py"))

SELECTING = {
    "define_asset_job", "materialize", "materialize_to_memory", "execute_in_process", "build_asset_job",
    "ScheduleDefinition", "schedule", "sensor", "AutomationConditionSensorDefinition",
    "build_schedule_from_partitioned_job",
}  # fmt: skip
SELECTIONS = {"selection", "asset_selection", "target"}
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
YAML = {
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "yaml.full_load_all",
    "yaml.unsafe_load_all",
}
# A file without any of these words breaks no rule of calls and imports: most need not be parsed.
WORDS = re.compile(
    r"\b("
    + "|".join(sorted(SELECTING | UNPICKLING))
    + r"|torch|yaml|from_string|from_pickle|read_pickle|allow_pickle|trust_remote_code|shell|system|popen|getoutput"
    r"|getstatusoutput|eval|exec)\b"
)


def name_of(node: ast.expr) -> str:
    """`torch.load` of a call's function; a question mark where the front is not a name."""
    if isinstance(node, ast.Attribute):
        front = name_of(node.value)
        return f"{front or '?'}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def holds_text(node: ast.expr) -> bool:
    """A string, or a list of them: Dagster would parse it as a selection."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return any(holds_text(item) for item in node.elts)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def faults(source: str) -> Iterator[str]:
    """What a file does that no file may, with its line."""
    return (fault for node in nodes_of(ast.parse(source)) for fault in faults_of(node))


def nodes_of(tree: ast.Module) -> Iterator[ast.AST]:
    """As `ast.walk`, in half of the time: a million nodes are looked at."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for value in vars(node).values():
            if isinstance(value, list):
                waiting += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                waiting.append(value)


def faults_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        yield from (f"line {node.lineno}: {fault}" for fault in call_faults(node))


def call_faults(call: ast.Call) -> Iterator[str]:
    name, keywords = name_of(call.func), {word.arg: word.value for word in call.keywords if word.arg}
    module, _, last = name.rpartition(".")
    if last in SELECTING:
        second = call.args[1:2] if last == "define_asset_job" else []
        chosen = [*second, *(value for word, value in keywords.items() if word in SELECTIONS)]
        if any(holds_text(value) for value in chosen):
            yield f"{last}: a selection given as text does not parse beside DVC; give objects"
    if name.endswith("AssetSelection.from_string"):
        yield "AssetSelection.from_string does not parse beside DVC"
    if module in UNPICKLING and last in {"load", "loads", "Unpickler", "open"}:
        yield f"{name} runs code from data"
    if last in {"read_pickle", "from_pickle"} or (last == "load" and is_true(keywords.get("allow_pickle"))):
        yield f"{name} unpickles"
    if name == "torch.load" and not is_true(keywords.get("weights_only")):
        yield "torch.load without weights_only=True"
    if name in YAML and name_of(keywords.get("Loader", ast.Name("none"))) not in {"yaml.SafeLoader", "SafeLoader"}:
        yield f"{name}: only yaml.safe_load"
    trust = keywords.get("trust_remote_code")
    if trust is not None and not (isinstance(trust, ast.Constant) and trust.value is False):
        yield "trust_remote_code is never set"
    if is_true(keywords.get("shell")) or name in SHELLS:
        yield f"{name} goes through a shell"
    if name in {"eval", "exec", "builtins.eval", "builtins.exec"}:
        yield f"{name} runs text as code"


@cache
def looked_at(path: Path) -> tuple[list[str], set[str]]:
    """Faults of a file, and the packages that it imports from; of nothing, where no word of it can be a fault."""
    found, imported = list[str](), set[str]()
    text = path.read_text("utf-8")
    for node in nodes_of(ast.parse(text)) if WORDS.search(text) else ():
        found += faults_of(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            imported |= {name.split(".")[0] for name in names}
    return found, imported


def test_no_file_breaks_a_house_rule() -> None:
    found = {str(path.relative_to(CHECKOUT)): looked_at(path)[0] for path in SOURCES}
    assert {path: said for path, said in found.items() if said} == {}


def test_every_node_is_looked_at() -> None:
    tree = ast.parse(Path(__file__).read_text("utf-8"))
    asked = {id(node) for node in ast.walk(tree) if not isinstance(node, ast.expr_context)}
    assert {id(node) for node in nodes_of(tree)} == asked


def test_the_tree_was_looked_at() -> None:
    assert len(SOURCES) > 80
    assert all(any(path.is_relative_to(CHECKOUT / package) for path in SOURCES) for package in PACKAGES)


@pytest.mark.parametrize(
    "bad",
    [
        'dg.define_asset_job("a", selection="tickets/*")',
        'define_asset_job("a", "*")',
        'define_asset_job(name="a", selection=["x", "y"])',
        'dg.materialize(assets, selection=f"{task}/rung_1")',
        'dg.ScheduleDefinition(target="*", cron_schedule="@daily")',
        'dg.AssetSelection.from_string("+a")',
        "pickle.load(stream)",
        "pickle.loads(data)",
        "joblib.load(path)",
        "pd.read_pickle(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=trusted)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "eval(text)",
        "def f():\n    exec(text)",
    ],
)
def test_the_checker_sees(bad: str) -> None:
    assert len(list(faults(bad))) == 1 and WORDS.search(bad)


@pytest.mark.parametrize(
    "good",
    [
        'dg.define_asset_job("a", selection=dg.AssetSelection.assets(key))',
        "job.execute_in_process(asset_selection=[dg.AssetKey(['a', 'b'])])",
        "torch.load(path, weights_only=True)",
        "json.load(stream)",
        "yaml.safe_load(text)",
        "pickle.dumps(value)",
        "model.eval()",
        "subprocess.run(['ls'], shell=False)",
    ],
)
def test_the_checker_lets_pass(good: str) -> None:
    assert list(faults(good)) == []


def test_product_code_imports_nothing_that_unpickles() -> None:
    for path in SOURCES:
        if path.relative_to(CHECKOUT).parts[0] in PACKAGES:
            assert not looked_at(path)[1] & UNPICKLING, path


def test_files_are_named_for_what_is_in_them() -> None:
    nameless = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}
    assert [path for path in SOURCES if nameless & {*path.stem.split("_"), path.parent.name}] == []


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_imports_point_one_way() -> None:
    found = lint(CHECKOUT)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "3 kept, 0 broken" in found.stdout


def test_an_import_the_wrong_way_is_seen(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(CHECKOUT / "pyproject.toml", tmp_path / "pyproject.toml")
    for file, line in (
        ("playbook/decide/references.py", "from playbook.evaluate.test_split import open_test_split"),
        ("playbook/store.py", "import mlflow"),
        ("playbook/plays.py", "import resources.world"),
    ):
        path = tmp_path / file
        path.write_text(path.read_text("utf-8") + f"\n\n{line}\n", "utf-8")
    found = lint(tmp_path)
    assert found.returncode != 0 and "0 kept, 3 broken" in found.stdout, found.stdout + found.stderr
