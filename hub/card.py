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
    ModelCardData,
    eval_result_entries_to_yaml,
)

from report import search_name

HERE = Path(__file__).parent
PARTS = ("encoder", "decoder")
TASK = "automatic-speech-recognition"
GRADIO = "6.31.0"  # that the Space was tested with
# A Space's machines, with the GB that a model may fill: the free one's memory (in float32), then
# those of GPUs (in bfloat16). https://huggingface.co/docs/hub/spaces-gpus
FREE, MACHINES = 16, {"l4x1": 24, "l40sx1": 48, "a100-large": 80}
FAMILIES = ("hubert", "wav2vec2", "qwen3", "qwen2", "llama")  # tags, and citations.bib's keys


def write_card(folder: Path, repo: str, license: str) -> None:
    """README.md and .eval_results/ of a built folder: its config.json, training.json and
    summary.json say everything. Raises ValueError where no words were scored."""
    config, training, summary = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("config", "training", "summary")
    )
    if not summary["words"]:
        raise ValueError(f"{folder}/summary.json: no words were scored; run eval.py on speech")
    name = repo.split("/")[-1]
    named = [config[part] for part in PARTS if not (folder / config[part]).is_dir()]
    bases = [base.partition("@")[0] for base in named]  # without the revision
    families = base_families(training["config"]["model"])
    lora = ["lora"] if any(config[f"{part}_lora"]["r"] for part in PARTS) else []
    data = ModelCardData(
        language="en", license=license, library_name="transformers", pipeline_tag=TASK,
        tags=["tiny-audio", *families, *lora, "custom_code"], model_name=name,
        base_model=bases or None, base_model_relation="adapter" if bases else None,  # else a merge
        datasets=hub_datasets(training["config"]["data"]["train"]),
        metrics=["wer", "cer"], eval_results=model_index(summary),
    )  # fmt: skip
    text = Template((HERE / "card.md").read_text(encoding="utf-8")).substitute(
        name=name, repo=repo, what=what_it_is(config, training), results=result_table(summary),
        training=training_table(training), limits=limits(training, summary),
        citations=citations([*families, *lora]),
    )  # fmt: skip
    card = f"---\n{data.to_yaml()}\n---\n\n{text}"
    (folder / "README.md").write_text(card, encoding="utf-8")
    for entry in hub_results(summary):
        path = folder / ".eval_results" / f"{entry.dataset_id.split('/')[1]}-{entry.task_id}.yaml"
        path.parent.mkdir(exist_ok=True)
        rows = eval_result_entries_to_yaml([entry])
        path.write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")


def base_families(model: dict) -> list[str]:
    """What kinds of models the encoder and the decoder are, by their names."""
    names = " ".join(Path(model[part]).name.lower().replace(".", "") for part in PARTS)
    return [family for family in FAMILIES if family in names]


def citations(keys: list[str]) -> str:
    """The entries of citations.bib with these keys."""
    entries = (HERE / "citations.bib").read_text(encoding="utf-8").split("\n\n")
    return "\n".join(e.strip() for e in entries if re.match(r"@\w+{(\w+),", e)[1] in keys)


def test_sets(summary: dict) -> list[str]:
    """What a model was scored on: eval.py notes one source, or how much of it, train.py a list."""
    data = summary["data"]
    if summary.get("limit"):
        data = f"the first {summary['limit']} of {data}"
    return [data] if isinstance(data, str) else data


def hub_source(source: str) -> tuple[str, str] | None:
    """Dataset and split of parquet files on the Hub, None for another source: of
    hf://datasets/openslr/librispeech_asr/all/test.clean/0000.parquet the id and test.clean."""
    if not source.startswith("hf://datasets/"):
        return None
    owner, name, *path = source.removeprefix("hf://datasets/").split("/")
    heads = [re.split(r"[-*\[]", part.removesuffix(".parquet"))[0] for part in path]
    splits = [head for head in heads if re.match("train|dev|validation|test", head)]
    return f"{owner}/{name.split('@')[0]}", splits[0] if splits else "test"


def hub_datasets(sources: list[str]) -> list[str] | None:
    """The ids of those sources that are datasets of the Hub."""
    return sorted({found[0] for found in map(hub_source, sources) if found}) or None


def whole_split(summary: dict) -> tuple[str, str] | None:
    """Dataset and split, if there is one test set and it is a whole split of the Hub's."""
    sources = test_sets(summary)
    return hub_source(sources[0]) if len(sources) == 1 and not sources[0].endswith("]") else None


def how_scored(summary: dict) -> str:
    return f"{summary['normalizer']} normaliser, {search_name(summary)}"


def model_index(summary: dict) -> list[EvalResult]:
    """WER and CER under the named normaliser, and WER on the words as they stand, in percent."""
    source, found = " + ".join(test_sets(summary)), whole_split(summary)
    rates = (
        ("wer", f"WER ({how_scored(summary)})", summary["wer"]),
        ("cer", f"CER ({how_scored(summary)})", summary["cer"]),
        ("wer", f"WER (words as written, {search_name(summary)})", summary["raw_wer"]),
    )
    return [
        EvalResult(
            task_type=TASK, task_name="Automatic Speech Recognition", dataset_name=source,
            dataset_type=found[0] if found else re.sub(r"[^\w.]+", "-", source).strip("-"),
            dataset_split=found[1] if found else None,
            metric_type=kind, metric_name=name, metric_value=round(100 * rate, 2),
        )
        for kind, name, rate in rates
    ]  # fmt: skip


def hub_results(summary: dict) -> list[EvalResultEntry]:
    """The WER for .eval_results/, where the test set is a whole split of the Hub's."""
    if (found := whole_split(summary)) is None:
        return []
    return [
        EvalResultEntry(
            dataset_id=found[0], task_id=found[1], value=round(100 * summary["wer"], 2),
            notes=f"WER in percent, {how_scored(summary)}, {summary['utterances']} utterances",
        )
    ]  # fmt: skip


def what_it_is(config: dict, training: dict) -> str:
    names = []
    for part in PARTS:
        base = config[part]
        own = Path(training["config"]["model"][part]).name
        link = f"[{base}](https://huggingface.co/{base})"
        names.append(f"`{own}` (in `{base}/`)" if base == part else link)
    lora = [part for part in PARTS if config[f"{part}_lora"]["r"]]
    adapted = f", LoRA adapts the {' and the '.join(lora)}" if lora else ""
    return (
        f"Speech in, text out: the frozen encoder {names[0]} hears, a trained projector "
        f"translates, the frozen decoder {names[1]} writes{adapted}. Made with Tiny Audio, whose "
        "code came along in `code/`."
    )


def table(rows: list[tuple]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def result_table(summary: dict) -> str:
    interval = f"{summary['wer_low']:.1%} to {summary['wer_high']:.1%}"
    rows = [
        ("test set", "utterances", "words", "WER (95% interval)", "CER", "WER, words as written"),
        (
            "<br>".join(f"`{source}`" for source in test_sets(summary)),
            f"{summary['utterances']:,}", f"{summary['words']:,}",
            f"**{summary['wer']:.1%}** ({interval})", f"{summary['cer']:.1%}",
            f"{summary['raw_wer']:.1%}",
        ),
    ]  # fmt: skip
    how = f"WER and CER: {how_scored(summary)}"
    if summary.get("ctc"):
        how += f", which is `python eval.py --beams {summary['beams']} --ctc`; "
        how += "the ways below have the beams without it"
    elif summary["beams"] > 1:
        how += f": `beams={summary['beams']}` in each of the ways below"
    return f"{table(rows)}\n\n{how}."


def training_table(training: dict) -> str:
    progress, run = training["progress"], training["config"]["train"]
    precision = "" if run["precision"] == "auto" else f", {run['precision']}"
    commit, dirty, _ = (training["git_commit"] or "unknown").partition("-dirty")
    return table([
        ("", ""),
        ("data", "<br>".join(f"`{source}`" for source in training["config"]["data"]["train"])),
        ("speech heard", f"{progress['audio_seconds'] / 3600:,.1f} hours"),
        ("steps", f"{progress['step']:,}"),
        ("learning rates", f"projector {run['lr_projector']:g}, LoRA {run['lr_lora']:g}"),
        ("hardware", training.get("hardware", training["device"]) + precision),
        ("wall time", f"{progress['wall_seconds'] / 60:,.0f} minutes"),
        ("parameters", f"{training['parameters_trained']:,} trained, "
                       f"{training['parameters_frozen']:,} frozen"),
        ("code", f"commit `{commit}`" + (", with changes" if dirty else "")),
    ])  # fmt: skip


def limits(training: dict, summary: dict) -> str:
    sources = training["config"]["data"]["train"]
    lines = ["It writes English in lower case without punctuation."]
    if all(source.startswith("espeak:") for source in sources):
        lines.append("In training it heard synthesised speech alone; it understands people badly.")
    lines += [
        "Long recordings are cut at silences into pieces; words across a cut may suffer.",
        f"Its rates are those of {summary['utterances']:,} utterances; other voices, microphones "
        "and subjects give others.",
    ]
    if summary["silent"]:
        lines.append(
            f"On {summary['hallucinated']} of {summary['silent']} recordings without speech it "
            "writes something all the same."
        )
    else:
        lines.append("What it writes on noise and silence was not measured on this test set.")
    return "\n".join(f"- {line}" for line in lines)


def space_card(repo: str, license: str, training: dict) -> str:
    """README.md of a Space: its YAML tells the Hub what to run, and app.py which model."""
    name, machine, needs = repo.split("/")[-1], *space_machine(training)
    data = {
        "title": name, "emoji": "🎙️", "colorFrom": "blue", "colorTo": "green", "sdk": "gradio",
        "sdk_version": GRADIO, "app_file": "app.py", "pinned": False, "license": license,
        "models": [repo], "short_description": "Speech in, text out",
    } | ({"suggested_hardware": machine} if machine else {})  # fmt: skip
    head = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    return f"---\n{head}---\n\nSpeak to [{repo}](https://huggingface.co/{repo}).{needs}\n"


def space_machine(training: dict) -> tuple[str | None, str]:
    """The smallest machine with a GPU that the model runs on, and that it must be chosen; neither
    where the free machine will do. A third of the memory is for what is not weights."""
    weights = (training["parameters_trained"] + training["parameters_frozen"]) / 1e9
    if 4 * weights <= FREE * 2 / 3:
        return None, ""
    fits = [name for name, memory in MACHINES.items() if 2 * weights <= memory * 2 / 3]
    needs = (
        f" Its weights take {4 * weights:.0f} GB of memory ({2 * weights:.0f} on a GPU): too much "
        f"for the free machine. Choose {fits[0] if fits else 'another'} in the Space's settings."
    )
    return fits[0] if fits else None, needs
