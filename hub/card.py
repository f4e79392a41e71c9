"""The model card: a published model's README.md, written from its training.json and summary.json.

Results go along in the two ways that the Hub reads: `model-index` in the card's YAML, and, for
test sets that are datasets there, .eval_results/ (https://huggingface.co/docs/hub/eval-results).
"""

import json
import re
from pathlib import Path
from string import Template

import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
)

PARTS = ("encoder", "decoder")
TASK = "automatic-speech-recognition"
HUB_DATASET = re.compile(r"hf://datasets/([^/]+/[^/]+)/(?:.*/)?([^/]+)/[^/]*")


def write_card(folder: Path, repo: str, license: str) -> None:
    """README.md and .eval_results/ of a built folder: its config.json, training.json and
    summary.json say everything. Raises ValueError where summary.json names no words."""
    config, training, summary = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("config", "training", "summary")
    )
    if not summary["words"]:
        raise ValueError(f"{folder}/summary.json: no words were scored; run eval.py on speech")
    name = repo.split("/")[-1]
    results = model_index(summary)
    bases = [config[part] for part in PARTS if not (folder / config[part]).is_dir()]
    data = ModelCardData(
        language="en", license=license, library_name="transformers", pipeline_tag=TASK,
        tags=["tiny-audio", "hubert", "qwen3", "lora", "custom_code"], model_name=name,
        base_model=bases or None, datasets=hub_datasets(training["config"]["data"]["train"]),
        metrics=["wer", "cer"], eval_results=results,
    )  # fmt: skip
    text = Template((Path(__file__).parent / "card.md").read_text()).substitute(
        name=name, repo=repo, what=what_it_is(config, training), results=result_table(summary),
        training=training_table(training), limits=limits(training, summary),
    )  # fmt: skip
    (folder / "README.md").write_text(f"---\n{data.to_yaml()}\n---\n\n{text}")
    for entry in hub_results(summary):
        path = folder / ".eval_results" / f"{entry.dataset_id.split('/')[1]}-{entry.task_id}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False))


def test_sets(summary: dict) -> list[str]:
    """What a model was scored on: eval.py notes one source, train.py a list of them."""
    data = summary["data"]
    return [data] if isinstance(data, str) else data


def hub_datasets(sources: list[str]) -> list[str] | None:
    """The ids of those sources that are datasets of the Hub."""
    return sorted({found[1] for found in map(HUB_DATASET.match, sources) if found}) or None


def how_scored(summary: dict) -> str:
    search = f"beam {summary['beams']}" if summary["beams"] > 1 else "greedy"
    return f"{summary['normalizer']} normaliser, {search}"


def model_index(summary: dict) -> list[EvalResult]:
    """WER and CER under the named normaliser, and WER on the words as they stand, in percent."""
    source = " + ".join(test_sets(summary))
    found = HUB_DATASET.match(source)
    rates = (
        ("wer", f"WER ({how_scored(summary)})", summary["wer"]),
        ("cer", f"CER ({how_scored(summary)})", summary["cer"]),
        ("wer", "WER (words as written)", summary["raw_wer"]),
    )
    return [
        EvalResult(
            task_type=TASK, task_name="Automatic Speech Recognition",
            dataset_type=found[1] if found else re.sub(r"[^\w.]+", "-", source),
            dataset_name=source,
            dataset_split=found[2] if found else None,
            metric_type=kind, metric_name=name, metric_value=round(100 * rate, 2),
        )
        for kind, name, rate in rates
    ]  # fmt: skip


def hub_results(summary: dict) -> list[EvalResultEntry]:
    """The WER for .eval_results/, if there is one test set and it is a dataset of the Hub."""
    found = [HUB_DATASET.match(source) for source in test_sets(summary)]
    if len(found) != 1 or not found[0]:
        return []
    return [
        EvalResultEntry(
            dataset_id=found[0][1], task_id=found[0][2], value=round(100 * summary["wer"], 2),
            notes=f"WER in percent, {how_scored(summary)}, {summary['utterances']} utterances",
        )
    ]  # fmt: skip


def what_it_is(config: dict, training: dict) -> str:
    names = []
    for part in PARTS:
        base = config[part]
        own = Path(training["config"]["model"][part]).name
        names.append(
            f"`{own}` (in `{base}/`)" if base == part else f"[{base}](https://hf.co/{base})"
        )
    lora = [part for part in PARTS if config[f"{part}_lora"]["r"]]
    adapted = f", LoRA adapts the {' and the '.join(lora)}" if lora else ""
    return (
        f"Speech in, text out: the frozen encoder {names[0]} hears, a trained projector "
        f"translates, the frozen decoder {names[1]} writes{adapted}. "
        f"{training['parameters_trained']:,} parameters were trained, "
        f"{training['parameters_frozen']:,} stayed as they were. Made with Tiny Audio."
    )


def table(rows: list[tuple]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def result_table(summary: dict) -> str:
    interval = f"{summary['wer_low']:.1%} to {summary['wer_high']:.1%}"
    return table([
        ("test set", "utterances", "words", "WER (95 % interval)", "CER", "WER, words as written"),
        (
            "<br>".join(f"`{source}`" for source in test_sets(summary)), summary["utterances"],
            summary["words"], f"**{summary['wer']:.1%}** ({interval})", f"{summary['cer']:.1%}",
            f"{summary['raw_wer']:.1%}",
        ),
    ]) + f"\n\nWER and CER: {how_scored(summary)}."  # fmt: skip


def training_table(training: dict) -> str:
    progress, run = training["progress"], training["config"]["train"]
    precision = "" if run["precision"] == "auto" else f", {run['precision']}"
    return table([
        ("", ""),
        ("data", "<br>".join(f"`{source}`" for source in training["config"]["data"]["train"])),
        ("speech heard", f"{progress['audio_seconds'] / 3600:.1f} hours"),
        ("steps", f"{progress['step']:,}"),
        ("learning rates", f"projector {run['lr_projector']:g}, LoRA {run['lr_lora']:g}"),
        ("hardware", training["hardware"] + precision),
        ("wall time", f"{progress['wall_seconds'] / 60:,.0f} minutes"),
        ("parameters", f"{training['parameters_trained']:,} trained, "
                       f"{training['parameters_frozen']:,} frozen"),
        ("code", f"commit `{training['git_commit']}`" if training["git_commit"] else "unknown"),
    ])  # fmt: skip


def limits(training: dict, summary: dict) -> str:
    sources = training["config"]["data"]["train"]
    lines = [
        "It writes English in lower case without punctuation.",
        "Long recordings are cut at silences into pieces; words across a cut may suffer.",
        f"Its rates are those of {summary['utterances']} utterances; other voices, microphones and "
        "subjects give others.",
    ]
    if all(source.startswith("espeak:") for source in sources):
        lines.insert(
            1, "In training it heard synthesised speech alone; people it understands badly."
        )
    if summary["silent"]:
        lines.append(
            f"On {summary['hallucinated']} of {summary['silent']} recordings without speech it "
            "writes something all the same."
        )
    else:
        lines.append("What it writes on noise and silence was not measured on this test set.")
    return "\n".join(f"- {line}" for line in lines)


def keep_what_others_wrote(new: str, old: str) -> str:
    """The new card with what its owner added to the old one: keys of the YAML, results on other
    sets, and sections of the second level, each behind the one that it stood behind."""
    ours, theirs = (ModelCard(card, ignore_metadata_errors=True) for card in (new, old))
    results = ours.data.eval_results or []
    results += [
        result for result in theirs.data.eval_results or []
        if not any(result.is_equal_except_value(own) for own in results)
    ]  # fmt: skip
    data = theirs.data.to_dict() | ours.data.to_dict()
    for key in ("tags", "datasets"):
        if merged := [*(ours.data.get(key) or []), *(theirs.data.get(key) or [])]:
            data[key] = list(dict.fromkeys(merged))
    data |= {
        "model-index": None,
        "model_name": ours.data.model_name,
        "eval_results": results or None,
    }
    ours.data = ModelCardData(**data)

    sections, previous = sections_of(ours.text), ""
    order = list(sections)
    for title, text in sections_of(theirs.text).items():
        if title not in sections:
            sections[title] = text.rstrip() + "\n\n"
            order.insert(order.index(previous) + 1, title)
        previous = title
    ours.text = "".join(sections[title] for title in order)
    return str(ours)


def sections_of(text: str) -> dict[str, str]:
    """A card's text by its headings of the second level; what stands before them under ""."""
    sections, title, fenced = {"": ""}, "", False
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            title = line.strip()
        sections[title] = sections.get(title, "") + line
    return sections


def space_card(repo: str, license: str) -> str:
    """README.md of a Space: its YAML tells the Hub what to run, and app.py which model."""
    name = repo.split("/")[-1]
    data = {
        "title": name, "emoji": "🎙️", "colorFrom": "blue", "colorTo": "green", "sdk": "gradio",
        "app_file": "app.py", "pinned": False, "license": license, "models": [repo],
        "short_description": "Speech in, text out",
    }  # fmt: skip
    yaml_text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    return f"---\n{yaml_text}---\n\nSpeak to [{repo}](https://huggingface.co/{repo}).\n"
