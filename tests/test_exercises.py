"""The course's exercises: each can be solved, each check can fail, and a piece fits the model."""

import importlib.util
import subprocess
import sys

import pytest
from conftest import ROOT

from audio import load_audio
from course.checking import Wrong, check_module, numbers, solution, stub
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


@pytest.mark.parametrize("number", numbers())
def test_the_stub_is_yet_to_be_written(number):
    text = stub(number).read_text()
    assert text.startswith(f'"""Exercise {number}: ')
    assert f'raise NotImplementedError("Exercise {number}")' in text and "bout" in text
    assert solution(number).__doc__ or "lines" in text


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
        assert len(wrong_solutions(number)) >= 3, number


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


def run_module(*command) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip


def test_a_failure_is_a_few_sentences_and_progress_says_what_is_done():
    done = run_module("pytest", "course", "-m", "ex1")
    assert done.returncode == 1 and "Exercise 1 is yet to be written" in done.stdout
    assert "Traceback" not in done.stdout
    done = run_module("course.progress")
    assert done.returncode == 0 and done.stdout.count("not yet") == len(numbers())


def test_course_run_names_the_piece_that_is_missing():
    done = run_module("course.run", "1", SAMPLE)
    assert done.returncode == 1
    assert done.stderr.strip() == "ex01_normalise.py: Exercise 1 is yet to be written"
