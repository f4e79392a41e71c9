"""Checks of the student's pieces: `pytest course -m ex7`; all: `python -m course.progress`."""

import pytest

from course.checking import check_module, numbers, solution


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=getattr(pytest.mark, f"ex{n}")) for n in numbers()]
)
def test_exercise(number):
    check_module(number).check(solution(number))
