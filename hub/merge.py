"""Publishing again: what others changed on the Hub since the last time is told from what was
published then, which .tiny-audio.json holds, and stays."""

import difflib
import json
import re
from pathlib import Path

import yaml

RECORD = ".tiny-audio.json"
MERGED = ("README.md", "requirements.txt")  # files that people write in as well
# What the Hub writes into a new Space, below a header of its own.
STARTER = (
    "Check out the configuration reference at "
    "https://huggingface.co/docs/hub/spaces-config-reference"
)


def published_files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def write_record(folder: Path) -> None:
    """Note in the folder what is published: the names of all files, the text of some."""
    texts = {name: read(folder / name) for name in MERGED if (folder / name).is_file()}
    record = {"files": published_files(folder), "texts": texts}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} on the Hub: is not text in UTF-8, mend it") from None


def texts_there(api, repo: str, kind: str, revision: str) -> dict[str, str]:
    """By name, the texts of a repository that people write in, and the record of last time."""
    return {
        name: read(Path(api.hf_hub_download(repo, name, repo_type=kind, revision=revision)))
        for name in (RECORD, *MERGED)
        if api.file_exists(repo, name, repo_type=kind, revision=revision)
    }


def merge(folder: Path, theirs: dict[str, str]) -> list[str]:
    """Bring what others changed in the texts there into the folder's files; returns the names of
    those files that were published last time and are no more.

    Raises ValueError where the record or the YAML of a card there cannot be read.
    """
    record = read_record(theirs.pop(RECORD, "{}"))
    if not record and STARTER in (card := theirs.get("README.md", "")):
        theirs["README.md"] = split_card(card)[1].replace(STARTER, "")
    for name, text in theirs.items():
        if (folder / name).is_file():
            base = record.get("texts", {}).get(name, "")
            merged = merge_card if name == "README.md" else merge_text
            (folder / name).write_text(merged(read(folder / name), base, text), encoding="utf-8")
    return sorted(set(record.get("files", [])) - set(published_files(folder)))


def read_record(text: str) -> dict:
    try:
        record = json.loads(text)
        files = record.get("files", [])
        names_and_texts = (*files, *record.get("texts", {}).values())
        whole = isinstance(files, list) and all(isinstance(v, str) for v in names_and_texts)
    except (AttributeError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{RECORD} on the Hub is damaged: put an earlier version of it back")
    return record


def merge_card(new: str, base: str, theirs: str) -> str:
    """A card of YAML and text, each merged."""
    (ours, our_text), (old, old_text), (their, their_text) = map(split_card, (new, base, theirs))
    data = yaml.safe_dump(merge_data(ours, old, their), allow_unicode=True, sort_keys=False)
    return f"---\n{data}---\n{merge_text(our_text, old_text, their_text)}"


def split_card(card: str) -> tuple[dict, str]:
    """The YAML in front as a dict, and the text."""
    head = re.match(r"---\n(.*?\n)??---(\n|$)", card, re.S)
    try:
        data = yaml.safe_load(head[1] or "") if head else None
    except (yaml.YAMLError, ValueError) as error:  # the second: a date that is none
        reason = " ".join(str(error).split())
        raise ValueError(f"README.md on the Hub: its YAML is broken, mend it: {reason}") from None
    if not isinstance(data, dict | None):  # None: there is no YAML, or it is empty
        raise ValueError("README.md on the Hub: its YAML is broken, mend it: no `key: value` lines")
    return data or {}, card[head.end() :] if head else card


def merge_data(new: dict, base: dict, theirs: dict) -> dict:
    """Keys: what others added, changed or deleted stays so. Where the new version changed it too,
    a list is merged by its items, and another value is theirs."""
    merged = {}
    for key in dict.fromkeys((*new, *theirs)):
        ours, was, their = (data.get(key) for data in (new, base, theirs))
        if their == was:
            merged[key] = ours
        elif ours == was or their is None or not isinstance(ours, list):
            merged[key] = their
        elif key == "model-index":
            merged[key] = merge_results(ours, was or [], their)
        else:
            was, their = (v if isinstance(v, list) else [v] for v in (was or [], their))
            merged[key] = [item for item in ours if item in their or item not in was]
            merged[key] += [item for item in their if item not in was and item not in ours]
    return {key: value for key, value in merged.items() if value is not None}


def merge_results(new: list, base: list, theirs: list) -> list:
    """model-index, by dataset and metric: our rates, without those that others deleted, and the
    rates that others added. What they noted beside our old rates goes with these."""
    try:
        ours, was, there = (
            [r for model in v for r in model["results"]] for v in (new, base, theirs)
        )
        old = rates(was)
        results = without(ours, old - rates(there))
        results += without([r for r in there if r not in was], old | rates(ours))
    except (AttributeError, KeyError, TypeError):
        raise ValueError("README.md on the Hub: its model-index is broken, mend it") from None
    return [new[0] | {"results": results}, *new[1:]]


def rate(result: dict, metric: dict) -> tuple:
    """Which rate on which dataset."""
    dataset = result["dataset"]
    where = (dataset.get(key) for key in ("type", "config", "split"))
    return *where, metric["type"], metric.get("name")


def rates(results: list) -> set:
    return {rate(result, metric) for result in results for metric in result.get("metrics", [])}


def without(results: list, known: set) -> list:
    """Results without the metrics that are known."""
    kept = []
    for result in results:
        metrics = result.get("metrics", [])
        left = [metric for metric in metrics if rate(result, metric) not in known]
        if left or not metrics:
            kept.append(result | {"metrics": left} if metrics else result)
    return kept


def merge_text(new: str, base: str, theirs: str) -> str:
    """Three versions of a text, line by line: what others added to the old one stands in the new
    one behind the line that it stood behind; what they changed or deleted is so, unless the new
    version has it otherwise too: then both stay. Without an old one, theirs follows ours."""
    lines, old, other = (text.splitlines() for text in (new, base, theirs))
    if not old:
        return f"{new.rstrip()}\n\n{theirs.strip()}\n" if theirs.strip() else new
    blocks = difflib.SequenceMatcher(None, old, lines, autojunk=False).get_matching_blocks()
    kept = {
        b.a + i: b.b + i for b in blocks for i in range(b.size)
    }  # line of the old -> of the new
    changes = difflib.SequenceMatcher(None, old, other, autojunk=False).get_opcodes()
    for kind, start, end, first, last in reversed(changes):  # the last first: places stay true
        if kind == "equal":
            continue
        before = [kept[line] for line in range(start) if line in kept]
        place = before[-1] + 1 if before else 0
        if start < end and all(line in kept for line in range(start, end)):
            place = kept[start]
            for line in reversed(range(start, end)):
                del lines[kept[line]]
        lines[place:place] = other[first:last]
    return "\n".join(lines) + "\n"
