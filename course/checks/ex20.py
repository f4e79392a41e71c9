"""Exercise 20: the bootstrap interval, compared as a mean over seeds: random numbers differ."""

import json

import torch

import eval
from course.checking import equal, generator
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "bootstrap"
reference = eval.bootstrap
SEEDS = range(20)


def check(solution) -> None:
    def compare(edits: list[int], words: list[int], expected: float, case: str, hint: str) -> None:
        low, high = interval(edits, words)
        equal(low, expected, f"{case}, {edits=} and {words=}: low", hint)
        equal(high, expected, f"{case}, {edits=} and {words=}: high", hint)

    def interval(edits: list[int], words: list[int], seed: int = 0) -> tuple[float, float]:
        found = solution(edits, words, seed)
        if not (isinstance(found, (tuple, list)) and len(found) == 2):
            expected = reference(edits, words, seed)
            equal(found, expected, "what is returned", "return two numbers, low, high")
        return found

    compare([3], [10], 0.3, "a single utterance", "draw whole utterances: here it is this one")
    hint = "draw utterances, each with its edits and its words; the rate is edits divided by words"
    compare([2, 1, 3], [10, 5, 15], 0.2, "the same rate everywhere", hint)
    compare([0, 0], [7, 9], 0.0, "no errors", "no edits, whichever are drawn")
    hint = "a draw without words has its edits divided by 1"
    compare([0, 0], [0, 0], 0.0, "silence alone", hint)
    compare([3, 3], [0, 0], 6.0, "insertions alone", hint)

    # Three draws of it in 7 % of all resamples, four in 1.3 %: so is the interval's upper end.
    for place, name in ((0, "first"), (9, "last")):
        edits = [9 * (n == place) for n in range(10)]
        low, high = interval(edits, [10] * 10)
        hint = f"draw from all utterances, the {name} included: integers(n) are 0 to n - 1"
        equal(float(low), 0.0, f"all edits in the {name} of ten utterances: low", hint)
        equal(float(high), 0.27, f"all edits in the {name} of ten utterances: high", hint)

    # Errors lie in a few long utterances, and nearly every word of the short ones is wrong.
    g = generator()
    long, short = torch.randint(15, 30, (16,), generator=g), torch.randint(1, 3, (8,), generator=g)
    wrong = torch.cat((torch.full((4,), 12), torch.randint(2, (12,), generator=g), short))
    edits, words = wrong.tolist(), torch.cat((long, short)).tolist()
    yours = [interval(edits, words, seed) for seed in SEEDS]
    expected = [reference(edits, words, seed) for seed in SEEDS]
    low, high = (float(sum(ends)) / len(SEEDS) for ends in zip(*yours, strict=True))
    our_low, our_high = (sum(ends) / len(SEEDS) for ends in zip(*expected, strict=True))
    case = f"16 long and 8 short utterances, the mean of {len(SEEDS)} seeds"
    # An end found by 2000 draws has a standard error of 1.5 % of the width, a mean of 20 of 0.35 %;
    # an interval of 90 % is 16 % narrower.
    width = our_high - our_low
    hint = "the rate of a draw is the sum of its edits divided by the sum of its words"
    middle = (our_low + our_high) / 2
    equal((low + high) / 2, middle, f"{case}: the middle", hint, 0.3 * width / middle)
    hint = (
        "draw whole utterances, as many as there are, with replacement; 95 % of the rates are "
        "between low and high"
    )
    equal(high - low, width, f"{case}: the width, high - low", hint, 0.08)
    hint = "as many rates are below low as above high, 2.5 % each"
    equal(low, our_low, f"{case}: low", hint, 0.05 * width / our_low)
    equal(high, our_high, f"{case}: high", hint, 0.05 * width / our_high)

    again = [interval(edits, words, seed) for seed in SEEDS[:3]]
    hint = "make a generator from the seed in every call: np.random.default_rng(seed)"
    equal(again, yours[:3], "seeds 0, 1 and 2 a second time", hint)
    seeds = len(set(map(tuple, yours)))
    equal(seeds > 1, True, f"{len(SEEDS)} seeds: is there more than one interval?", hint)


def run(solution, audio) -> str:
    """The transcript, and how well the tiny model's WER on its test set is known.

    In whole points: random numbers differ between right solutions.
    """
    lines = (DEFAULT_MODEL / "results.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]
    edits, words = map(eval.errors, results), (len(r["ref"].split()) for r in results)
    low, high = solution(list(edits), list(words))
    text = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu").transcribe(audio)
    width = f"{50 * (high - low):.0f} point(s) either way"
    return f"{text} (its WER is known from {len(results)} utterances to about {width})"
