"""Evaluation: word error rate with its interval, its alignment, and where the errors are.

    python eval.py [--model DIR_OR_REPO] [--data MANIFEST] [--out DIR]
    python eval.py --compare A.jsonl B.jsonl

Rates are fractions: 0.05 is 5 %. A unit is a word (WER) or a character (CER).
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from audio import SAMPLE_RATE
from configs import plain_errors, positive
from ctc import BEAMS, JointTinyAudio
from data import Problems, Utterance, load_source, normalise_text, write_jsonl
from tinyaudio import DEFAULT_MODEL, TinyAudio

TEST_SET = "espeak:test:300"  # unseen sentences in unseen voices
NORMALIZERS = ("whisper", "whisper-basic", "none")
RESAMPLES = 2000  # of the bootstrap: the interval's ends are then good to about 0.1 of its width


def align(ref_words: Sequence, hyp_words: Sequence) -> tuple[int, int, int, list[tuple]]:
    """Minimum edit distance with its path (Levenshtein 1966; Wagner & Fischer 1974).

    Returns (substitutions, deletions, insertions, pairs); a pair is (reference word, hypothesis
    word) in order, None where a word was deleted or inserted.
    """
    rows, columns = len(ref_words) + 1, len(hyp_words) + 1
    # cost[i][j]: the fewest edits from the first i reference words to the first j hypothesis words
    row = list(range(columns))
    cost = [np.array(row, np.int32)]  # 4 bytes each: of an hour of speech there are 80 million
    for i in range(1, rows):
        above, row = row, [i]
        for j in range(1, columns):
            substitution = above[j - 1] + (ref_words[i - 1] != hyp_words[j - 1])
            row.append(min(substitution, above[j] + 1, row[j - 1] + 1))
        cost.append(np.array(row, np.int32))
    i, j, pairs = rows - 1, columns - 1, []
    while i or j:
        differ = i and j and ref_words[i - 1] != hyp_words[j - 1]
        if i and j and cost[i][j] == cost[i - 1][j - 1] + differ:
            i, j = i - 1, j - 1
            pairs.append((ref_words[i], hyp_words[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((ref_words[i], None))
        else:
            j -= 1
            pairs.append((None, hyp_words[j]))
    pairs.reverse()
    deletions = sum(hyp is None for _, hyp in pairs)
    insertions = sum(ref is None for ref, _ in pairs)
    return row[-1] - deletions - insertions, deletions, insertions, pairs


def edit_distance(ref: Sequence, hyp: Sequence) -> int:
    """The sum of what `align` counts, without the path: a row at a time, for long texts."""
    others, steps = np.array([*hyp], dtype=str), np.arange(len(hyp) + 1)
    row = steps
    for unit in ref:
        best = np.append(row[0] + 1, np.minimum(row[1:] + 1, row[:-1] + (others != unit)))
        row = np.minimum.accumulate(best - steps) + steps  # insertions
    return int(row[-1])


def error_rate(refs: Sequence[Sequence], hyps: Sequence[Sequence]) -> float:
    """Edits of all pairs by reference units; NaN where there is no reference unit at all."""
    edits = sum(edit_distance(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True))
    return edits / (sum(map(len, refs)) or float("nan"))


def wer(refs: Sequence[str], hyps: Sequence[str]) -> float:
    """Word error rate, words as they stand."""
    return error_rate([ref.split() for ref in refs], [hyp.split() for hyp in hyps])


def cer(refs: Sequence[str], hyps: Sequence[str]) -> float:
    """Character error rate, spaces counted as characters."""
    return error_rate(refs, hyps)


def bootstrap(edits: Sequence[int], words: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the WER over utterances drawn anew (Bisani & Ney 2004): (low, high)."""
    edits, words = np.asarray(edits), np.asarray(words)
    draws = np.random.default_rng(seed).integers(len(edits), size=(RESAMPLES, len(edits)))
    rates = edits[draws].sum(1) / np.maximum(words[draws].sum(1), 1)
    return tuple(np.quantile(rates, (0.025, 0.975)).tolist())


def text_normaliser(name: str) -> Callable[[str], str]:
    """The normaliser of `wer` by name: "whisper" (English), "whisper-basic", or "none"."""
    if name == "none":
        return normalise_text
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    return {"whisper": EnglishTextNormalizer, "whisper-basic": BasicTextNormalizer}[name]()


def evaluate(
    model: TinyAudio, utterances: list[Utterance], normalizer: str = "whisper", beams: int = 1
) -> tuple[list[dict], dict]:
    """Transcribe and score: (results, one dict an utterance; summary of all).

    An utterance that cannot be read is left out, counted and reported.
    """
    results, problems, normalise = [], Problems(), text_normaliser(normalizer)
    started = time.perf_counter()
    # By length, or by the size of an encoded file: neighbours end alike. In groups: the bar moves.
    order = sorted(
        utterances, key=lambda u: u.duration or len(u.audio) * isinstance(u.audio, bytes)
    )
    with tqdm(total=len(order), desc="eval", unit="utt", leave=False) as bar:
        for group in (order[i : i + 64] for i in range(0, len(order), 64)):
            readable = []
            for utterance in group:
                try:
                    readable.append((utterance, utterance.waveform()))
                except (OSError, ValueError):
                    problems["the audio file is missing or cannot be read"] += 1
            texts = model.transcribe([waveform for _, waveform in readable], beams)
            for (utterance, waveform), text in zip(readable, texts, strict=True):
                seconds = len(waveform) / SAMPLE_RATE
                results.append(score(utterance, text, seconds, normalise))
            bar.update(len(group))
    elapsed = time.perf_counter() - started
    problems.report("evaluation")
    if not results:
        raise ValueError("none of the utterances can be read")
    how = {"normalizer": normalizer, "beams": beams, "ctc": isinstance(model, JointTinyAudio)}
    summary = summarise(results) | how
    summary["rtfx"] = summary["audio_seconds"] / elapsed
    return results, summary


def score(utterance: Utterance, text: str, seconds: float, normalise: Callable) -> dict:
    """One line of results.jsonl."""
    ref, hyp = normalise(utterance.text), normalise(text)
    S, D, insertions, _ = align(ref.split(), hyp.split())
    raw = align(normalise_text(utterance.text).split(), normalise_text(text).split())
    audio = utterance.id if isinstance(utterance.audio, bytes) else utterance.audio
    return {
        "audio": audio, "offset": utterance.offset, "reference": utterance.text, "hypothesis": text,
        "ref": ref, "hyp": hyp, "substitutions": S, "deletions": D, "insertions": insertions,
        "raw_errors": sum(raw[:3]), "seconds": round(seconds, 3),
    }  # fmt: skip


def errors(result: dict) -> int:
    """Word errors of one line of results.jsonl."""
    return result["substitutions"] + result["deletions"] + result["insertions"]


def summarise(results: list[dict]) -> dict:
    """Rates and counts of scored utterances; the interval is of `wer`. JSON knows no NaN: where no
    utterance has words, `cer` is None.

    `silent` recordings have no words in their reference; `hallucinated` are those of them on which
    something was written.
    """
    words = [len(r["ref"].split()) for r in results]
    edits = [errors(r) for r in results]
    raw_words = sum(len(normalise_text(r["reference"]).split()) for r in results)
    low, high = bootstrap(edits, words)
    silent = [r["hypothesis"] for r in results if not normalise_text(r["reference"])]
    return {
        "wer": sum(edits) / max(1, sum(words)), "wer_low": low, "wer_high": high,
        "cer": cer(*([r[key] for r in results] for key in ("ref", "hyp"))) if any(words) else None,
        "raw_wer": sum(r["raw_errors"] for r in results) / max(1, raw_words),
        **{k: sum(r[k] for r in results) for k in ("substitutions", "deletions", "insertions")},
        "words": sum(words), "raw_words": raw_words, "utterances": len(results),
        "silent": len(silent), "hallucinated": sum(map(bool, silent)),
        "audio_seconds": sum(r["seconds"] for r in results),
    }  # fmt: skip


def write_results(folder: Path, results: list[dict], summary: dict) -> None:
    """results.jsonl and summary.json in `folder`."""
    write_jsonl(folder / "results.jsonl", results)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description="Score a model on a set of recordings.")
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="saved model: folder or Hub id")
    parser.add_argument("--data", default=TEST_SET, help="JSONL manifest or espeak:SPLIT:COUNT")
    parser.add_argument("--out", help="folder for the results")
    parser.add_argument("--normalizer", default="whisper", choices=NORMALIZERS)
    parser.add_argument("--beams", type=positive, help="default: 1, or 8 with --ctc")
    parser.add_argument("--ctc", action="store_true", help="the encoder's letters judge the beam")
    parser.add_argument("--limit", type=positive, help="score the first so many utterances only")
    parser.add_argument("--device", help="cuda, mps or cpu; default: the fastest there is")
    parser.add_argument("--compare", nargs=2, metavar="RESULTS", help="compare two results.jsonl")
    args = parser.parse_args()
    warnings.formatwarning = lambda message, *_: f"{message}\n"
    import report  # which imports align from here

    if args.compare:
        print(report.compare(*args.compare))
        return 0
    beams = args.beams or (BEAMS if args.ctc else 1)
    utterances = load_source(args.data)[: args.limit]
    model = (JointTinyAudio if args.ctc else TinyAudio).from_pretrained(args.model, args.device)
    folder = report.results_folder(args)  # before the work: it may be refused
    results, summary = evaluate(model, utterances, args.normalizer, beams)
    write_results(folder, results, summary | {k: vars(args)[k] for k in ("model", "data", "limit")})
    print(report.evaluation_report(results, summary))
    print(f"\n{folder / 'results.jsonl'} and summary.json written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
