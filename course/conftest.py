"""`pytest course -m ex7`: a failure is a few sentences, not a stack trace."""

import sys
import traceback
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from course.checking import EXERCISES, Wrong, numbers


def pytest_configure(config):
    for number in numbers():
        config.addinivalue_line("markers", f"ex{number}: exercise {number}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and call.excinfo is not None:
        report.longrepr = explain(call.excinfo.value)


def explain(error: BaseException) -> str:
    """What a student should read of an error: of their own code, the line."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError):
        return f"{error} is yet to be written"
    own = [f for f in traceback.extract_tb(error.__traceback__) if str(EXERCISES) in f.filename]
    if not own:
        return f"{type(error).__name__}: {error} (from what your piece returned: see its check)"
    name, line = Path(own[-1].filename).name, own[-1].lineno
    return f"{type(error).__name__}: {error} ({name}, line {line}: {own[-1].line})"
