"""What a person is shown: the report of an evaluation, a comparison of two, curves and tables."""

import json
import secrets
import subprocess
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from checkpoints import clear_run
from devices import hardware
from eval import RESAMPLES, align, errors
from lora import lora_layers
from tinyaudio import DEFAULT_MODEL


def results_folder(args) -> Path:
    """Where eval.py's results go, a folder that is there then: `--out`; the model's own where they
    are of its whole test set, to be published with it; else, as for the shipped model, runs/eval.
    """
    model, tests = Path(args.model), []
    shipped = model.resolve() == DEFAULT_MODEL.resolve()
    if (training := model / "training.json").is_file() and not shipped:
        tests = json.loads(training.read_text(encoding="utf-8"))["config"]["data"]["test"]
    own = tests == [args.data] and not args.limit
    folder = Path(args.out or (model if own else "runs/eval"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def search_name(summary: dict) -> str:
    """How texts were found; a rate is named by it."""
    beams = f"beam {summary['beams']}" if summary["beams"] > 1 else "greedy"
    return f"{beams} with CTC" if summary.get("ctc") else beams


def evaluation_report(results: list[dict], summary: dict, worst: int = 5) -> str:
    """The summary, the worst utterances word by word, the most frequent confusions."""
    s, lines = summary, []
    if s["words"]:
        lines += [
            f"WER {s['wer']:.2%}  (95 % interval {s['wer_low']:.2%} to {s['wer_high']:.2%})   "
            f"CER {s['cer']:.2%}   normaliser: {s['normalizer']}, " + search_name(s),
            f"  {s['substitutions']} substitutions, {s['deletions']} deletions, {s['insertions']} "
            f"insertions in {s['words']} words, {s['utterances']} utterances, "
            f"{s['audio_seconds'] / 60:.1f} minutes of audio, {s['rtfx']:.0f}x real time",
            f"raw WER {s['raw_wer']:.2%}: the {s['raw_words']} words as they stand",
        ]
    if s["silent"]:
        lines.append(
            f"{s['silent']} recordings without words: something written on {s['hallucinated']} "
            f"({s['hallucinated'] / s['silent']:.1%})"
        )
    if s["words"] and abs(s["raw_wer"] - s["wer"]) > 5e-5:
        lines.append(
            f"  The two differ: the {s['normalizer']} normaliser rewrites words (it joins "
            '"two nine eight" into 298, and the like), which changes both errors and their base.'
        )
    ranked = sorted(results, key=errors, reverse=True)
    if bad := [r for r in ranked[:worst] if errors(r)]:
        lines += ["", "The worst utterances:"]
        for r in bad:
            lines += [f"  {r['audio']}", *show_alignment(r["ref"], r["hyp"])]
    confusions = Counter(
        pair
        for r in results
        for pair in align(r["ref"].split(), r["hyp"].split())[3]
        if pair[0] != pair[1]
    )
    if confusions:
        lines += ["", "The most frequent confusions (reference -> hypothesis):"]
        for (ref, hyp), count in confusions.most_common(10):
            lines.append(f"  {count:4}  {ref or '(nothing)'} -> {hyp or '(nothing)'}")
    return "\n".join(lines)


def show_alignment(ref: str, hyp: str) -> list[str]:
    """Two lines, word under word; *** stands for a word the other side lacks."""
    pairs = [(r or "***", h or "***") for r, h in align(ref.split(), hyp.split())[3]]
    refs = " ".join(r.ljust(len(h)) for r, h in pairs)
    hyps = " ".join((h if r == h else h.upper()).ljust(len(r)) for r, h in pairs)
    return [f"    REF {refs.rstrip()}", f"    HYP {hyps.rstrip()}"]


def compare(path_a: str, path_b: str, seed: int = 0) -> str:
    """Paired bootstrap of two result files of the same utterances: is the difference chance?

    Raises ValueError where they hold different utterances, or texts normalised differently.
    """
    (normalizer_a, search_a), (normalizer_b, search_b) = map(how_scored, (path_a, path_b))
    if normalizer_a and normalizer_b and normalizer_a != normalizer_b:
        raise ValueError(
            f"{path_a} is under the normaliser {normalizer_a}, {path_b} under {normalizer_b}: "
            "two rates that cannot be compared"
        )
    a, b = map(read_results, (path_a, path_b))
    if a.keys() != b.keys():
        raise ValueError(f"{path_a} and {path_b} hold different utterances")
    edits = np.array([(a[utterance][0], b[utterance][0]) for utterance in a])
    words = np.array([a[utterance][1] for utterance in a])
    draws = np.random.default_rng(seed).integers(len(words), size=(RESAMPLES, len(words)))
    counts = np.maximum(words[draws].sum(1, keepdims=True), 1)
    rates = edits[draws].sum(1) / counts  # (RESAMPLES, 2)
    difference = rates[:, 1] - rates[:, 0]
    low, high = np.quantile(difference, (0.025, 0.975))
    wer_a, wer_b = edits.sum(0) / max(1, words.sum())
    return (
        f"A {wer_a:.2%}  {search_a}  {path_a}\nB {wer_b:.2%}  {search_b}  {path_b}\n"
        f"B - A {wer_b - wer_a:+.2%} (95 % interval {low:+.2%} to {high:+.2%}); "
        f"B is better in {(difference < 0).mean():.1%} of {RESAMPLES} resamples"
    )


def read_results(path: str) -> dict[tuple, tuple[int, int]]:
    """A results.jsonl as {utterance: (edits, reference words)}.

    Raises ValueError where it is none, FileNotFoundError where there is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    found = {}
    try:
        for line in Path(path).read_bytes().splitlines():
            r = json.loads(line)  # several utterances may be cut from one file
            utterance = r["audio"], r.get("offset", 0.0), r["reference"]
            found[utterance] = errors(r), len(r["ref"].split())
        if not found:
            raise ValueError("it is empty")
    except (ValueError, KeyError, TypeError) as error:
        what = f"expected results.jsonl, as eval.py writes it ({type(error).__name__}: {error})"
        raise ValueError(f"{path}: {what}") from None
    return found


def how_scored(path: str) -> tuple[str | None, str]:
    """The normaliser and the search of a result file, by the summary.json beside it, if any."""
    beside = Path(path).with_name("summary.json")
    summary = json.loads(beside.read_text()) if beside.is_file() else {}
    search = search_name(summary) if "beams" in summary else "search unknown"
    return summary.get("normalizer"), search


def five_transcripts(results: list[dict]) -> str:
    """What was said and what was written, for five utterances of all lengths."""
    chosen = results[:: max(1, len(results) // 5)][:5]
    return "\n".join(f"  said   {r['reference']}\n  wrote  {r['hypothesis']}" for r in chosen)


def record(run: Path, cfg, model: nn.Module, progress, summary: dict) -> None:
    """training.json: what a run was made of, and what came of it."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    training = {
        "config": asdict(cfg), "git_commit": git_commit(), "progress": asdict(progress),
        "parameters_trained": trained,
        "parameters_frozen": sum(p.numel() for p in model.parameters()) - trained,
        "device": str(model.device), "hardware": hardware(str(model.device)),
        "torch": torch.__version__, "metrics": summary,
    }  # fmt: skip
    (run / "training.json").write_text(json.dumps(training, indent=2) + "\n")


class Log:
    """metrics.jsonl, one JSON object a line, and the same numbers on the screen; those of a run
    with train.wandb at Weights & Biases too. All but one of several ranks are silent."""

    def __init__(self, run: Path, cfg, step: int, silent: bool = False):
        """Keeps the lines up to `step`: a resumed run writes the later ones again. A new one, at
        step 0, replaces a finished one only here, when all that it needs is there."""
        self.path, self.silent, self.wandb = run / "metrics.jsonl", silent, None
        if not silent:
            self.open(run, cfg, step)

    def open(self, run: Path, cfg, step: int) -> None:
        path = self.path
        if step == 0:
            clear_run(run)
        lines = path.read_text().splitlines(keepends=True) if path.exists() and step else []
        whole = (line for line in lines if line.endswith("\n"))  # kill -9 may leave half a one
        path.write_text("".join(line for line in whole if json.loads(line)["step"] <= step))
        if cfg.train.wandb:
            import wandb

            known = run / "wandb-id"
            if not (step and known.exists()):  # a resumed run goes on where it was
                known.write_text(secrets.token_hex(4))
            try:
                self.wandb = wandb.init(
                    project=cfg.train.wandb, name=run.name, id=known.read_text(), resume="allow",
                    config=asdict(cfg),
                )  # fmt: skip
            except Exception as error:  # no login, no network: the package's own kinds
                reason = str(error).strip().splitlines()[0]
                raise ValueError(f"train.wandb: {type(error).__name__}: {reason}") from None

    def write(self, **row) -> None:
        if self.silent:
            return
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in row.items()))
        if self.wandb is not None:
            self.wandb.log(row, step=row["step"])


@torch.no_grad()
def lora_sizes(model: nn.Module) -> dict[str, float]:
    """How far LoRA has moved each part: the norm of all updates over that of the weights."""
    sizes = {}
    for name in ("encoder", "decoder"):
        moved = weight = 0.0
        for layer in lora_layers(getattr(model, name)).values():
            A, B = layer.lora_A.weight, layer.lora_B.weight
            # |B A|^2 is the trace of (B'B)(A A'), two r x r matrices: B A itself is never made.
            moved += layer.scale**2 * ((B.T @ B) * (A @ A.T)).sum().item()
            squares = layer.weight.float().pow(2).sum()
            # Split over ranks: so far of this one's share. Its class, DTensor, is slow to import.
            if hasattr(squares, "full_tensor"):
                squares = squares.full_tensor()
            weight += squares.item()
        if weight:
            sizes[f"lora_{name}"] = (moved / weight) ** 0.5
    return sizes


def draw_curve(run: Path, plateau: int = 0) -> None:
    """curve.png: training loss, dev loss and dev WER over the steps.

    Up to step `plateau` the picture says that a flat curve is normal there: with large models the
    decoder finds the audio late, and then within tens of steps (SLAM-ASR, arXiv:2402.08846).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    figure, left = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for key, label in (("loss", "training loss"), ("dev_loss", "dev loss")):
        points = [(row["step"], row[key]) for row in rows if key in row]
        if points:
            left.plot(*zip(*points, strict=True), label=label)
    left.set(xlabel="step", ylabel="loss per token", yscale="log")
    if plateau:
        left.axvspan(0, plateau, color="0.93", label=f"flat is normal until about {plateau}")
    right = left.twinx()
    points = [(row["step"], 100 * row["dev_wer"]) for row in rows if "dev_wer" in row]
    right.plot(*zip(*points, strict=True), "o-", color="tab:green", label="dev WER")
    right.set(ylabel="dev WER, %", ylim=(0, max(100, *(1.05 * rate for _, rate in points))))
    figure.legend(loc="upper right", bbox_to_anchor=(0.88, 0.95))
    figure.savefig(run / "curve.png", dpi=120)
    plt.close(figure)


def parameter_table(model: nn.Module) -> str:
    """Frozen and trained parameters of each part."""
    rows = [("", "frozen", "trained")]
    for name, part in (*model.named_children(), ("all", model)):
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        frozen = sum(p.numel() for p in part.parameters()) - trained
        rows.append((name, f"{frozen:,}", f"{trained:,}"))
    return "\n".join(f"{name:10}{frozen:>16}{trained:>14}" for name, frozen, trained in rows)


def git_commit() -> str:
    """The commit this code is at, "-dirty" where files differ from it; empty outside of git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
        here = Path(__file__).parent
        return subprocess.run(command, capture_output=True, text=True, cwd=here).stdout.strip()
    except OSError:
        return ""
