"""The course's exercises: each can be solved, each check can fail, and a piece fits the model."""

import importlib.util
import pkgutil
import re
import runpy
import sys

import pytest
import torch
from conftest import ROOT, run_module

from audio import load_audio
from course import progress
from course.checking import Wrong, check_module, equal, numbers, solution, stub
from course.conftest import explain
from course.run import show

SAMPLE = ROOT / "samples" / "1.wav"


def wrong_solutions(number: int) -> list:
    path = ROOT / "tests" / "wrong" / f"ex{number:02}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


CASES = [(number, wrong) for number in numbers() for wrong in wrong_solutions(number)]


def test_exercises_are_numbered_without_gaps():
    assert numbers() == list(range(1, len(numbers()) + 1))


def needs_stubs(*wanted: int) -> None:
    """Skip what a student's work takes away: the stubs as they came."""
    for path in map(stub, wanted):
        if "raise NotImplementedError" not in path.read_text():
            pytest.skip(f"{path.name} is filled in")


@pytest.mark.parametrize("number", numbers())
def test_the_stub_is_yet_to_be_written(number):
    needs_stubs(number)
    text = stub(number).read_text()
    assert text.startswith(f'"""Exercise {number}: ')
    assert f'raise NotImplementedError("Exercise {number}")' in text and "bout" in text
    assert solution(number).__doc__ or "lines" in text


def test_the_table_of_exercises_is_right():
    text = (ROOT / "course" / "README.md").read_text()
    row = r"^\| (\d+) \| \[.+\]\((.+)\) \| (\d), .+ \| (?:workshop|homework) \| (.+) \|$"
    rows = re.findall(row, text, re.M)
    assert sorted(int(number) for number, *_ in rows) == numbers()
    for number, path, class_, compared in rows:
        assert ROOT / "course" / path == stub(int(number))
        assert f"Class {class_}." in stub(int(number)).read_text().splitlines()[0]
        for name in compared.split(", "):
            assert pkgutil.resolve_name(name.strip("`"))


@pytest.mark.parametrize("number", numbers())
def test_the_reference_passes(number):
    module = check_module(number)
    for _ in range(5):  # on inputs that are others each time
        module.check(module.reference)


@pytest.mark.parametrize(
    ("number", "wrong"), CASES, ids=[f"{n}-{w.__name__}" for n, w in CASES]
)  # fmt: skip
def test_wrong_solutions_are_rejected_with_a_hint(number, wrong):
    for _ in range(5):
        with pytest.raises(Wrong, match="Hint: "):
            check_module(number).check(wrong)


def test_every_exercise_has_three_wrong_solutions():
    for number in numbers():
        assert len(wrong_solutions(number)) >= 4, number


@pytest.mark.parametrize("number", numbers())
def test_the_model_runs_with_the_piece_inside(number):
    """The reference inside: the same text; and it is really called."""
    module = check_module(number)
    audio = (load_audio(SAMPLE).numpy(), 16_000)
    expected = show(number, module.reference, audio)
    assert "tuesday" in expected
    assert show(number, spied(module.reference), audio) == expected
    assert spied.calls, "the piece that was put in is never used"


def spied(piece):
    """The piece, counting its calls."""
    spied.calls = 0
    if isinstance(piece, type):

        class Spy(piece):
            def __init__(self, *args, **kwargs):
                spied.calls += 1
                super().__init__(*args, **kwargs)

        return Spy

    def spy(*args, **kwargs):
        spied.calls += 1
        return piece(*args, **kwargs)

    return spy


def test_a_failure_is_a_few_sentences_and_progress_says_what_is_done():
    needs_stubs(*numbers())
    done = run_module("pytest", "course", "-m", "ex1")
    assert done.returncode == 1 and "Exercise 1 is yet to be written" in done.stdout
    assert "Traceback" not in done.stdout
    done = run_module("course.progress")
    assert done.returncode == 0 and done.stdout.count("not yet") == len(numbers())


def test_course_run_names_the_piece_that_is_missing():
    needs_stubs(1)
    done = run_module("course.run", "1", SAMPLE)
    assert done.returncode == 1
    assert done.stderr.strip() == "ex01_normalise.py: Exercise 1 is yet to be written"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("def normalise(w, n):\n    return w.means()",
         "AttributeError: 'Tensor' object has no attribute 'means' "
         "(ex01_normalise.py, line 2: return w.means())\nCase: one utterance without padding"),
        ("def normalise(w, n):\n    raise NotImplementedError('of CPUs')",
         "NotImplementedError: of CPUs (ex01_normalise.py, line 2: raise NotImplementedError('of "
         "CPUs'))\nCase: one utterance without padding"),
        ("def normalise(w):\n    return w",
         "TypeError: normalise() takes 1 positional argument but 2 were given (outside your file"),
        ("def normalise(w, n)\n    return w",
         "SyntaxError: expected ':' (ex01_normalise.py, line 1: def normalise(w, n))"),
        ("exit(3)\n", "SystemExit: 3 (ex01_normalise.py, line 1: exit(3))"),
        ("def normalise(w, n):\n    w - w.mean()",
         "one utterance without padding: yours is None: is `return` missing?\nHint: "),
    ],
    ids=["crash", "not-implemented", "parameters", "syntax", "exit", "return"],
)  # fmt: skip
def test_an_error_is_shown_with_its_line_and_its_case(tmp_path, monkeypatch, code, shown):
    monkeypatch.setattr("course.conftest.EXERCISES", tmp_path)
    path = tmp_path / "ex01_normalise.py"
    path.write_text(code)
    with pytest.raises((Exception, SystemExit)) as raised:
        check_module(1).check(runpy.run_path(str(path))["normalise"])
    assert explain(raised.value).startswith(shown)


def test_the_place_that_differs_is_shown():
    expected = torch.arange(20.0)
    yours = expected.clone()
    yours[12] = -1
    with pytest.raises(Wrong, match=r"yours    \[..., 9, 10, 11, -1, 13, 14, 15, 16, ...\]"):
        equal(yours, expected, "a case", "a hint")
    with pytest.raises(Wrong, match=r"expected \[0, 1, 2\]"):
        equal(yours[:3] + 1, expected[:3], "a case", "a hint")
    with pytest.raises(Wrong, match=r"expected \[2\]"):
        equal(expected[1], expected[2], "a number of its own", "a hint")


def test_a_piece_under_another_name_is_missed(monkeypatch):
    monkeypatch.setattr(check_module(1), "NAME", "normalize")
    assert progress.state(1) == "no: ex01_normalise.py defines no normalize: was it renamed?"


def test_progress_outlives_an_exercise_that_exits(monkeypatch):
    monkeypatch.setattr(progress, "solution", lambda number: sys.exit(3))
    assert progress.state(1).startswith("no: SystemExit: 3")
