"""LEADERBOARD.md, made from hub/leaderboard/: one JSON file a model, its transcripts beside it.

    python hub/leaderboard.py                                  # write the page anew
    python hub/leaderboard.py --add runs/mine --repo you/mine  # add or renew a model's entry first

Every rate on the page is counted again from the transcripts: an entry whose figures are others is
refused.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from configs import plain_errors
from data import Utterance
from eval import score, summarise, text_normaliser
from hub.card import table, test_sets
from hub.repository import without_folders

ROOT = Path(__file__).parents[1]
ENTRIES = ROOT / "hub" / "leaderboard"
FIGURES = ("wer", "wer_low", "wer_high", "cer", "raw_wer", "words", "utterances")
COLUMNS = ("model", "test_set", "parameters_trained", "parameters_frozen", "hardware", "command")
HEAD = """# Leaderboard

One table a test set and normaliser, the best first. To be listed: `python publish.py`, then a
pull request with the two files it writes under `hub/leaderboard/`, and with this page, which
`python hub/leaderboard.py` makes from them. Nothing here is written by hand.
"""


def add_entry(model: Path, repo: str) -> str:
    """Write the entry of a scored model; says where, or why there is none. Raises OSError or
    ValueError where training.json, summary.json or results.jsonl is missing or false."""
    if "/" not in repo:
        raise ValueError(f"{repo}: expected you/my-model")
    sizes = "parameters_trained", "parameters_frozen"
    training = read_json(model / "training.json", *sizes, "device")
    summary = read_json(model / "summary.json", "data", "normalizer", "beams", *FIGURES)
    sets = test_sets(summary)
    if len(sets) > 1 or Path(sets[0]).is_absolute():
        return f"no entry for the leaderboard: nobody else can run eval.py on {' + '.join(sets)}"
    if not summary["words"]:
        return "no entry for the leaderboard: its test set holds no words"
    options = f" --beams {summary['beams']}" if summary["beams"] > 1 else ""
    if summary.get("ctc"):
        options += " --ctc"
    if summary["normalizer"] != "whisper":
        options += f" --normalizer {summary['normalizer']}"
    name, results = repo.replace("/", "--"), model / "results.jsonl"
    if ROOT / "models" not in results.resolve().parents:  # those are in the repository already
        text = without_folders(results.read_text(encoding="utf-8"))
        results = ENTRIES / f"{name}.jsonl"
        results.write_text(text, encoding="utf-8")
    entry = {
        "model": repo, "test_set": sets[0], "normalizer": summary["normalizer"],
        "beams": summary["beams"], **{key: summary[key] for key in FIGURES},
        **{key: training[key] for key in sizes},
        "hardware": training.get("hardware", training["device"]),
        "command": f"python eval.py --model {repo} --data {sets[0]}{options}",
        "results": results.resolve().relative_to(ROOT).as_posix(),
    }  # fmt: skip
    path = ENTRIES / f"{name}.json"
    path.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
    try:
        check(path)
    except ValueError:
        path.unlink()
        raise
    return f"{path.relative_to(ROOT)} written; LEADERBOARD.md says how to be listed"


def read_json(path: Path, *keys: str) -> dict:
    """What a JSON file holds. Raises ValueError where a key is missing."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if lacking := [key for key in keys if key not in values]:
        raise ValueError(f"{path}: has no {', '.join(lacking)}")
    return values


def check(path: Path) -> tuple[dict, list[str]]:
    """The entry in a file, and the references it was scored on. Raises ValueError where its
    figures are not those of its transcripts."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        lines = (ROOT / entry["results"]).read_text(encoding="utf-8").splitlines()
        rows, normalise = [json.loads(line) for line in lines], text_normaliser(entry["normalizer"])
        figures = {key: entry[key] for key in (*FIGURES, *COLUMNS)}
        counted = summarise([
            score(Utterance("", r["audio"], r["reference"]), r["hypothesis"],
                  r["seconds"], normalise)
            for r in rows
        ])  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: {type(error).__name__} {error}") from None
    for key in FIGURES:
        if not abs(counted[key] - figures[key]) <= 1e-9:
            raise ValueError(
                f"{path}: {key} is {figures[key]}, but {entry['results']} gives {counted[key]}"
            )
    return entry, sorted(row["reference"] for row in rows)


def page() -> str:
    """LEADERBOARD.md of all entries. Raises ValueError where one is not true to its results."""
    groups: dict[tuple, list[dict]] = {}
    references: dict[tuple, list[str]] = {}
    for path in sorted(ENTRIES.glob("*.json")):
        entry, said = check(path)
        group = (entry["test_set"], entry["normalizer"])
        if references.setdefault(group, said) != said:
            raise ValueError(f"{path}: was scored on other utterances than the set's first entry")
        groups.setdefault(group, []).append(entry)
    text = HEAD
    for (test_set, normalizer), entries in sorted(groups.items()):
        first = entries[0]
        text += (
            f"\n## `{test_set}`, {normalizer} normaliser\n\n{first['utterances']} utterances, "
            f"{first['words']:,} words.\n\n"
        )
        rows = [("", "model", "WER (95% interval)", "CER", "WER, words as written",
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


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, metavar="MODEL", help="folder of a scored model")
    parser.add_argument("--repo", help="its name on the Hub, or its folder in this repository")
    args = parser.parse_args()
    if bool(args.add) != bool(args.repo):
        parser.error("--add and --repo go together")
    if args.add:
        print(add_entry(args.add, args.repo))
    (ROOT / "LEADERBOARD.md").write_text(page(), encoding="utf-8")
    print("LEADERBOARD.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
