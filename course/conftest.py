"""`pytest course -m ex7`: a failure is a few sentences, not a stack trace."""

import sys
import traceback
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from course.checking import EXERCISES, Wrong, numbers

CHECKS = EXERCISES.parent / "checks"
OUTSIDE = "outside your file: are its name and parameters the stub's, and does it return what the \
stub says?"


def pytest_configure(config):
    for number in numbers():
        config.addinivalue_line("markers", f"ex{number}: exercise {number}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and call.excinfo is not None:
        report.longrepr = explain(call.excinfo.value)


def unwritten(error: BaseException) -> bool:
    """Whether it comes from a stub, and not from a library's function that lacks something."""
    return isinstance(error, NotImplementedError) and str(error).startswith("Exercise ")


def explain(error: BaseException) -> str:
    """What a student should read of an error: of their own code the line, and the check's case."""
    if isinstance(error, Wrong):
        return str(error)
    if unwritten(error):
        return f"{error} is yet to be written"
    message = error.msg if isinstance(error, SyntaxError) else error
    cases = [frame.f_locals["case"] for frame, _ in traceback.walk_tb(error.__traceback__)
             if str(CHECKS) in frame.f_code.co_filename and "case" in frame.f_locals]  # fmt: skip
    case = f"\nCase: {cases[-1]}" if cases else ""
    return f"{type(error).__name__}: {message} ({place(error)}){case}"


def place(error: BaseException) -> str:
    """The last line of the student's file that an error came through."""
    lines = [(f.filename, f.lineno, f.line) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):  # which no line of the file raised
        lines.append((error.filename, error.lineno, error.text))
    own = [line for line in lines if str(EXERCISES) in str(line[0])]
    if not own:
        return OUTSIDE
    file, number, text = own[-1]
    return f"{Path(file).name}, line {number}: {(text or '').strip()}"
