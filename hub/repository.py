"""A model's repository on the Hub: what it consists of, and what goes wrong on the way there."""

import json
import shutil
from pathlib import Path

import httpx
from huggingface_hub.errors import HfHubHTTPError

from checkpoints import read_config
from hub.card import space_card, write_card
from tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
# What tinyaudio.py imports, and what that needs of requirements.txt.
CODE = ("tinyaudio.py", "audio.py", "beam.py", "checkpoints.py", "devices.py", "lora.py",
        "projector.py", "tokenizer.py", "configs/__init__.py")  # fmt: skip
MADE_BY = {
    "training.json": "train.py", "metrics.jsonl": "train.py", "curve.png": "train.py",
    "summary.json": "eval.py", "results.jsonl": "eval.py",
}  # fmt: skip
PACKAGES = ("torch", "torchaudio", "safetensors", "tokenizers", "sentencepiece", "numpy",
            "soundfile", "huggingface_hub", "pyyaml")  # fmt: skip


def build(out: Path, model: Path, repo: str, license: str, space: bool) -> dict[str, Path]:
    """Write the model's folder, `out`, and the Space's beside it: the folders by kind.

    Raises ValueError where one stands there already.
    """
    folders = {"model": out} | ({"space": out.with_name(f"{out.name}-space")} if space else {})
    if taken := [folder for folder in folders.values() if folder.exists()]:
        raise ValueError(f"{taken[0]}: exists already")
    build_model(out, model, repo, license)
    if space:
        build_space(folders["space"], repo, license)
    return folders


def build_model(out: Path, model: Path, repo: str, license: str) -> None:
    """The folder of a model's repository. Raises ValueError or OSError: what is missing."""
    config = read_config(model)
    if config.get("model_type") != "tiny_audio":
        raise ValueError(f"{model}: config.json is not a Tiny Audio model's")
    for name, writer in MADE_BY.items():
        if not (model / name).is_file():
            raise ValueError(f"{model}: holds no {name}; {writer} writes it")
    out.mkdir(parents=True, exist_ok=True)
    for path in model.iterdir():  # by name: who knows what else lies in a run's folder
        if path.name in (*MADE_BY, "config.json", "projector.safetensors", *Tokenizer.FILES):
            shutil.copy(path, out)
        elif path.name in ("encoder_lora", "decoder_lora"):
            shutil.copytree(path, out / path.name)
    for part in ("encoder", "decoder"):
        if (base := model / config[part]).is_dir():  # the tiny pair; others are named by Hub id
            shutil.copytree(base, out / part)
            config[part] = part
    config["auto_map"] = {"AutoConfig": "pipeline.TinyAudioConfig",
                          "AutoModel": "pipeline.TinyAudioModel"}  # fmt: skip
    pipeline = {"impl": "pipeline.TinyAudioPipeline", "pt": ["AutoModel"]}
    config["custom_pipelines"] = {"automatic-speech-recognition": pipeline}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    copy_code(out, "pipeline.py", "handler.py")
    write_card(out, repo, license)


def build_space(out: Path, repo: str, license: str) -> None:
    """The folder of a Space: a page that runs the published model."""
    copy_code(out, "app.py", more=("gradio",))
    shutil.copytree(ROOT / "samples", out / "samples")
    (out / "README.md").write_text(space_card(repo, license))


def copy_code(out: Path, *files: str, more: tuple[str, ...] = ()) -> None:
    """The model's code as code/, files of hub/ beside it, and requirements.txt."""
    for name in CODE:
        (out / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, out / "code" / name)
    for name in files:
        shutil.copy(ROOT / "hub" / name, out / name)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    needed = [line for line in lines if line.partition(">")[0].partition("=")[0] in PACKAGES]
    (out / "requirements.txt").write_text("\n".join([*needed, *more]) + "\n")


def listing(folder: Path) -> str:
    """Every file with its size."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    rows = [f"{size:14,}  {path.relative_to(folder)}"
            for size, path in zip(sizes, files, strict=True)]  # fmt: skip
    return "\n".join([*rows, f"{sum(sizes):14,}  bytes in {len(files)} files"])


def complaint(error: Exception, repo: str) -> str:
    """One sentence on what went wrong and what to do."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        return "the Hub does not know this token: log in again with `hf auth login`"
    if status == 403:
        return f"this token may not write to {repo}: take one of type write, or a name of your own"
    reason = " ".join(str(error).split())
    if isinstance(error, (HfHubHTTPError, RuntimeError, httpx.HTTPError)):
        return f"cut off ({reason}). Run it again: what has arrived is not sent twice"
    return reason
