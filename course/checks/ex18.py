"""Exercise 18: edit distance with its alignment; of equally good alignments each is right."""

import torch

import eval
from audio import load_audio
from course.checking import equal, generator, replacing
from data import Utterance
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "align"
reference = eval.align


def check(solution) -> None:
    def compare(ref, hyp, case: str, hint: str) -> None:
        case = f"{case}, {ref!r} and {hyp!r}"
        found = solution(ref, hyp)
        if not (isinstance(found, (tuple, list)) and len(found) == 4):
            equal(found, reference(ref, hyp), case, "return the three counts and the pairs")
        *counts, pairs = found
        of_pairs = "pairs is a list of tuples (reference word, hypothesis word)"
        if not (isinstance(pairs, list) and all(len(pair) == 2 for pair in pairs)):
            equal(pairs, reference(ref, hyp)[3], f"{case}: the pairs", of_pairs)
        equal(sum(counts), sum(reference(ref, hyp)[:3]), f"{case}: the number of edits", hint)
        of_words = "every word stands in one pair, in its order, also before the first match"
        words = [word for word, _ in pairs if word is not None]
        equal(words, list(ref), f"{case}: the reference words in the pairs", of_words)
        words = [word for _, word in pairs if word is not None]
        equal(words, list(hyp), f"{case}: the hypothesis words in the pairs", of_words)
        substitutions = sum(None not in pair and pair[0] != pair[1] for pair in pairs)
        deletions, insertions = len(pairs) - len(hyp), len(pairs) - len(ref)
        counted = [substitutions, deletions, insertions]
        of_counts = "a deletion is a reference word alone, an insertion a hypothesis word alone"
        equal(counts, counted, f"{case}: the counts; expected are those of your pairs", of_counts)

    a, b, c, d, e = some_words(5, 5, generator())
    compare([a, b, c], [a, b, c], "nothing wrong", "equal words cost nothing")
    compare([a, b, c], [a, d, c], "a substitution", "two words that differ cost 1, not 2")
    compare([a, b, c], [a, c], "a deletion", "a reference word may be left out at a cost of 1")
    compare([a, c], [a, b, c], "an insertion", "a word may be put in at a cost of 1")
    hint = "what does it cost to go from some words to none? The table's first column says it"
    compare([a, b, c], [], "an empty hypothesis", hint)
    hint = "what does it cost to go from no words to some? The table's first row says it"
    compare([], [a, b, c], "an empty reference", hint)
    compare([], [], "nothing at all", "no edits and no pairs")
    hint = "a word that is left out shifts all words behind it"
    compare([a, b, c, d, e], [b, c, d, e], "the first word deleted", hint)
    hint = "three substitutions are fewer edits than two deletions and two insertions"
    compare([a, b, c], [c, d, e], "a match that does not pay", hint)
    hint = "a cell is the least of three: from the left, from above, and from both"
    g = generator()
    for rows, columns in ((9, 12), (12, 9), (25, 25)):
        ref, hyp = some_words(rows, 4, g), some_words(columns, 4, g)
        compare(ref, hyp, "random words", hint)
    compare("saturday", "sunday", "characters", "two strings are sequences too")


def some_words(count: int, kinds: int, g: torch.Generator) -> list[str]:
    """Random words of `kinds`, all different where `count` is not larger."""
    words = ["bus", "tea", "nine", "late", "red"]
    order = torch.randperm(kinds, generator=g).tolist()
    if count > kinds:
        order = torch.randint(kinds, (count,), generator=g).tolist()
    return [words[i] for i in order[:count]]


def heard(audio) -> tuple[str, str]:
    """The recording's transcript, and what is heard of it in noise as loud as the speech."""
    model, waveform = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu"), load_audio(audio)
    noise = torch.randn(waveform.shape, generator=torch.Generator().manual_seed(0))
    clear, noisy = model.transcribe([waveform, waveform + noise * waveform.std()])
    return clear, noisy


def run(solution, audio) -> str:
    """WER of the recording in noise against what is heard without it."""
    clear, noisy = heard(audio)
    said = Utterance("", "", clear)
    with replacing((eval, "align"))(solution):
        rate = eval.errors(eval.score(said, noisy, 1.0, str)) / len(clear.split())
    return f"{clear} (in noise: {noisy}; WER {rate:.0%})"
