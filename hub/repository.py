"""A model's repository on the Hub: what it consists of, and what goes wrong on the way there."""

import json
import shutil
from pathlib import Path

import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from checkpoints import read_config, read_safetensors
from hub.card import GRADIO, PARTS, space_card, write_card
from hub.merge import published_files, write_record
from tinyaudio import TinyAudio, saved_config
from tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
# What tinyaudio.py imports, and what that needs of requirements.txt.
CODE = ("tinyaudio.py", "audio.py", "beam.py", "checkpoints.py", "ctc.py", "devices.py", "lora.py",
        "projector.py", "tokenizer.py", "configs/__init__.py")  # fmt: skip
PACKAGES = ("torch", "torchaudio", "safetensors", "tokenizers", "sentencepiece", "numpy",
            "soundfile", "huggingface_hub", "pyyaml")  # fmt: skip
MADE_BY = {
    "training.json": "train.py", "metrics.jsonl": "train.py", "curve.png": "train.py",
    "summary.json": "eval.py", "results.jsonl": "eval.py",
}  # fmt: skip
# By name: who knows what else lies in these folders.
MODEL_FILES = ("config.json", "projector.safetensors", *Tokenizer.FILES, *MADE_BY)
BASE_FILES = ("model*.safetensors", *Tokenizer.FILES, "*config.json", "vocab.json", "merges.txt",
              "model.safetensors.index.json", "LICENSE*", "NOTICE*")  # fmt: skip
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
# A base of the client's errors is the HTTP library's, which has been another with time.
ERRORS = (*HfHubHTTPError.__bases__, OSError, ValueError, RuntimeError)


def build(out: Path, model: Path, repo: str, license: str, space: bool) -> dict[str, Path]:
    """Write the model's folder, `out`, and the Space's beside it: the folders by kind.

    Raises ValueError where one stands there already, or what is to be published is not whole.
    """
    folders = {"model": out} | ({"space": out.with_name(f"{out.name}-space")} if space else {})
    if taken := [folder for folder in folders.values() if folder.exists()]:
        raise ValueError(f"{taken[0]}: exists already; remove it, or choose another folder")
    try:
        build_model(out, model, repo, license)
        if space:
            build_space(folders["space"], model, repo, license)
    except BaseException:  # nothing half-built stays
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    for folder in folders.values():
        write_record(folder)
    return folders


def build_model(out: Path, model: Path, repo: str, license: str) -> None:
    """The folder of a model's repository. Raises ValueError or OSError: what is missing."""
    saved_config(model)  # raises where it is none
    config = read_config(model)
    for name, writer in MADE_BY.items():
        if not (model / name).is_file():
            raise ValueError(f"{model}: holds no {name}; {writer} writes it")
    copy_files(model, out, MODEL_FILES)
    for name in ("training.json", "summary.json", "results.jsonl"):
        text = (out / name).read_text(encoding="utf-8")
        (out / name).write_text(without_folders(text), encoding="utf-8")
    for part in PARTS:
        if (adapter := model / f"{part}_lora").is_dir():
            copy_files(adapter, out / adapter.name, ADAPTER_FILES)
            for settings in (out / adapter.name).glob("*.json"):  # names the base model
                text = without_folders(settings.read_text(encoding="utf-8"))
                settings.write_text(text, encoding="utf-8")
        base = model / config[part]
        if base.is_dir():  # the tiny pair, which lies in the folder or beside it
            if base.resolve().parent not in (model.resolve(), model.resolve().parent):
                raise ValueError(f"{model}/config.json: {part} is {base}, another folder's")
            if not any(base.glob("model*.safetensors")):
                raise ValueError(f"{base}: holds no model.safetensors; nothing else is published")
            copy_files(base, out / part, BASE_FILES)
            config[part] = part
        elif not is_hub_id(config[part]):
            known = "neither a folder nor an owner/name of the Hub"
            raise ValueError(f"{model}/config.json: {part} is {config[part]}, {known}")
    config["auto_map"] = {"AutoConfig": "pipeline.TinyAudioConfig",
                          "AutoModel": "pipeline.TinyAudioModel"}  # fmt: skip
    pipeline = {"impl": "pipeline.TinyAudioPipeline", "pt": ["AutoModel"]}
    config["custom_pipelines"] = {"automatic-speech-recognition": pipeline}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    try:
        check_whole(out)
    except (OSError, ValueError) as error:
        reason = str(error).replace(str(out), str(model))
        raise ValueError(f"cannot be loaded as published: {reason}") from None
    copy_code(out, "pipeline.py", "handler.py")
    write_card(out, repo, license)


def is_hub_id(base: str) -> bool:
    """Whether it is an owner/name of the Hub, with or without a revision."""
    repo = base.partition("@")[0]
    try:
        validate_repo_id(repo)
    except HFValidationError:
        return False
    return "/" in repo  # without an owner it is more likely a folder that is missing


def check_whole(out: Path) -> None:
    """Read what was copied, and load the model where its bases came along: those of the Hub are not
    fetched for this. Raises ValueError or OSError."""
    Tokenizer(out)
    read_safetensors(out / "projector.safetensors")
    for part in PARTS:
        if getattr(saved_config(out), f"{part}_lora").r:
            settings, weights = (out / f"{part}_lora" / name for name in ADAPTER_FILES)
            try:
                json.loads(settings.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{settings}: not valid JSON ({error})") from None
            read_safetensors(weights)
    if all((out / part).is_dir() for part in PARTS):
        TinyAudio.from_pretrained(out, device="cpu", dtype=torch.bfloat16)  # half the memory


def build_space(out: Path, model: Path, repo: str, license: str) -> None:
    """The folder of a Space: a page that runs the published model."""
    copy_code(out, "app.py", more=(f"gradio>={GRADIO}",))
    copy_files(ROOT / "samples", out / "samples", ("*.wav", "manifest.jsonl"))
    training = json.loads((model / "training.json").read_text(encoding="utf-8"))
    (out / "README.md").write_text(space_card(repo, license, training), encoding="utf-8")


def copy_files(source: Path, out: Path, patterns: tuple[str, ...]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for path in (path for pattern in patterns for path in source.glob(pattern)):
        if path.is_file():
            shutil.copy(path, out)


def without_folders(text: str) -> str:
    """Paths as seen from here: where this clone and your home lie is nobody's business."""
    for folder, name in ((Path.cwd(), ""), (Path.home(), "~/")):
        if folder != Path("/"):
            written = f"{folder}/"
            text = text.replace(written, name).replace(json.dumps(written)[1:-1], name)
    return text


def copy_code(out: Path, *files: str, more: tuple[str, ...] = ()) -> None:
    """The model's code as code/ with its licence, files of hub/ beside it, and requirements.txt."""
    for name in (*CODE, "LICENSE"):  # which says that it goes along
        (out / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, out / "code" / name)
    for name in files:
        shutil.copy(ROOT / "hub" / name, out / name)
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = [line for line in lines if line.partition(">")[0].partition("=")[0] in PACKAGES]
    (out / "requirements.txt").write_text("\n".join([*needed, *more]) + "\n")


def listing(folder: Path) -> str:
    """Every file with its size."""
    sizes = {name: (folder / name).stat().st_size for name in published_files(folder)}
    rows = [f"{size:14,}  {name}" for name, size in sizes.items()]
    return "\n".join([*rows, f"{sum(sizes.values()):14,}  bytes in {len(sizes)} files"])


def complaint(error: BaseException, repo: str) -> str:
    """One sentence on what went wrong and what to do."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        return "the Hub does not know this token: log in again with `hf auth login`"
    if status == 403:
        return f"this token may not write to {repo}: take one of type write, or a name of your own"
    reason = " ".join(str(error).split())
    if status in (409, 412):
        return f"somebody changed {repo} meanwhile ({reason}). Run it again"
    if status is not None and status < 500:
        return f"the Hub refused it: {reason}"
    if isinstance(error, (*HfHubHTTPError.__bases__[:1], RuntimeError)):
        return f"cut off ({reason}). Run it again: what has arrived is not sent twice"
    return reason
