"""Training: a run that is interrupted in any way ends as one that was not."""

import importlib.util
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, run_script
from safetensors.torch import load_file
from test_tinyaudio import PAIR, TEXTS, make, noises, trained

from checkpoints import load_checkpoint, save_tensors
from data import Batches, DataConfig, Utterance, collate, load_source, pad
from devices import gradient_scaler
from lora import lora_layers
from report import lora_sizes
from train import Config, Progress, TrainConfig, finish, learning_rate, make_optimizer, train_step

LORA = {"r": 4, "alpha": 8, "dropout": 0.1}


def write_config(folder: Path, corpus: Path, **train) -> Path:
    """Six steps with dropout and augmentation; evaluated on the corpus's first six utterances."""
    rows = [json.loads(line) for line in corpus.read_text().splitlines()[:6]]
    rows = [row | {"audio": str(corpus.parent / row["audio"])} for row in rows]
    few = folder / "few.jsonl"
    few.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "model": {
            "encoder": PAIR["tiny-hubert"], "decoder": PAIR["tiny-qwen3"],
            "projector_hidden": 32, "frame_dropout": 0.1, "tokens_per_second": 3,
            "encoder_lora": LORA | {"targets": ["q_proj", "k_proj"]},
            "decoder_lora": LORA | {"targets": ["q_proj", "v_proj"]},
        },
        "data": {
            "train": [str(corpus)], "dev": [str(few)], "test": [str(few)], "batch_seconds": 8,
        },
        "augment": {"speed": [0.9, 1.0, 1.1], "noise": [str(few)], "gain": 6.0},
        "train": {
            "out": str(folder / "run"), "steps": 6, "warmup": 2, "lr_projector": 0.01,
            "lr_lora": 0.01, "precision": "fp32", "device": "cpu", "log_every": 1,
            "eval_every": 3, "save_every": 2, **train,
        },
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def train(config: Path, *arguments) -> subprocess.CompletedProcess:
    return run_script("train.py", "--config", config, *arguments)


def signal_when(ready, number: int, config: Path, *arguments) -> tuple[int, str]:
    """Send a run a signal as soon as `ready()`; its exit status and what it said."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--config", str(config), *arguments], cwd=ROOT,
        env=os.environ | {"TQDM_DISABLE": "1"}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def metrics(run: Path) -> list[dict]:
    """The rows of metrics.jsonl without the speed, which no two runs share."""
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{k: v for k, v in row.items() if k != "audio_per_second"} for row in rows]


def checkpoints(run: Path) -> list[str]:
    return sorted(folder.name for folder in (run / "checkpoints").glob("*"))


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run that nothing interrupts: (process, its folder)."""
    folder = tmp_path_factory.mktemp("whole")
    return train(write_config(folder, corpus)), folder / "run"


@pytest.fixture(scope="module")
def stopped(corpus, tmp_path_factory):
    """A run stopped by SIGTERM and, resumed, by SIGINT; then resumed to its end."""
    folder = tmp_path_factory.mktemp("stopped")
    config, run, exits = write_config(folder, corpus), folder / "run", []
    for number, options in ((signal.SIGTERM, []), (signal.SIGINT, ["--resume"])):
        before = len(metrics(run))
        exits.append(signal_when(lambda n=before: len(metrics(run)) > n, number, config, *options))
    return exits, train(config, "--resume"), run


def test_a_finished_run_survives_a_typo(whole, corpus, tmp_path):
    """Fails if what a new run replaces is gone before it is known that the new one can begin."""
    run = shutil.copytree(whole[1], tmp_path / "run")
    done = train(write_config(tmp_path, corpus), "data.train=typo.jsonl")
    assert done.returncode == 1 and "typo.jsonl: no such manifest" in done.stderr
    assert (run / "training.json").exists() and checkpoints(run)


def test_a_full_disk_is_an_error_of_the_system(tmp_path):
    """Fails if it is one of safetensors' own, which nobody expects."""
    with pytest.raises(OSError, match=r"gone/a\.safetensors: cannot be written"):
        save_tensors({"a": torch.zeros(1)}, tmp_path / "gone" / "a.safetensors")


@pytest.fixture(scope="module")
def killed(corpus, tmp_path_factory):
    """A run killed behind its first checkpoint, in the middle of writing another; resumed."""
    folder = tmp_path_factory.mktemp("killed")
    config, run = write_config(folder, corpus), folder / "run"
    first = run / "checkpoints" / "step-0000002"
    status, _ = signal_when(first.exists, signal.SIGKILL, config)
    last = max(path for path in first.parent.iterdir() if not path.suffix)
    half = shutil.copytree(last, last.with_name("step-0000009.unfinished"))
    (half / "projector.safetensors").write_bytes(b"half of a")
    (half / "progress.json").unlink()
    return status, train(config, "--resume"), run


def assert_same_run(one: Path, other: Path):
    """The same numbers at every step, and the same bits in the end."""
    assert metrics(one) == metrics(other)
    assert checkpoints(one) == checkpoints(other) == ["step-0000006"]
    files = sorted((one / "checkpoints").rglob("*.safetensors"))
    assert len(files) == 4  # projector, two adapters, optimizer and random state
    for file in files:
        mine, theirs = load_file(file), load_file(other / file.relative_to(one))
        assert mine.keys() == theirs.keys()
        different = [key for key in mine if not torch.equal(mine[key], theirs[key])]
        assert not different, file


def test_stopped_and_resumed_equals_whole(whole, stopped):
    """Fails if weights, optimizer, random state, data cursor or schedule are lost on the way."""
    _, resumed, run = stopped
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(whole[1], run)


def test_a_signal_ends_a_run_in_order(stopped):
    """Fails if Ctrl-C is a traceback, or nobody says how to go on."""
    (term, said_term), (interrupt, said_interrupt) = stopped[0]
    assert (term, interrupt) == (143, 130)
    for said in (said_term, said_interrupt):
        assert "Traceback" not in said and "--resume" in said.strip().splitlines()[-1]


def test_killed_and_resumed_equals_whole(whole, killed):
    """Fails if kill -9 costs more than the steps since the last checkpoint, or if half a
    checkpoint is taken for one."""
    status, resumed, run = killed
    assert status == -signal.SIGKILL
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(whole[1], run)


def test_a_run_learns_and_logs_every_step(whole):
    done, run = whole
    assert done.returncode == 0, done.stderr
    rows = metrics(run)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert {"epoch", "loss", "grad_norm", "lr", "skipped"} < steps[0].keys()
    assert all(math.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert [row["step"] for row in rows if "dev_wer" in row] == [3, 6]


def test_a_run_says_where_it_learns(whole):
    """The gradient by part, and how far LoRA has moved the frozen weights."""
    rows = metrics(whole[1])
    parts = [f"grad_norm_{part}" for part in ("encoder", "projector", "decoder")]
    for row in (row for row in rows if "loss" in row):
        assert math.hypot(*(row[part] for part in parts)) == pytest.approx(
            row["grad_norm"], rel=1e-4
        )
    first, last = [row for row in rows if "dev_wer" in row]
    for part in ("encoder", "decoder"):
        assert 0 < first[f"lora_{part}"] < last[f"lora_{part}"] < 1


def test_lora_sizes():
    model = make()
    for name in ("encoder", "decoder"):
        layers = lora_layers(getattr(model, name)).values()
        moved = [layer.scale * layer.lora_B.weight @ layer.lora_A.weight for layer in layers]
        ratio = (
            torch.cat([m.flatten() for m in moved]).norm()
            / torch.cat([layer.weight.flatten() for layer in layers]).norm()
        )
        assert lora_sizes(model)[f"lora_{name}"] == pytest.approx(ratio.item(), rel=1e-4)


WANDB = """
import json, os
class Run:
    def log(self, row, step):
        assert row["step"] == step
        print("logged", json.dumps(row), file=open(os.environ["SENT"], "a"))
def init(project, name, id, resume, config):
    assert (project, name, resume) == ("speech", "run", "allow") and len(id) == 8
    assert config["train"]["wandb"] == "speech"
    return Run()
"""


def test_weights_and_biases_when_asked_for(corpus, tmp_path, monkeypatch):
    """A stand-in for the package gets what metrics.jsonl gets; without it a sentence says so."""
    config = write_config(tmp_path, corpus, steps=2, wandb="speech")
    if importlib.util.find_spec("wandb") is None:
        done = train(config)
        assert done.returncode == 1 and done.stderr.startswith("train.wandb needs Weights & Biases")
    (tmp_path / "present").mkdir()
    (tmp_path / "present" / "wandb.py").write_text(WANDB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "present"))
    monkeypatch.setenv("SENT", str(tmp_path / "sent"))
    done = train(config)
    assert done.returncode == 0, done.stderr
    sent = [line.removeprefix("logged ") for line in (tmp_path / "sent").read_text().splitlines()]
    assert sent == (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()


def test_a_run_folder_is_a_model_and_its_record(whole):
    """Fails if a file that the card, the course or a reader needs is not written."""
    _, run = whole
    training = json.loads((run / "training.json").read_text())
    summary = json.loads((run / "summary.json").read_text())
    assert json.loads((run / "config.json").read_text())["model_type"] == "tiny_audio"
    assert training["config"]["data"]["batch_seconds"] == 8
    assert training["config"]["data"]["train"][0].endswith("manifest.jsonl")
    if (ROOT / ".git").exists():
        assert len(training["git_commit"].removesuffix("-dirty")) == 40
    assert training["metrics"]["wer"] == summary["wer"] and training["progress"]["step"] == 6
    assert len((run / "results.jsonl").read_text().splitlines()) == summary["utterances"] == 6
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    for name in ("projector.safetensors", "encoder_lora", "decoder_lora", "tokenizer.json"):
        assert (run / name).exists()


def test_a_run_ends_with_its_wer_and_five_transcripts(whole):
    done, run = whole
    summary = json.loads((run / "summary.json").read_text())
    assert f"WER {summary['wer']:.2%}" in done.stdout
    assert f"raw WER {summary['raw_wer']:.2%}" in done.stdout
    assert done.stdout.count("  said ") == done.stdout.count("  wrote ") == 5


def test_resume_without_a_checkpoint(corpus, tmp_path):
    """A run that is not there is an error; one that ended before its first checkpoint begins."""
    done = train(write_config(tmp_path, corpus), "--resume")
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/run: no run to resume\n"
    (tmp_path / "run").mkdir()
    done = train(write_config(tmp_path, corpus), "--resume", "train.steps=1")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/run: no checkpoint yet; from the beginning" in done.stderr
    done = train(write_config(tmp_path, corpus), "--resume", "train.precision=fp16")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.stesp=4", "train.stesp: unknown key; did you mean train.steps?"),
        ("data.test=/nowhere.jsonl", "/nowhere.jsonl: no such manifest"),
        ("model.encoder=/nowhere", "/nowhere: no such folder"),
        ("model.decoder_lora.targets=[q]", "LoRA targets ['q'] name no linear layer of Qwen3"),
        ("train.precision=fp8", "train.precision=fp8: expected "),
        ("train.device=gpu", "device gpu: cannot be used on this machine"),
        ("train.log_every=0", "train.log_every=0: expected at least 1"),
        ("data.dev=[]", "data.dev: expected at least one source"),
    ],
)
def test_a_wrong_config_is_one_sentence(corpus, tmp_path, override, sentence):
    """Fails if a mistake is a traceback, or is found only after hours of training."""
    done = train(write_config(tmp_path, corpus, steps=1), override)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1
    assert not metrics(tmp_path / "run")


def test_dry_run(corpus, tmp_path):
    """Fails if the plan needs the weights, writes anything, or counts wrongly."""
    for name, path in PAIR.items():
        shutil.copytree(path, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors"))
    done = train(
        write_config(tmp_path, corpus), "--dry-run", f"model.encoder={tmp_path / 'tiny-hubert'}",
        f"model.decoder={tmp_path / 'tiny-qwen3'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run").exists()
    table = {line.split()[0]: line.split()[1:3] for line in done.stdout.splitlines()[1:5]}
    model = make()
    for name, part in (*model.named_children(), ("all", model)):
        counts = [sum(p.numel() for p in part.parameters() if p.requires_grad == wanted)
                  for wanted in (False, True)]  # fmt: skip
        assert table[name] == [f"{count:,}" for count in counts]
    assert "6 steps of up to 8 s" in done.stdout


def test_many_bad_steps_end_a_run(corpus, tmp_path):
    """Fails if a run that has diverged goes on, or spoils what it had saved."""
    config = write_config(
        tmp_path, corpus, lr_projector=1e30, warmup=1, max_bad_steps=3, save_every=1, eval_every=99
    )  # weights of 1e30 after the first step: no gradient is finite after that
    done = train(config)
    assert done.returncode == 1
    assert done.stderr.startswith("3 steps in a row") and done.stderr.count("\n") == 1
    assert [row["skipped"] for row in metrics(tmp_path / "run")] == [0, 1, 2, 3]
    assert checkpoints(tmp_path / "run") == ["step-0000003"]
    folder = tmp_path / "run" / "checkpoints" / "step-0000003"
    progress = json.loads((folder / "progress.json").read_text())
    assert (progress["step"], progress["skipped"], progress["bad"]) == (3, 2, 2)
    assert all(p.isfinite().all() for p in load_file(folder / "projector.safetensors").values())


def test_patience(corpus, tmp_path):
    """Fails if a run without progress is not stopped: with a rate of 0 the WER stays."""
    config = write_config(
        tmp_path, corpus, lr_projector=0.0, lr_lora=0.0, patience=2, eval_every=1, save_every=99
    )
    done = train(config)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in metrics(tmp_path / "run") if "dev_wer" in row] == [1, 2, 3]
    assert checkpoints(tmp_path / "run") == ["step-0000003"]
    assert (tmp_path / "run" / "training.json").exists()


def step(model, batches, optimizer, clip=1e9):
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return train_step(model, batches, optimizer, scaler, clip)[:2]


def test_a_run_goes_on_from_a_saved_model(whole, corpus, tmp_path):
    """LoRA alone is trained on where the projector's learning rate is 0."""
    config = write_config(tmp_path, corpus, init=str(whole[1]), lr_projector=0.0, steps=3)
    done, before, after = train(config), whole[1], tmp_path / "run"
    assert done.returncode == 0, done.stderr
    # The table of parameters: the projector has moved among the frozen ones.
    assert re.search(r"projector +[\d,]+ +0\n", done.stdout)
    moved = {}
    for file in ("projector.safetensors", "decoder_lora/adapter_model.safetensors"):
        mine, theirs = load_file(before / file), load_file(after / file)
        moved[file.split("/")[0]] = any(not torch.equal(mine[k], theirs[k]) for k in mine)
    assert moved == {"projector.safetensors": False, "decoder_lora": True}
    first = metrics(after)[0]["loss"]
    assert abs(first - metrics(before)[-1]["dev_loss"]) < abs(first - metrics(before)[0]["loss"])


def test_lora_starts_on_a_trained_projector(corpus, tmp_path):
    """The two stages of configs/a40.yaml; and no way back that would drop an adapter silently."""
    first, second = tmp_path / "first", tmp_path / "second"
    config = write_config(tmp_path, corpus, steps=2, eval_every=2)
    off = ["model.encoder_lora.r=0", "model.decoder_lora.r=0"]
    assert train(config, *off, f"train.out={first}").returncode == 0
    assert not (first / "encoder_lora").exists()
    done = train(config, f"train.init={first}", f"train.out={second}")
    assert done.returncode == 0, done.stderr
    assert (second / "encoder_lora").is_dir() and (second / "decoder_lora").is_dir()
    done = train(config, *off, f"train.init={second}")
    assert done.returncode == 1 and "with model.encoder_lora.r=0" in done.stderr
    done = train(config, *off, "train.lr_projector=0")
    assert done.returncode == 1 and "nothing would be trained" in done.stderr


def test_a_checkpoint_of_another_version_is_refused(whole, tmp_path):
    run = shutil.copytree(whole[1], tmp_path / "run")
    (progress,) = run.glob("checkpoints/*/progress.json")
    progress.write_text('{"step": 6, "epoch": 0, "batch": 3}')
    with pytest.raises(ValueError, match="was written by another version"):
        load_checkpoint(run, None, None, Progress())


def test_frozen_weights_in_bfloat16_are_scored(corpus, tmp_path):
    """As on a GPU: fails where a trained weight in float32 meets what is computed in bfloat16."""
    model = with_frozen(torch.bfloat16)
    model.save_pretrained(tmp_path)
    finish(tmp_path, Config(), model, Progress(), load_source(str(corpus))[:2])
    assert json.loads((tmp_path / "summary.json").read_text())["utterances"] == 2
    assert (tmp_path / "training.json").exists()


def test_a_run_cannot_go_on_from_another_shape(whole, corpus, tmp_path):
    config = write_config(tmp_path, corpus, init=str(whole[1]))
    done = train(config, "model.projector_hidden=16")
    assert done.returncode == 1 and "the projector does not fit" in done.stderr
    done = train(config, "train.init=./nowhere")
    assert done.returncode == 1 and "./nowhere: no such folder" in done.stderr


def test_accumulated_batches_are_one(tmp_path):
    """Fails if each batch is averaged by itself: texts of unequal length would weigh unequally."""
    waveforms, results = noises(0.5, 2.0, 1.0, 0.7, 1.5), []
    for parts in ([slice(None)], [slice(1), slice(1, None)]):
        model = make().train()
        before = {name: p.detach().clone() for name, p in trained(model).items()}
        optimizer = torch.optim.SGD(trained(model).values(), lr=0.1)
        result = step(model, [pad(waveforms[part], TEXTS[part]) for part in parts], optimizer)
        moved = {name: (p - before[name]).detach() for name, p in trained(model).items()}
        results.append((*result, moved))
    (loss, norm, moved), (loss_2, norm_2, moved_2) = results
    assert loss_2 == pytest.approx(loss, rel=1e-5) and norm_2 == pytest.approx(norm, rel=1e-4)
    for name in moved:
        assert moved[name].any()
        torch.testing.assert_close(moved_2[name], moved[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cause", ["infinite gradient", "NaN waveform"])
def test_a_bad_step_changes_nothing(cause):
    """Fails if one bad batch destroys the weights, the moments, or the step after it."""
    model = make().train()
    optimizer = make_optimizer(model, TrainConfig())
    good, bad = pad(noises(1.0), ["seven"]), pad(noises(1.0), ["seven"])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    if cause == "NaN waveform":
        bad.waveforms[0, 7] = math.nan
    else:
        weight = model.projector.mlp.up_proj.weight
        hook = weight.register_hook(lambda gradient: gradient * math.inf)
    _, norm = step(model, [good, bad], optimizer)
    assert not math.isfinite(norm) and not optimizer.state_dict()["state"]
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    if cause == "infinite gradient":
        hook.remove()
    _, norm = step(model, [good], optimizer)
    assert math.isfinite(norm)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == trained(model).keys()


def with_frozen(dtype: torch.dtype):
    """The model of `make`, frozen weights in another format."""
    model = make()
    for p in model.parameters():
        p.data = p.data if p.requires_grad else p.data.to(dtype)
    return model


def test_a_gradient_in_bfloat16_is_that_in_float32():
    """Fails if rounding takes more than it must, or a trained weight is kept in bfloat16."""
    batch, gradients = pad(noises(1.0, 2.5), ["seven", "turn the light on"]), []
    for dtype in (torch.float32, torch.bfloat16):
        model = with_frozen(dtype).train()
        model(batch)[0].backward()
        assert {p.dtype for p in trained(model).values()} == {torch.float32}
        gradients.append(torch.cat([p.grad.flatten() for p in trained(model).values()]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_fp16_trains_from_the_first_steps_on():
    """Fails if the scale, meant for a mean, sends the sum over many tokens beyond float16."""
    model = with_frozen(torch.float16).train()
    optimizer, scaler = make_optimizer(model, TrainConfig()), gradient_scaler(torch.float16, "cpu")
    batch = pad(noises(*[1.0] * 8), ["seven eight nine ten " * 10] * 8)
    before = model.projector.mlp.up_proj.weight.detach().clone()
    for _ in range(2):
        train_step(model, [batch], optimizer, scaler, 1.0)
    assert not torch.equal(model.projector.mlp.up_proj.weight, before)


def test_the_gradient_is_clipped():
    model = make().train()
    before = torch.cat([p.detach().flatten() for p in trained(model).values()])
    optimizer = torch.optim.SGD(trained(model).values(), lr=1.0)
    _, norm = step(model, [pad(noises(1.0), ["seven"])], optimizer, clip=0.01)
    after = torch.cat([p.detach().flatten() for p in trained(model).values()])
    assert norm > 0.02 and (after - before).norm().item() == pytest.approx(0.01, rel=0.01)


def test_learning_rate():
    """Fails if the warm-up starts at nothing, or the end is not the floor."""
    cfg = TrainConfig(steps=1100, warmup=100, lr_floor=0.05)
    rates = [learning_rate(n, cfg) for n in range(1101)]
    assert rates[0] == 0.01 and rates[49] == 0.5 and rates[99] == rates[100] == max(rates) == 1
    assert rates[:100] == sorted(rates[:100]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[600] == pytest.approx(0.525) and rates[1100] == pytest.approx(0.05)
    assert learning_rate(0, TrainConfig(warmup=0)) == 1


def test_optimizer_groups():
    """Fails if a trained weight is in no group, or has another part's rate; norms do not decay."""
    model = make()
    cfg = TrainConfig(lr_projector=3e-4, lr_lora=1e-4, weight_decay=0.1)
    groups = make_optimizer(model, cfg).param_groups
    settings = {id(p): (g["peak"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(settings) == sum(len(g["params"]) for g in groups) == len(trained(model))
    for name, p in trained(model).items():
        peak = 1e-4 if ".lora_" in name else 3e-4
        assert settings[id(p)] == (peak, 0.0 if "norm" in name else 0.1), name


def test_a_manifest_that_lies_about_a_length(tmp_path):
    """Fails if a file shorter than one encoder frame ends a run: it is left out and counted."""
    soundfile.write(tmp_path / "short.wav", noises(1.0)[0][:50].numpy(), 16_000)
    said = Utterance(id="short", audio=str(tmp_path / "short.wav"), text="seven", duration=1.0)
    batch, problems = collate([said])
    assert batch is None and sum(problems.values()) == 1


def test_files_that_are_all_gone_end_a_run(tmp_path):
    """Fails if a run looks for ever for a batch in a manifest whose audio was moved."""
    gone = [Utterance(str(i), str(tmp_path / f"{i}.wav"), "seven", 0.0, 1.0) for i in range(20)]
    stream = Batches(gone, DataConfig(batch_seconds=4), seed=0).stream({})
    with pytest.raises(ValueError, match="none of the training recordings can be read"):
        for _ in range(50):
            next(stream)
