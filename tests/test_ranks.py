"""Several ranks under torchrun: the run of one process, to the last digit of its losses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_train import checkpoints, metrics, write_config

from data import Batches, DataConfig, Utterance
from ranks import join

TWO_RANKS = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
# One thread everywhere: on more, products are added up in another order.
ENVIRONMENT = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}


def start(config: Path, *arguments, launcher=TWO_RANKS) -> subprocess.Popen:
    """train.py on two ranks."""
    command = [*launcher, str(ROOT / "train.py"), "--config", str(config), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: subprocess.Popen) -> str:
    """What a run that succeeds prints."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def alone_on(config: Path, *arguments) -> None:
    """The run of two ranks in one process, which takes both their batches."""
    end(start(config, *arguments, "train.accumulate=2", launcher=[sys.executable]))


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), process.communicate()


def losses(run: Path) -> list[float]:
    """Of every step; at the end dev's, and how far LoRA has moved either model."""
    keys = ("loss", "dev_loss", "lora_encoder", "lora_decoder")
    return [row[key] for row in metrics(run) for key in keys if key in row]


def twenty_steps(folder: Path, corpus: Path, **train) -> tuple[Path, Path]:
    folder.mkdir()
    settings = {
        "steps": 20,
        "eval_every": 20,
        "save_every": 5,
        "lr_projector": 2e-3,
        "lr_lora": 2e-3,
    }
    config = write_config(folder, corpus, **settings, **train)
    return config, folder / "run"


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """Twenty steps of two batches in one process, with dropout and augmentation."""
    folder = tmp_path_factory.mktemp("ranks")
    config, run = twenty_steps(folder / "one", corpus)
    alone_on(config)
    return losses(run)


def test_two_ranks_are_one_process_with_both_batches(alone, corpus, tmp_path):
    """Stopped on the way, data workers and all, and gone on with by two ranks and, in the end, by
    one."""
    config, run = twenty_steps(tmp_path / "two", corpus)
    process = start(config, "data.workers=1")
    wait_for(run / "checkpoints" / "step-0000005", process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0 and "--resume goes on" in said
    before = len(losses(run))
    assert 5 <= before < 20
    process = start(config, "data.workers=1", "--resume")
    wait_for(run / "checkpoints" / "step-0000015", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert before < len(losses(run)) < 20
    alone_on(config, "--resume")
    assert losses(run) == pytest.approx(alone, abs=1e-5)


def test_split_layers_give_the_same_run(alone, corpus, tmp_path):
    """FSDP2: each rank holds half of the frozen layers, and nothing else changes; neither where
    their activations are computed again."""
    config, run = twenty_steps(tmp_path / "split", corpus, shard=True, recompute=True)
    said = end(start(config))
    assert losses(run) == pytest.approx(alone, abs=1e-5)
    assert said.count("  said ") == 5  # one rank speaks for all
    assert checkpoints(run) == ["step-0000020"]


HELD = """
import json, sys
import ranks, torch
from test_tinyaudio import make
ranks.join("cpu")
model = make()
ranks.split_frozen(model)
model.transcribe(torch.randn(16_000))
del model.decoder.model["embed_tokens"]
def held(wanted):
    whole = [p for p in model.decoder.parameters() if p.requires_grad == wanted]
    local = [p.to_local() if hasattr(p, "to_local") else p for p in whole]
    return sum(p.numel() for p in local) / sum(p.numel() for p in whole)
shares = ranks.gather([held(False), held(True)])
print(json.dumps(shares))
"""


def test_a_rank_holds_its_share_of_the_frozen_layers(tmp_path):
    (tmp_path / "held.py").write_text(HELD)
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    done = subprocess.run(
        [*TWO_RANKS, str(tmp_path / "held.py")], env=ENVIRONMENT | {"PYTHONPATH": path},
        capture_output=True, text=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for frozen, trained in json.loads(done.stdout):
        assert frozen == pytest.approx(0.5, abs=0.02) and trained == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the rank in /proc")
def test_a_rank_that_dies_ends_the_run(corpus, tmp_path):
    """Fails if the others wait for ever, nobody says why, or the last checkpoint is lost."""
    config, run = twenty_steps(tmp_path / "dies", corpus)
    process = start(config)
    wait_for(run / "checkpoints" / "step-0000005", process)
    environments = Path("/proc").glob("[0-9]*/environ")

    (victim,) = [path for path in environments if is_rank_1(path, process.pid)]
    os.kill(int(victim.parent.name), signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "rank 0: another rank has ended" in said and "SIGKILL" in said
    alone_on(config, "--resume")


def is_rank_1(environment: Path, parent: int) -> bool:
    try:
        status = (environment.parent / "status").read_text()
        variables = environment.read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile, or is somebody else's
        return False
    return f"PPid:\t{parent}\n" in status and b"RANK=1" in variables


@pytest.mark.parametrize(("device", "gpus"), [("cuda", 1), ("cuda:0", 2)])
def test_each_rank_needs_a_gpu_of_its_own(device, gpus, monkeypatch):
    monkeypatch.setattr("ranks.RANKS", 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match=f"train.device={device}: .* {gpus} are there"):
        join(device)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("done", [0, 1, 5])
def test_ranks_share_the_batches(corpus, ranks, done):
    """Fails if a batch is trained on twice or by nobody, also across epochs of any length and
    after `done` rounds, when all go on from where rank 0 was."""
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    utterances = [
        Utterance(row["audio"], str(corpus.parent / row["audio"]), row["text"]) for row in rows
    ]
    cfg = DataConfig(batch_seconds=8)

    def batches(rank: int, ranks: int, cursor: dict, count: int) -> list[tuple]:
        stream = Batches(utterances, cfg, 0, rank=rank, ranks=ranks).stream(cursor)
        return [(cursor, batch.texts) for cursor, batch, _ in (next(stream) for _ in range(count))]

    rounds = 3 + len(Batches(utterances, cfg, 0).plan(0))
    alone = [texts for _, texts in batches(0, 1, {}, ranks * rounds)]
    cursor = batches(0, ranks, {}, done)[-1][0] if done else {}
    shares = [batches(rank, ranks, cursor, rounds - done) for rank in range(ranks)]
    together = [[texts for _, texts in round_] for round_ in zip(*shares, strict=True)]
    expected = alone[ranks * done :]
    for i, found in enumerate(together):
        assert sorted(found) == sorted(expected[ranks * i : ranks * (i + 1)])
