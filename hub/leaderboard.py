"""LEADERBOARD.md, made from hub/leaderboard/: one JSON file a model, its transcripts beside it.

    python hub/leaderboard.py                                  # write the page anew
    python hub/leaderboard.py --add runs/mine --repo you/mine  # add or renew a model's entry first

Every rate on the page is counted again from the transcripts: an entry whose figures are others is
refused.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from data import Utterance, normalise_text
from eval import score, summarise, text_normaliser
from hub.card import table, test_sets

ROOT = Path(__file__).parents[1]
ENTRIES = ROOT / "hub" / "leaderboard"
FIGURES = ("wer", "wer_low", "wer_high", "cer", "raw_wer", "words", "utterances")
HEAD = """# Leaderboard

One table a test set and normaliser, the best first. To be listed: `python publish.py`, then a
pull request with the two files it writes under `hub/leaderboard/`, and with this page, which
`python hub/leaderboard.py` makes from them. Nothing here is written by hand.
"""


def add_entry(model: Path, repo: str) -> Path:
    """Write the entry of a scored model; returns its path. Raises ValueError, or OSError where
    training.json, summary.json or results.jsonl is missing."""
    training, summary = (
        json.loads((model / f"{name}.json").read_text()) for name in ("training", "summary")
    )
    sets = test_sets(summary)
    if len(sets) > 1:
        raise ValueError(f"{model}: was scored on {len(sets)} sets at once; run eval.py on one")
    options = f" --beams {summary['beams']}" if summary["beams"] > 1 else ""
    if summary["normalizer"] != "whisper":
        options += f" --normalizer {summary['normalizer']}"
    results = model / "results.jsonl"
    name = repo.replace("/", "--")
    if ROOT / "models" not in results.resolve().parents:  # those are in the repository already
        results = Path(shutil.copy(results, ENTRIES / f"{name}.jsonl"))
    entry = {
        "model": repo, "test_set": sets[0], "normalizer": summary["normalizer"],
        "beams": summary["beams"], **{key: summary[key] for key in FIGURES},
        "parameters_trained": training["parameters_trained"],
        "parameters_frozen": training["parameters_frozen"], "hardware": training["hardware"],
        "command": f"python eval.py --model {repo} --data {sets[0]}{options}",
        "results": results.resolve().relative_to(ROOT).as_posix(),
    }  # fmt: skip
    path = ENTRIES / f"{name}.json"
    path.write_text(json.dumps(entry, indent=2) + "\n")
    check(path)
    return path


def check(path: Path) -> dict:
    """The entry in a file. Raises ValueError where its figures are not those of its transcripts."""
    entry = json.loads(path.read_text())
    lines = (ROOT / entry["results"]).read_text(encoding="utf-8").splitlines()
    normalise = text_normaliser(entry["normalizer"])
    said = [json.loads(line) for line in lines]
    counted = summarise([
        score(Utterance("", r["audio"], normalise_text(r["reference"])), r["hypothesis"],
              r["seconds"], normalise)
        for r in said
    ])  # fmt: skip
    for key in FIGURES:
        if abs(counted[key] - entry[key]) > 1e-9:
            raise ValueError(
                f"{path}: {key} is {entry[key]}, but {entry['results']} gives {counted[key]}"
            )
    return entry


def page() -> str:
    """LEADERBOARD.md of all entries. Raises ValueError where one is not true to its results."""
    groups: dict[tuple, list[dict]] = {}
    for path in sorted(ENTRIES.glob("*.json")):
        entry = check(path)
        groups.setdefault((entry["test_set"], entry["normalizer"]), []).append(entry)
    text = HEAD
    for (test_set, normalizer), entries in sorted(groups.items()):
        first = entries[0]
        text += (
            f"\n## `{test_set}`, {normalizer} normaliser\n\n{first['utterances']} utterances, "
            f"{first['words']:,} words.\n\n"
        )
        rows = [("", "model", "WER (95 % interval)", "CER", "WER, words as written",
                 "trained", "frozen", "trained on", "command")]  # fmt: skip
        for place, e in enumerate(sorted(entries, key=lambda e: e["wer"]), 1):
            local = (ROOT / e["model"]).is_dir()
            link = e["model"] if local else f"https://huggingface.co/{e['model']}"
            rows.append((
                place, f"[{e['model']}]({link})",
                f"**{e['wer']:.2%}** ({e['wer_low']:.1%} to {e['wer_high']:.1%})",
                f"{e['cer']:.2%}", f"{e['raw_wer']:.2%}", f"{e['parameters_trained'] / 1e6:,.1f} M",
                f"{e['parameters_frozen'] / 1e6:,.1f} M", e["hardware"], f"`{e['command']}`",
            ))  # fmt: skip
        text += table(rows) + "\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, metavar="MODEL", help="folder of a scored model")
    parser.add_argument("--repo", help="its name on the Hub, or its folder in this repository")
    args = parser.parse_args()
    if bool(args.add) != bool(args.repo):
        parser.error("--add and --repo go together")
    try:
        if args.add:
            print(f"{add_entry(args.add, args.repo)} written")
        (ROOT / "LEADERBOARD.md").write_text(page())
    except (OSError, ValueError, KeyError) as error:
        print(error, file=sys.stderr)
        return 1
    print("LEADERBOARD.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
