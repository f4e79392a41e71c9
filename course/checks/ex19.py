"""Exercise 19: word error rate, as eval.wer."""

import math

import torch

import eval
from course.checking import equal, generator
from course.checks.ex18 import heard

NAME = "wer"
reference = eval.wer


def check(solution) -> None:
    g = generator()
    words = ["bus", "tea", "nine", "late", "red"]

    def sentence(count: int) -> str:
        return " ".join(words[i] for i in torch.randint(5, (count,), generator=g).tolist())

    def compare(refs: list[str], hyps: list[str], case: str, hint: str) -> None:
        equal(solution(refs, hyps), reference(refs, hyps), f"{case}, {refs!r} and {hyps!r}", hint)

    compare(["set an alarm"], ["set an alarm"], "an utterance without an error", "no edits")
    hint = "the edits divided by the number of reference words, no percentage"
    compare(["set an alarm now"], ["set the alarm"], "a substitution and a deletion", hint)
    hint = "insertions are edits too, and the reference's words are what they are divided by"
    compare(["red tea"], ["red green tea please"], "two insertions", hint)
    compare(["no"], ["i do not know"], "more edits than words", "a rate may be above 1")
    hint = "add up all edits and all reference words, then divide once"
    compare(["no", "a red bus at nine"], ["yes", "a red bus at nine"], "a short and a long", hint)
    hint = "split() takes any number of spaces for one"
    compare(["red  tea "], [" red tea"], "more spaces than needed", hint)
    hint = "words as they stand: letter case and punctuation belong to them"
    compare(["Set an alarm."], ["set an alarm"], "a capital and a full stop", hint)
    hint = "what is written where nothing was said are insertions, divided by all words"
    compare(["", "red tea at nine"], ["bus", "red tea at nine"], "a reference without words", hint)
    hint = "align each utterance with its own hypothesis"
    compare(["red bus", "tea"], ["red", "bus tea"], "a word in the wrong utterance", hint)
    for refs, hyps in (([""], ["bus"]), ([], [])):
        hint = "without a reference word there is no rate: NaN"
        case = f"no words, {refs!r} and {hyps!r}"
        yours = solution(refs, hyps)
        if not (isinstance(yours, float) and math.isnan(yours)):
            equal(yours, math.nan, case, hint)
    refs = [sentence(n) for n in (12, 1, 7, 4, 20)]
    hyps = [sentence(n) for n in (10, 3, 7, 0, 21)]
    hint = "add up all edits and all reference words, then divide once"
    compare(refs, hyps, "five random utterances", hint)
    hint = "zip(refs, hyps, strict=True): a lost utterance must not go unnoticed"
    for refs, hyps in ((["red", "bus"], ["red"]), (["red"], ["red", "bus"])):
        case = f"lists of unequal length, {refs!r} and {hyps!r}"
        try:
            found = solution(refs, hyps)
        except ValueError:
            continue
        equal(found, "a ValueError", case, hint)


def run(solution, audio) -> str:
    """WER of the recording without noise and in noise, against what is heard without it."""
    clear, noisy = heard(audio)
    rate = solution([clear, clear], [clear, noisy])
    return f"{clear} (in noise: {noisy}; WER of both {rate:.1%})"
