"""What the checks of all exercises share: fresh inputs, comparisons that explain, pieces put in.

A check module, course/checks/ex07.py for exercise 7, holds
    NAME        what the student writes in course/exercises/ex07_*.py: a function or a class
    reference   the repository's own
    check(solution)         compares the two on fresh random inputs; raises Wrong
    installed(solution)     a context in which the repository's code uses the solution
and, where the piece has no part in transcribing, run(solution, audio), which returns what
`python -m course.run` shows of it.
"""

import importlib
import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch

EXERCISES = Path(__file__).parent / "exercises"


class Wrong(AssertionError):
    """A solution gives something else than it should; the message is all that is shown."""


def numbers() -> list[int]:
    """The numbers of all exercises, in order."""
    return sorted(int(path.stem[2:4]) for path in EXERCISES.glob("ex*.py"))


def stub(number: int) -> Path:
    """The file that the student writes in."""
    return next(EXERCISES.glob(f"ex{number:02}_*.py"))


def check_module(number: int) -> ModuleType:
    return importlib.import_module(f"course.checks.ex{number:02}")


def solution(number: int):
    """The student's piece."""
    module = importlib.import_module(f"course.exercises.{stub(number).stem}")
    name = check_module(number).NAME
    if not hasattr(module, name):
        raise Wrong(f"{stub(number).name} defines no {name}: was it renamed?")
    return getattr(module, name)


def generator() -> torch.Generator:
    """Random inputs that are others each time."""
    return torch.Generator().manual_seed(secrets.randbelow(2**31))


def untouched(piece: Callable, case: str, *inputs):
    """What the piece gives for the inputs; raises Wrong where it has written into one of them."""
    given = [x.clone() if isinstance(x, torch.Tensor) else x for x in inputs]
    yours = piece(*given)
    hint = "make a new tensor: x += y and x[...] = y write into what the caller still needs"
    for number, (x, before) in enumerate(zip(given, inputs, strict=True), 1):
        if isinstance(x, torch.Tensor):
            equal(x, before, f"{case}: argument {number}, which must stay as it was", hint, 0.0)
    return yours


def equal(yours, expected, case: str, hint: str, tolerance: float = 1e-4) -> None:
    """Compare tensors (to `tolerance` of the largest value; of whatever dtype), numbers, or
    anything that has ==.

    Raises Wrong, which shows the case, yours beside the expected, and the hint.
    """

    def wrong(what: str, *lines: str) -> Wrong:
        return Wrong(
            "\n".join([f"{case}: {what}", *(f"  {line}" for line in lines), f"Hint: {hint}"])
        )

    if yours is None:
        raise wrong("yours is None: is `return` missing?")
    if isinstance(expected, torch.Tensor):
        if not isinstance(yours, torch.Tensor):
            raise wrong(f"expected a tensor, yours is {type(yours).__name__} {yours!r}")
        yours, expected = yours.detach(), expected.detach()
        if yours.shape != expected.shape:
            raise wrong("another shape", f"yours    {tuple(yours.shape)}",
                        f"expected {tuple(expected.shape)}")  # fmt: skip
        differs = ~torch.isclose(yours.double(), expected.double(), rtol=0, equal_nan=True,
                                 atol=tolerance * max(1e-6, finite_peak(expected)))  # fmt: skip
        if differs.any():
            place = tuple(differs.nonzero()[0].tolist())
            raise wrong(
                f"differs at {place}, the first of {int(differs.sum())} places",
                f"yours    {shown(yours, place)}", f"expected {shown(expected, place)}",
            )  # fmt: skip
    elif isinstance(expected, float):
        if not isinstance(yours, (int, float)):
            raise wrong(f"expected a plain number, yours is {type(yours).__name__} {yours!r}")
        near = math.isclose(yours, expected, rel_tol=tolerance, abs_tol=1e-5 * tolerance)
        if not near and not (math.isnan(yours) and math.isnan(expected)):
            raise wrong("another number", f"yours    {yours!r}", f"expected {expected!r}")
    elif hasattr(yours, "shape") or yours != expected:
        what = "not the same"
        if type(yours) is not type(expected):
            what = f"yours is a {type(yours).__name__}, expected a {type(expected).__name__}"
        raise wrong(what, f"yours    {yours!r}", f"expected {expected!r}")


def finite_peak(tensor: torch.Tensor) -> float:
    values = tensor.double()
    values = values[values.isfinite()]
    return values.abs().max().item() if values.numel() else 0.0


def shown(tensor: torch.Tensor, place: tuple[int, ...]) -> str:
    """The values of a row around a place: from three before it on, eight of them."""
    row = tensor[place[:-1]].flatten()
    start = max(0, place[-1] - 3) if place else 0
    values = row[start : start + 8].tolist()
    text = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in values]
    before, after = ["..."] * (start > 0), ["..."] * (start + 8 < len(row))
    return f"[{', '.join(before + text + after)}]"


def replacing(*places: tuple[object, str]) -> Callable:
    """`installed` for a piece that stands as an attribute of modules or classes."""

    @contextmanager
    def installed(piece) -> Iterator[None]:
        with mock.patch.multiple(places[0][0], **{places[0][1]: piece}):
            if len(places) == 1:
                yield
            else:
                with replacing(*places[1:])(piece):
                    yield

    return installed
