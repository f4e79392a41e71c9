"""Exercise 22: the results on a model card, as hub.card.model_index writes them."""

import json

import torch

from course.checking import equal, generator
from hub import card
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "model_index"


def reference(summary: dict) -> list[tuple[str, str, float]]:
    results = card.model_index(summary)
    return [(r.metric_type, r.metric_name, r.metric_value) for r in results]


def check(solution) -> None:
    g = generator()

    def compare(changes: dict, case: str, hint: str) -> None:
        # An odd number of thousandths of a percent: every rounding is seen.
        rates = (2 * torch.randint(100, 40_000, (3,), generator=g) + 1) / 1e5
        summary = dict(zip(("wer", "cer", "raw_wer"), rates.double().tolist(), strict=True))
        summary |= {"normalizer": "whisper", "beams": 4, "data": "espeak:test:300"} | changes
        found = solution(summary)
        yours = [tuple(row) for row in found] if isinstance(found, list) else found
        expected = reference(summary)
        if isinstance(yours, list) and [len(row) for row in yours] == [3, 3, 3]:
            for row, right in zip(yours, expected, strict=True):
                equal(row[:2], right[:2], f"{case}: metric and name of a row", hint)
                of_value = "100 times this rate of summary, and that rounded to two digits"
                equal(row[2], right[2], f"{case}: the value of {right[1]}", of_value, 0.0)
        else:
            equal(yours, expected, f"{case}: the rows", "a list of three rows of three")

    hint = "the metric in small letters, the name as the docstring shows it"
    compare({}, "the whisper normaliser and four beams", hint)
    hint = "the name holds the number of beams of summary"
    compare({"beams": 8}, "eight beams", hint)
    compare({"beams": 1}, "one beam", "with one beam the search is called greedy")
    hint = "the name holds the normaliser of summary"
    compare({"normalizer": "whisper-basic"}, "another normaliser", hint)
    compare({"wer": 0.0, "cer": 0.0}, "no errors", "0 % is a result as any other")
    hint = "two digits behind the point, as the docstring says"
    compare({"wer": 0.07}, "a rate of 0.07, and 100 * 0.07 is 7.000000000000001", hint)
    compare({"wer": 1.25}, "more errors than words", "a rate may be above 100 %")


def run(solution, audio) -> str:
    """The transcript, and what the tiny model's card says of its test set."""
    summary = json.loads((DEFAULT_MODEL / "summary.json").read_text())
    rows = "; ".join(f"{metric}: {name} {value} %" for metric, name, value in solution(summary))
    text = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu").transcribe(audio)
    return f"{text} ({rows})"
