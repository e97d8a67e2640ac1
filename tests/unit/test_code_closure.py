"""Code versions follow from what is called: nothing that a result depends on is missed, and little else is in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assets import code_closure
from assets.code_closure import OUTSIDE, PACKAGES, closure, outside
from assets.code_versions import PICTURES, ROOTS, closure_of, version_of

TRAIN = ("head", "training")
MODELS = (*TRAIN, "answers", "reference_answers")
Edit = Callable[..., set[str]]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of its own that closures are read from."""
    monkeypatch.setattr(code_closure, "ROOT", tmp_path)
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget() -> None:
    for cached in (code_closure._path, code_closure._module, code_closure._uses):
        cached.cache_clear()


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's packages in a folder of their own."""
    root, folder = Path(__file__).resolve().parents[2], tmp_path_factory.mktemp("copied")
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def parsed() -> Callable[..., Any]:
    """Reads a source once, wherever it lies and however often others are edited: parsing all takes longest by far."""
    plain, read = code_closure._parsed, dict[tuple[str, str], Any]()

    def once(name: str, path: Path, text: str) -> Any:
        if (name, text) not in read:
            read[name, text] = plain(name, path, text)
        return replace(read[name, text], path=path)

    return once


@pytest.fixture(scope="module")
def was(parsed: Callable[..., Any]) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_closure, "_parsed", parsed)
        return {part: closure_of(part).version for part in ROOTS}


@pytest.fixture
def edited(
    copied: Path, was: dict[str, str], parsed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Edit]:
    """Which parts get another version when a piece of a file of the project is replaced."""
    monkeypatch.setattr(code_closure, "ROOT", copied)
    monkeypatch.setattr(code_closure, "_parsed", parsed)

    def edit(file: str, before: str, after: str) -> set[str]:
        path = copied / file
        text = path.read_text("utf-8")
        assert before in text, f"{file} no longer has {before!r}"
        path.write_text(text.replace(before, after, 1), "utf-8")
        forget()
        roots = {part: (names, () if part == "report" else PICTURES) for part, names in ROOTS.items()}
        now = {part: closure(*given).version for part, given in roots.items()}
        path.write_text(text, "utf-8")
        return {part for part in ROOTS if was[part] != now[part]}

    yield edit
    monkeypatch.undo()
    forget()


def write(root: Path, **sources: str) -> None:
    for name, source in sources.items():
        path = root / "playbook" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source, "utf-8")


def test_definitions_are_followed_through_modules_aliases_and_functions(elsewhere: Path) -> None:
    write(
        elsewhere,
        one="from playbook.two import used as other\nimport playbook.six\n"
        "def root():\n    from playbook import three\n    return other(three.inner, playbook.six.six)\n"
        "def beside():\n    return strange\n",
        two="from playbook.four import Base\nLIMIT = 3\nUNUSED = 4\ndef used(x=LIMIT) -> 'Five':\n    return Sub()\n"
        "class Sub(Base):\n    def method(self):\n        return helper()\ndef helper(): ...\ndef idle(): ...\n",
        three="from playbook.five import passed_on as inner\ndef idle(): ...\n",
        four="class Base: ...\n",
        five="def passed_on(): return 'playbook.seven'\ndef idle(): ...\n",
        six="six = 6\n",
        seven="print('run')\ndef main(): ...\n",
    )
    found = closure(["playbook.one:root"])
    assert {f"{module.partition('.')[2]}:{name}" for module, name in found.names if name} == {
        "one:root", "two:used", "two:LIMIT", "two:Sub", "two:helper", "four:Base", "five:passed_on", "six:six",
        "seven:main",
    }  # fmt: skip
    assert ("playbook.seven", "") in found.names, "and what a module runs when it is imported"
    with pytest.raises(LookupError, match=r"playbook\.one:gone"):
        closure(["playbook.one:gone"])


def test_words_and_layout_are_no_part_of_a_version(elsewhere: Path) -> None:
    write(elsewhere, one="def root(x):\n    return x + 1\n")
    before = closure(["playbook.one:root"]).version
    write(
        elsewhere,
        one='"""Why."""\n# so\ndef root(x):\n    """Says why.\n\n    At length.\n    """\n\n    return x + 1\n',
    )
    forget()
    assert closure(["playbook.one:root"]).version == before
    write(elsewhere, one="def root(x):\n    return x + 2\n")
    forget()
    assert closure(["playbook.one:root"]).version != before


def test_templates_count_for_whoever_names_them(elsewhere: Path) -> None:
    write(elsewhere, one="def root():\n    return load('pages/templates')\ndef bare(): ...\n")
    (elsewhere / "playbook" / "pages" / "templates").mkdir(parents=True)
    style = elsewhere / "playbook" / "pages" / "templates" / "style.css"
    style.write_text("a {}", "utf-8")
    before = closure(["playbook.one:root"]).version
    style.write_text("a { color: red }", "utf-8")
    assert closure(["playbook.one:root"]).version != before
    assert not closure(["playbook.one:bare"]).files


def test_every_part_has_what_it_calls() -> None:
    evaluate, watch = closure_of("evaluate").modules, closure_of("watch").modules
    reference = {f"playbook.operate.{name}" for name in ("reference", "figures", "redaction", "recent")}
    assert reference <= evaluate, "the evaluation writes what drift is held against"
    assert {"playbook.evaluate.calibration", "playbook.operate.thresholds", "playbook.operate.policy"} <= watch
    assert {"playbook.adapt.worker", "playbook.adapt.rung", "playbook.statistics.metric"} <= closure_of(
        "training"
    ).modules
    assert "playbook.operate.parity_child" in closure_of("package").modules, "a process of its own"
    assert {path.suffix for path in closure_of("report").files} == {".j2", ".css"}


def test_who_trains_or_answers_depends_on_no_verdict_and_no_page() -> None:
    for part in MODELS:
        modules = closure_of(part).modules
        foreign = {one for one in modules if one.startswith(("playbook.operate", "resources", "pipelines"))}
        foreign |= {
            one for one in modules if "report" in one or "plot" in one or one.endswith((".verdict", ".wording"))
        }
        assert not foreign, part
        assert not closure_of(part).files, part


def test_what_is_left_out_is_named_with_its_reason_and_exists() -> None:
    root = Path(__file__).resolve().parents[2]
    for name, reason in OUTSIDE.items():
        path = root.joinpath(*name.split("."))
        assert reason and (path.is_dir() or path.with_suffix(".py").is_file()), name
    assert outside("resources.registry") and outside("playbook.spec.target") and not outside("playbook.data.read")
    assert version_of("head", "training") == f"{version_of('head')}-{version_of('training')}"


@pytest.mark.parametrize(
    ("file", "before", "after", "again"),
    [
        ("playbook/evaluate/plots.py", "import numpy as np", "import numpy as np\nprint('other colours')", {"report"}),
        ("playbook/evaluate/templates/report.html.j2", "<h1", "<h1 class='big'", {"report"}),
        ("playbook/evaluate/report_price.py", "NOT_MEASURED = ", "NOT_MEASURED = 'never' or ", {"report"}),
        ("playbook/evaluate/verdict.py", '"""What to ship, in plain words', '"""What ships, in plain words', set()),
        ("playbook/spec/target.py", "class Owners", "class Owners2", set()),
        ("assets/play.py", "PLAY_TAG = ", "PLAY_TAG = 'x' or ", set()),
    ],
)
def test_an_edit_makes_old_what_depends_on_it(
    edited: Edit, file: str, before: str, after: str, again: set[str]
) -> None:
    assert edited(file, before, after) == again


def test_an_edit_of_what_is_measured_reaches_everybody_who_measures(edited: Edit) -> None:
    reached = edited("playbook/statistics/metric.py", "TOLERANCE = ", "TOLERANCE = 2 * ")
    assert {"training", "head", "rung", "references", "base", "evaluate", "watch"} <= reached
    assert not {"answers", "data", "handoff", "scope"} & reached
    answers = edited("playbook/adapt/classifier.py", ".softmax(1)", ".softmax(-1)")
    assert answers >= {"answers", "package", "evaluate"} and not set(TRAIN) & answers
    serving = edited("playbook/statistics/threshold_class.py", "len(labels) == 2", "len(labels) == 3")
    assert {"frozen", "rung", "early_end", "candidate", "evaluate"} <= serving and not set(TRAIN) & serving
    first = "from __future__ import annotations\n"
    uncalled = edited("playbook/adapt/module.py", first, f"{first}\n\ndef uncalled(): ...\n")
    assert uncalled == set(), "what nobody calls makes nothing old"
