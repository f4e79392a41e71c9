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

from huggingface_hub.utils import validate_repo_id

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from benchmarks.corpora import CORPORA
from configs import plain_errors
from data import Utterance
from eval import score, summarise, text_normaliser
from hub.card import table, test_sets
from hub.repository import without_folders

ROOT = Path(__file__).parents[1]
ENTRIES = ROOT / "hub" / "leaderboard"
FIGURES = ("wer", "wer_low", "wer_high", "cer", "raw_wer", "words", "utterances")
SIZES = ("parameters_trained", "parameters_frozen")
COLUMNS = ("model", "test_set", *SIZES, "hardware", "command")
RECORDS = {  # what the card and the entry take from a model's records
    "training.json": ("config", "progress", "git_commit", "device", *SIZES),
    "summary.json": ("data", "normalizer", "beams", "silent", "hallucinated", *FIGURES),
}
# Test sets that anybody can get: spoken here, from the Hub, or as benchmarks/corpora.py divides.
PUBLIC = ("espeak:", "hf://", *(f"data/{corpus}/" for corpus in CORPORA))
HEAD = """# Leaderboard

One table a test set and normaliser, the best first. Listed are public models on test sets that
anybody can get: `espeak:` and `hf://` sources, and what `benchmarks/corpora.py` writes to `data/`.
To be listed: `python publish.py`, then a pull request with the two files it writes under
`hub/leaderboard/`, and with this page, which `python hub/leaderboard.py` makes from them. Nothing
here is written by hand.
"""


def add_entry(model: Path, repo: str, private: bool = False) -> str:
    """Write the entry of a scored model; says where, or why there is none.

    Raises OSError or ValueError, and writes nothing, where the name or one of the model's files
    will not do, or where the page would be refused with this entry.
    """
    check_input(model, repo)
    if private:
        return "no entry for the leaderboard: the model is private, and so are its transcripts"
    training, summary = (read_json(model / name, *keys) for name, keys in RECORDS.items())
    sets = test_sets(summary)
    if len(sets) != 1 or not sets[0].startswith(PUBLIC):
        return f"no entry for the leaderboard: {' + '.join(sets)} is no whole public test set"
    if not summary["words"]:
        return "no entry for the leaderboard: its test set holds no words"
    options = f" --beams {summary['beams']}" if summary["beams"] > 1 else ""
    if summary.get("ctc"):
        options += " --ctc"
    if summary["normalizer"] != "whisper":
        options += f" --normalizer {summary['normalizer']}"
    name, results = repo.replace("/", "--"), model / "results.jsonl"
    transcripts = results.read_text(encoding="utf-8")
    if ROOT / "models" not in results.resolve().parents:  # those are in the repository already
        transcripts = without_folders(transcripts)
        results = ENTRIES / f"{name}.jsonl"
    entry = {
        "model": repo, "test_set": sets[0], "normalizer": summary["normalizer"],
        "beams": summary["beams"], **{key: summary[key] for key in FIGURES},
        **{key: training[key] for key in SIZES},
        "hardware": training.get("hardware", training["device"]),
        "command": f"python eval.py --model {repo} --data {sets[0]}{options}",
        "results": results.resolve().relative_to(ROOT).as_posix(),
    }  # fmt: skip
    path = ENTRIES / f"{name}.json"
    page(read_entries(but=path) | {path: (entry, transcripts)})  # before anything is written
    if results.parent == ENTRIES:
        results.write_text(transcripts, encoding="utf-8")
    path.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
    return f"{path.relative_to(ROOT)} written; LEADERBOARD.md says how to be listed"


def check_input(model: Path, repo: str) -> None:
    """Raises ValueError where `repo` is no name for a model on the Hub, or training.json or
    summary.json, if there, is broken."""
    validate_repo_id(repo)
    if "/" not in repo:
        raise ValueError(f"--repo {repo}: expected you/my-model")
    for name, keys in RECORDS.items():
        if (model / name).is_file():
            read_json(model / name, *keys)


def read_json(path: Path, *keys: str) -> dict:
    """What a JSON file holds. Raises ValueError where it is broken, or a key is missing."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected {{...}}")
    if lacking := [key for key in keys if key not in values]:
        raise ValueError(f"{path}: has no {', '.join(lacking)}")
    return values


def read_entries(but: Path | None = None) -> dict[Path, tuple[dict, str]]:
    """By file, every entry and its transcripts; `but` one, which may be broken."""
    return {path: read_entry(path) for path in sorted(ENTRIES.glob("*.json")) if path != but}


def read_entry(path: Path) -> tuple[dict, str]:
    """An entry and its transcripts."""
    entry = read_json(path, "normalizer", "results", *FIGURES, *COLUMNS)
    return entry, (ROOT / entry["results"]).read_text(encoding="utf-8")


def check(path: Path, entry: dict, transcripts: str) -> list[str]:
    """The references that an entry was scored on. Raises ValueError where its figures are not
    those of its transcripts; `path` is the entry's file, for the sentence."""
    try:
        rows = [json.loads(line) for line in transcripts.splitlines()]
        normalise = text_normaliser(entry["normalizer"])
        counted = summarise([
            score(Utterance("", r["audio"], r["reference"]), r["hypothesis"],
                  r["seconds"], normalise)
            for r in rows
        ])  # fmt: skip
        wrong = [key for key in FIGURES if not abs(counted[key] - entry[key]) <= 1e-9]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: {entry['results']} cannot be scored ({type(error).__name__}: {error})"
        ) from None
    if wrong:
        key = wrong[0]
        raise ValueError(
            f"{path}: {key} is {entry[key]}, but {entry['results']} gives {counted[key]}"
        )
    return sorted(row["reference"] for row in rows)


def whole_first(item: tuple[Path, tuple[dict, str]]) -> tuple[bool, int]:
    """A key to sort by: the shipped model was scored on the whole test set, else who has most."""
    entry, transcripts = item[1]
    return not entry["results"].startswith("models/"), -len(transcripts.splitlines())


def page(entries: dict[Path, tuple[dict, str]]) -> str:
    """LEADERBOARD.md of entries and their transcripts, by file. Raises ValueError where one is not
    true to its transcripts, or was scored on other utterances than others of its test set."""
    groups: dict[tuple, list[dict]] = {}
    firsts: dict[str, tuple] = {}
    for path, (entry, transcripts) in sorted(entries.items(), key=whole_first):
        said, test_set = check(path, entry, transcripts), entry["test_set"]
        first, whole = firsts.setdefault(test_set, (entry["model"], said))
        if said != whole:
            raise ValueError(
                f"{path}: was scored on other utterances of {test_set} than {first} "
                f"({len(said)}, not {len(whole)})"
            )
        groups.setdefault((test_set, entry["normalizer"]), []).append(entry)
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
    (ROOT / "LEADERBOARD.md").write_text(page(read_entries()), encoding="utf-8")
    print("LEADERBOARD.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
