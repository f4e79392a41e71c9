"""What is published: that it is whole, what its card says, and what becomes of others' changes."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, requires
from huggingface_hub import SpaceHardware

from audio import load_audio
from hub.card import hub_results, model_index
from hub.handler import EndpointHandler
from hub.merge import RECORD, merge, merge_data, read, split_card
from hub.repository import build


@pytest.fixture
def model(tmp_path) -> Path:
    """A copy of the shipped model beside its encoder and decoder."""
    for name in ("tiny-audio", "tiny-hubert", "tiny-qwen3"):
        shutil.copytree(ROOT / "models" / name, tmp_path / name)
    return tmp_path / "tiny-audio"


def change(path: Path, **values) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def build_all(model: Path, space: bool = False) -> dict[str, Path]:
    return build(model.parent / "built", model, "you/tiny", "mit", space)


@pytest.mark.parametrize("bases", ["carried along", "on the Hub"])
@pytest.mark.parametrize(
    "file",
    ["projector.safetensors", "tokenizer.json", "encoder_lora", "decoder_lora/adapter_config.json",
     "decoder_lora/adapter_model.safetensors"],
)  # fmt: skip
@pytest.mark.parametrize("fate", ["missing", "cut short"])
def test_a_model_that_is_not_whole_is_not_published(model, bases, file, fate):
    """Fails if somebody would learn only from a user that weights are missing."""
    if bases == "on the Hub":
        change(model / "config.json", encoder="you/hubert", decoder="you/qwen3")
    path = model / file
    if path.is_dir():
        shutil.rmtree(path)
    elif fate == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"cannot be loaded as published: .*{model}") as caught:
        build_all(model)
    assert file.split("/")[0].split(".")[0] in str(caught.value)
    assert "built" not in str(caught.value)  # a folder that is gone by then
    assert not (model.parent / "built").exists()


def test_a_base_that_is_cut_short_is_not_published(model):
    """Fails if only the trained weights are read."""
    path = model.parent / "tiny-qwen3" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"decoder/model\.safetensors: cut short"):
        build_all(model)


@pytest.mark.parametrize(
    "base",
    ["decoder", "../tiny-qwen", "/models/qwen3", "a/b/c", "a/b--c", "a/b.git", "ä/b", "@main"],
)
def test_a_base_that_is_nowhere_is_not_published(model, base):
    """Fails if a folder that is missing would stand on the card as a model of the Hub."""
    change(model / "config.json", decoder=base)
    with pytest.raises(ValueError, match=f"decoder is {base}, neither a folder nor an owner/name"):
        build_all(model)


def card_of(folder: Path) -> tuple[dict, str]:
    return split_card((folder / "README.md").read_text())


def test_the_card_names_the_transformers_that_the_pipeline_is_tested_with(model):
    """Fails if its example is left to run into an ImportError of transformers 4."""
    assert "transformers>=5\n" in (ROOT / "tests" / "requirements.txt").read_text()
    text = card_of(build_all(model)["model"])[1]
    for page in (text, (ROOT / "README.md").read_text()):
        assert "transformers (5 or newer)" in page


def test_bases_on_the_hub_are_adapted_and_not_merged(model):
    """Fails if the Hub would guess from two bases that the model is their merge."""
    assert "base_model_relation" not in card_of(build_all(model)["model"])[0]
    shutil.rmtree(model.parent / "built")
    change(model / "config.json", encoder="you/hubert", decoder="you/qwen3")
    card = card_of(build_all(model)["model"])[0]
    assert card["base_model"] == ["you/hubert", "you/qwen3"]
    assert card["base_model_relation"] == "adapter"


CLEAN = "hf://datasets/openslr/librispeech_asr/all/test.clean/*.parquet"
LOQUACIOUS = "hf://datasets/speechbrain/LoquaciousSet/test/*.parquet"


@pytest.mark.parametrize(
    ("data", "limit", "known"),
    [
        (CLEAN, None, True), (CLEAN, 60, False), ([CLEAN], None, True),
        ([CLEAN, LOQUACIOUS], None, False), ([f"{CLEAN}[:300]"], None, False),
    ],
)  # fmt: skip
def test_rates_stand_under_a_dataset_of_the_hub_if_they_are_of_a_whole_split(
    model, data, limit, known
):
    """Fails if the rate of several test sets together, or of a part of one, is said to be that of
    the first."""
    summary = json.loads((model / "summary.json").read_text()) | {"data": data, "limit": limit}
    found = {(r.dataset_type, r.dataset_split) for r in model_index(summary)}
    assert (found == {("openslr/librispeech_asr", "test.clean")}) == known
    assert len(found) == 1 and bool(hub_results(summary)) == known
    assert known or {split for _, split in found} == {None}
    assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)?", kind) for kind, _ in found)


OURS = {"license": "mit", "tags": ["a", "b"], "title": "tiny", "datasets": ["d"]}


@pytest.mark.parametrize("new", [OURS, OURS | {"tags": ["a", "b", "new"]}])
def test_what_others_deleted_from_the_yaml_stays_deleted(new):
    """Fails if a tag that somebody took away comes back with every publication."""
    theirs = {"license": "mit", "tags": ["b", "mine"], "datasets": None}
    more = new["tags"][2:]
    kept = merge_data(new, OURS, theirs)
    assert kept.pop("tags") in (["b", *more, "mine"], ["b", "mine", *more])
    assert kept == {"license": "mit"}
    assert "tags" not in merge_data(new, OURS, OURS | {"tags": None})  # `tags:` and nothing behind


def index(*metrics, source=None, split="test", name="a/b"):
    """A model-index with one result."""
    result = {
        "dataset": {"type": "a/b", "name": name, "split": split},
        "metrics": [{"type": kind, "name": kind.upper(), "value": v} for kind, v in metrics],
    }
    return [{"name": "tiny", "results": [result | ({"source": source} if source else {})]}]


def test_our_results_are_known_by_dataset_and_metric():
    """Fails if an old rate stays beside the new one because somebody noted where it is from."""
    base, new = index(("wer", 5.0), ("cer", 2.0)), index(("wer", 4.0), ("cer", 1.0))
    noted = index(("wer", 5.0), ("cer", 2.0), source={"url": "https://x"}, name="A and B")

    def merged(ours, was, theirs):
        was = {"model-index": was} if was else {}
        return merge_data({"model-index": ours}, was, {"model-index": theirs}).get("model-index")

    assert merged(new, base, noted) == new
    assert merged(new, None, noted) == new  # a card from elsewhere
    assert merged(base, base, noted) == noted  # nothing new from us: all is theirs
    others = index(("wer", 5.0), ("cer", 2.0), ("mer", 3.0))
    expected = new[0]["results"] + index(("mer", 3.0))[0]["results"]
    assert merged(new, base, others)[0]["results"] == expected
    elsewhere = index(("wer", 9.0), split="dev")[0]["results"]
    theirs = [{"name": "tiny", "results": base[0]["results"] + elsewhere}]
    assert merged(new, base, theirs)[0]["results"] == new[0]["results"] + elsewhere
    assert merged(new, base, index(("wer", 5.0))) == index(("wer", 4.0))  # one deleted
    assert merged(new, base, None) is None


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("README.md", "---\n- a\n- b\n---\n", "README.md on the Hub: its YAML is broken"),
        ("README.md", "---\njust words\n---\n", "README.md on the Hub: its YAML is broken"),
        ("README.md", "---\n[]\n---\n", "README.md on the Hub: its YAML is broken"),
        ("README.md", "---\nfalse\n---\n", "README.md on the Hub: its YAML is broken"),
        ("README.md", "---\n- a\n---", "README.md on the Hub: its YAML is broken"),
        ("README.md", "---\ndate: 2024-13-01\n---\n", "README.md on the Hub: its YAML is broken"),
        ("README.md", "---\nmodel-index: words\n---\n", "README.md on the Hub: its model-index"),
        ("README.md", "---\nmodel-index: [{results: [1]}]\n---\n", "README.md on the Hub: its mod"),
        (RECORD, "", f"{RECORD} on the Hub is damaged"),
        (RECORD, "[]", f"{RECORD} on the Hub is damaged"),
        (RECORD, '{"files": null}', f"{RECORD} on the Hub is damaged"),
        (RECORD, '{"files": "README.md"}', f"{RECORD} on the Hub is damaged"),  # no letters go
        (RECORD, '{"texts": []}', f"{RECORD} on the Hub is damaged"),
        (RECORD, '{"texts": {"README.md": null}}', f"{RECORD} on the Hub is damaged"),
    ],
)
def test_what_cannot_be_merged_is_named(model, name, text, sentence):
    """Fails if a file on the Hub that somebody broke ends in a traceback, or without its name."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        merge(build_all(model)["model"], {name: text})


def test_text_that_is_not_utf8_is_named(tmp_path):
    """Fails if a README.md in another encoding is refused without its name."""
    (tmp_path / "README.md").write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"^README\.md on the Hub: is not text in UTF-8"):
        read(tmp_path / "README.md")


@pytest.mark.parametrize(
    ("card", "data", "text"),
    [
        ("---\nlicense: mit\n---\n\ntext\n", {"license": "mit"}, "\ntext\n"),
        ("---\nlicense: mit\n---", {"license": "mit"}, ""),
        ("---\ntitle: a ---\nlicense: mit\n---\n", {"title": "a ---", "license": "mit"}, ""),
        ("---\n---\ntext\n", {}, "text\n"),
        ("---\n# to come\n---\ntext\n", {}, "text\n"),
        ("text\n---\n", {}, "text\n---\n"),
    ],
)
def test_the_yaml_of_a_card_ends_at_its_line(card, data, text):
    """Fails if a card that ends right behind its YAML loses its licence."""
    assert split_card(card) == (data, text)


def test_a_new_spaces_own_header_is_not_taken_for_an_edit(model):
    """Fails if the header that the Hub gives an empty Space would stand for ours."""
    starter = (
        "---\ntitle: Something\nemoji: 🐨\nsdk: gradio\nsdk_version: 4.0.0\napp_file: other.py\n"
        "---\n\nCheck out the configuration reference at "
        "https://huggingface.co/docs/hub/spaces-config-reference\n"
    )
    space = build_all(model, space=True)["space"]
    before = card_of(space)
    merge(space, {"README.md": starter})
    assert card_of(space) == before
    merge(space, {"README.md": f"{starter}\nMy words.\n"})
    assert card_of(space) == (before[0], f"{before[1]}\nMy words.\n")


def test_a_space_is_built_with_the_gradio_that_it_was_tested_with(model):
    """Fails if the Hub may take another one, or if the Space's two files contradict each other."""
    space = build_all(model, space=True)["space"]
    version = card_of(space)[0]["sdk_version"]
    assert f"gradio>={version}\n" in (space / "requirements.txt").read_text()
    assert requires("gradio").__version__.split(".")[0] == version.split(".")[0]


@pytest.mark.parametrize(
    ("billions", "machine", "sentence"),
    [
        (0.01, None, ""),
        (2.5, None, ""),
        (4.5, "l4x1", "18 GB of memory (9 on a GPU)"),
        (9.3, "l40sx1", "37 GB of memory (19 on a GPU)"),  # configs/a40.yaml
        (25, "a100-large", "100 GB of memory (50 on a GPU)"),
        (40, None, "Choose another in the Space's settings"),
    ],
)
def test_a_space_says_which_machine_its_model_needs(model, billions, machine, sentence):
    """Fails if a large model's Space is left to die on the free machine, which has 16 GB."""
    change(model / "training.json", parameters_trained=0, parameters_frozen=int(billions * 1e9))
    data, text = card_of(build_all(model, space=True)["space"])
    assert data.get("suggested_hardware") == machine
    assert machine is None or machine in set(SpaceHardware)
    assert sentence in text and ("free machine" in text) == bool(sentence)


def test_licences_go_along(model):
    """Fails if code or weights are published without the notice that their licence asks for."""
    base = model.parent / "tiny-qwen3"
    (base / "LICENSE").write_text("Apache")
    (base / "NOTICE.txt").write_text("made by")
    (base / "LICENSES").mkdir()
    folders = build_all(model, space=True)
    assert (folders["model"] / "decoder" / "LICENSE").read_text() == "Apache"
    assert (folders["model"] / "decoder" / "NOTICE.txt").read_text() == "made by"
    for folder in folders.values():
        assert (folder / "code" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize(("files", "hours"), [(6, 0.3), (1, 2)])
def test_the_endpoint_decodes_no_more_than_it_may(files, hours):
    """Fails if a megabyte of silent FLACs takes gigabytes before it is refused."""
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(int(hours * 3600 * 4_000), "int16"), 4_000, format="FLAC")
    handler, decoded = EndpointHandler.__new__(EndpointHandler), []  # it gets no further

    def load(*arguments, **options):
        decoded.append(len(waveform := load_audio(*arguments, **options)))
        return waveform

    handler.load_audio = load
    answer = handler({"inputs": [silence.getvalue()] * files})
    assert answer == {"error": "inputs: more than 3600 s of audio at once"}
    assert 3600 < sum(decoded) / 16_000 <= 3601
