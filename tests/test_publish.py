"""Publishing: the folder, the card, the way to the Hub and back, the leaderboard.

The Hub is stand_in_hub.py; what speaks to it is the real client, in processes of its own.
"""

import base64
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, assert_near, requires
from huggingface_hub import ModelCard, parse_eval_result_entries
from safetensors.torch import load_file
from stand_in_hub import LARGE, stand_in_hub

import publish as command
from eval import summarise
from hub import leaderboard
from hub.card import hub_results, hub_source, result_table, write_card
from hub.merge import RECORD, merge_card, merge_data, merge_text, split_card
from hub.repository import without_folders

SAMPLE = ROOT / "samples" / "1.wav"
TOKEN = "hf_" + "secret" * 5
PUBLISH = ("publish.py", "--model", "models/tiny-audio", "--repo", "you/tiny")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the repository: publishing writes the leaderboard's entry into it."""
    copy = tmp_path_factory.mktemp("a clone") / "tiny audio"
    unneeded = shutil.ignore_patterns(".*", "runs", "data", "tests", "__pycache__")
    return Path(shutil.copytree(ROOT, copy, ignore=unneeded))


@pytest.fixture(scope="module")
def published(clone) -> Path:
    """What --dry-run writes for the shipped model, where nothing else of the project is."""
    done = run(clone, *PUBLISH, "--space", "--dry-run", "out/folder")
    assert done.returncode == 0, done.stderr
    return clone / "out" / "folder"


@pytest.fixture
def hub(tmp_path):
    with stand_in_hub({}, tmp_path / "home") as server:
        server.tokens[TOKEN] = "write"
        server.environment |= {
            "HF_TOKEN": TOKEN, "HF_MODULES_CACHE": str(tmp_path / "modules"),
            "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        yield server


@pytest.fixture
def board(clone, monkeypatch):
    """hub/leaderboard.py in this process, at work in the clone; its entries are put back."""
    folder = clone / "hub" / "leaderboard"
    monkeypatch.setattr(leaderboard, "ROOT", clone)
    monkeypatch.setattr(leaderboard, "ENTRIES", folder)
    before = entries(clone)
    yield leaderboard
    for path in folder.iterdir():
        path.unlink()
    for name, text in before.items():
        (folder / name).write_text(text)


def entries(clone: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in (clone / "hub" / "leaderboard").iterdir()}


def run(folder: Path, *command, env=None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, command)], cwd=folder, env=env,
                          capture_output=True, text=True)  # fmt: skip


def publish(clone, hub, *options) -> subprocess.CompletedProcess:
    done = run(clone, *PUBLISH, *options, env=hub.environment)
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_published_model_gives_one_text_by_all_three_ways(clone, hub, tmp_path):
    """Each in a process that sees nothing but the Hub."""
    assert publish(clone, hub).returncode == 0
    ways = {
        "own": "sys.path.insert(0, snapshot_download('you/tiny') + '/code')\n"
               "from tinyaudio import TinyAudio\n"
               "texts = TinyAudio.from_pretrained('you/tiny').transcribe(recordings)",
        "transformers": "from transformers import pipeline\n"
               "recognise = pipeline('automatic-speech-recognition', model='you/tiny',\n"
               "                     trust_remote_code=True, device='cpu')\n"
               "texts = [row['text'] for row in recognise(recordings)]\n"
               "assert texts[0] == recognise(recordings[0])['text']\n"
               "rate = {'array': samples, 'sampling_rate': 16_000}\n"
               "assert recognise([samples, rate]) == [{'text': texts[0]}] * 2\n"
               "assert recognise(recordings[1], beams=2, batch_size=2)['text']\n"
               "stereo = np.stack([samples, samples])\n"  # channels first, as torchcodec's
               "assert next(recognise(x for x in [stereo])) == {'text': texts[0]}\n"
               "assert not {'tinyaudio', 'audio', 'configs'} & set(sys.modules)",
        "handler": "sys.path.insert(0, folder := snapshot_download('you/tiny'))\n"
               "from handler import EndpointHandler\n"
               "encoded = [recordings[0], base64.b64encode(recordings[1]).decode()]\n"
               "answers = EndpointHandler(folder)({'inputs': encoded})\n"
               "texts = [answer['text'] for answer in answers]",
    }  # fmt: skip
    start = (
        "import base64, io, json, sys\nimport numpy as np, soundfile\n"
        "from huggingface_hub import snapshot_download\n"
        f"samples = soundfile.read({str(SAMPLE)!r}, dtype='float32')[0]\n"
        "long = io.BytesIO()\n"
        "soundfile.write(long, np.tile(samples, 15), 16_000, format='WAV')\n"
        f"recordings = [open({str(SAMPLE)!r}, 'rb').read(), long.getvalue()]\n"
    )
    texts = {}
    for way, code in ways.items():
        program = f"{start}{code}\nprint(json.dumps(texts))"
        done = run(tmp_path, "-c", program, env=hub.environment)
        assert done.returncode == 0, done.stderr
        texts[way] = json.loads(done.stdout.splitlines()[-1])
    assert texts["own"] == texts["transformers"] == texts["handler"]
    assert texts["own"][0] == "i need a bus from chicago to sydney next tuesday"
    assert len(texts["own"][1].split()) > 10  # 41 seconds: longer than a piece


def test_upload_is_one_commit_of_what_was_shown(clone, published, hub):
    done = publish(clone, hub, "--private", "--space")
    assert done.returncode == 0, done.stderr
    for repo, folder in (("you/tiny", published), ("spaces/you/tiny", Path(f"{published}-space"))):
        local = {p.relative_to(folder).as_posix(): p.read_bytes()
                 for p in folder.rglob("*") if p.is_file()}  # fmt: skip
        assert hub.repos[repo]["main"] == local
        assert hub.commits.count(repo) == 1
        for name, data in local.items():
            assert re.search(rf"^ *{len(data):,}  {re.escape(name)}$", done.stdout, re.M), name
    assert "model you/tiny, private:" in done.stdout
    assert f"{hub.url}/you/tiny\n" in done.stdout and f"{hub.url}/spaces/you/tiny\n" in done.stdout


def test_only_a_public_model_gets_a_row(clone, board, hub):
    """Fails if a private model's transcripts are written into the repository, also where it was
    made private by an earlier call."""
    before = entries(clone)
    for options in (("--private",), ()):
        done = publish(clone, hub, *options)
        assert done.returncode == 0, done.stderr
        assert "no entry for the leaderboard: the model is private" in done.stdout
        assert entries(clone) == before
    hub.private.clear()
    assert publish(clone, hub).returncode == 0
    entry = json.loads(entries(clone)["you--tiny.json"])
    assert entry["command"] == "python eval.py --model you/tiny --data espeak:test:300 --beams 4"


def test_publishing_again_keeps_what_others_changed(clone, hub):
    assert publish(clone, hub, "--space").returncode == 0
    files, space = hub.repos["you/tiny"]["main"], hub.repos["spaces/you/tiny"]["main"]
    files["notes.txt"] = b"mine"
    card = files["README.md"].decode()
    for old, new in (
        ("license: mit", "license: cc-by-4.0\nthumbnail: https://example.org/me.png"),
        ("- custom_code\n", "- custom_code\n- my-tag\n"),
        ("## Training", "## What I learned\n\nA lot.\n\n## Training"),
        ("- It writes English", "- It is shy.\n- It writes English"),
    ):
        assert old in card
        card = card.replace(old, new)
    files["README.md"] = (card + "\n# Thanks\n\nto all\n").encode()
    space["requirements.txt"] += b"my-package\n"
    space["README.md"] = space["README.md"].replace(b"title: tiny", b"title: My own page")
    sent = hub.received
    again = publish(clone, hub, "--space")
    assert again.returncode == 0, again.stderr
    assert hub.received == sent  # no large file twice
    assert files["notes.txt"] == b"mine"
    assert split_card(files["README.md"].decode()) == split_card(card + "\n# Thanks\n\nto all\n")
    assert b"my-package" in space["requirements.txt"]
    assert b"title: My own page" in space["README.md"]
    commits = len(hub.commits)
    assert publish(clone, hub, "--space").returncode == 0
    assert len(hub.commits) == commits  # nothing new, no commit


def test_what_was_published_and_is_no_more_goes(clone, hub):
    """An old shard beside new weights would be read with them."""
    assert publish(clone, hub).returncode == 0
    files = hub.repos["you/tiny"]["main"]
    record = json.loads(files[RECORD])
    record["files"].append("decoder/model-00001-of-00002.safetensors")
    files[RECORD] = json.dumps(record).encode()
    files["decoder/model-00001-of-00002.safetensors"] = b"old"
    files["decoder/mine.safetensors"] = b"somebody's"
    done = publish(clone, hub)
    assert done.returncode == 0, done.stderr
    assert "decoder/model-00001-of-00002.safetensors" not in files
    assert files["decoder/mine.safetensors"] == b"somebody's"


def test_private_is_never_public(clone, hub):
    hub.repos["you/tiny"] = {"main": {}}
    done = publish(clone, hub, "--private")
    assert done.returncode == 1 and "model you/tiny is public already" in done.stderr
    assert not hub.repos["you/tiny"]["main"]


def test_the_space_of_a_private_model_is_private_and_asks_for_a_token(clone, hub):
    """Fails if a Space that is added later is public, or cannot load its model unexplained."""
    secret = "add a secret HF_TOKEN with read rights in the Space's settings"
    assert secret not in publish(clone, hub, "--private").stdout
    done = publish(clone, hub, "--space")
    assert done.returncode == 0 and "space you/tiny, private:" in done.stdout, done.stderr
    assert secret in done.stdout and "spaces/you/tiny" in hub.private
    hub.private.clear()  # its owner made both public
    done = publish(clone, hub, "--space")
    assert "space you/tiny, public:" in done.stdout and secret not in done.stdout


def test_a_hub_that_cannot_be_reached_is_one_sentence(clone, hub):
    done = run(clone, *PUBLISH, env=hub.environment | {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert done.returncode == 1 and done.stderr.startswith("cut off (")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_cut_upload_goes_on_where_it_was(clone, hub):
    hub.failures = [None, "cut", *[400] * 12]  # what is cut the client tries again by itself
    done = publish(clone, hub)
    assert done.returncode == 1 and not hub.commits
    said = done.stderr.strip().splitlines()[-1]  # before it, that the client tries again
    assert said.startswith("cut off (") and "Run it again" in said
    hub.failures, arrived, before = [], set(hub.large), hub.received
    assert arrived
    assert publish(clone, hub).returncode == 0
    large = sum(len(data) for data in hub.large.values())
    assert hub.received - before == large - sum(len(hub.large[oid]) for oid in arrived)
    assert len(hub.commits) == 1


def test_an_upload_that_is_stopped_is_one_sentence(monkeypatch, capsys):
    """Fails if Ctrl-C is answered with a traceback."""

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "publish", stopped)
    monkeypatch.setattr(sys, "argv", [*PUBLISH])
    assert command.main() == 1
    assert capsys.readouterr().err.startswith("cut off (Ctrl-C). Run it again")


@pytest.mark.parametrize(
    ("name", "lacking", "sentence"),
    [
        ("summary.json", "normalizer", "broken/summary.json: has no normalizer"),
        ("training.json", "progress", "broken/training.json: has no progress"),
        ("training.json", None, "broken/training.json: is not JSON (Expecting property name"),
        ("summary.json", None, "broken/summary.json: is not JSON (Expecting property name"),
    ],
)
def test_a_broken_record_is_one_sentence_with_its_name(clone, name, lacking, sentence):
    """Fails if the sentence does not say which file is broken, or is a traceback."""
    broken = clone / "broken"
    shutil.copytree(clone / "models" / "tiny-audio", broken, dirs_exist_ok=True)
    values = json.loads((broken / name).read_text())
    values.pop(lacking, None)
    (broken / name).write_text(json.dumps(values) if lacking else "{broken")
    done = run(clone, "publish.py", "--model", "broken", "--repo", "you/x", "--dry-run", "nothing")
    assert done.returncode == 1 and done.stderr.startswith(sentence), done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "no token: log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_unknown", "the Hub does not know this token: log in again with `hf auth login`"),
        ("hf_reader", "this token may not write to you/tiny: take one of type write, or a name"),
    ],
)
def test_a_token_that_will_not_do_is_one_sentence(clone, hub, token, sentence):
    hub.tokens["hf_reader"] = "read"
    hub.environment |= {"HF_TOKEN": token or ""}
    done = run(clone, *PUBLISH, env=hub.environment)
    assert done.returncode == 1 and done.stderr.startswith(sentence)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not token or token not in done.stdout + done.stderr
    assert not hub.repos


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "models/tiny-qwen3", "--repo", "you/x"), "is not a Tiny Audio model's"),
        (("--model", "nowhere", "--repo", "you/x"), "nowhere: holds no config.json"),
        (("--model", "models/tiny-audio", "--repo", "tiny"), "--repo tiny: expected you/my-model"),
        (("--model", "models/tiny-audio", "--repo", "you/a b"), "Repo id must"),
        (("--model", "unscored", "--repo", "you/x"), "holds no summary.json; eval.py writes it"),
    ],
)
def test_bad_input_is_one_sentence(clone, arguments, sentence):
    shutil.copytree(clone / "models" / "tiny-audio", clone / "unscored", dirs_exist_ok=True)
    (clone / "unscored" / "summary.json").unlink(missing_ok=True)
    done = run(clone, "publish.py", *arguments, "--dry-run", "nothing")
    assert done.returncode == 1 and sentence in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_dry_run_does_not_write_over_anything(clone, published):
    done = run(clone, *PUBLISH, "--dry-run", published)
    assert done.returncode == 1 and "exists already" in done.stderr


def test_the_published_code_has_the_letters_too(published):
    sample = ROOT / "samples" / "3.wav"
    done = run(published, "code/tinyaudio.py", "--model", ".", sample, "--ctc")
    assert done.stdout == f"{sample}: sorry i am late because of the wet weather\n", done.stderr


def test_the_card_says_what_the_run_and_its_evaluation_say(published):
    card = ModelCard.load(published / "README.md")
    training, summary = (
        json.loads((published / f"{name}.json").read_text()) for name in ("training", "summary")
    )
    data = card.data
    assert (data.license, data.language, data.pipeline_tag) == (
        "mit", "en", "automatic-speech-recognition",
    )  # fmt: skip
    rates = {result.metric_name: result.metric_value for result in data.eval_results}
    assert rates == {
        "WER (whisper normaliser, beam 4)": round(100 * summary["wer"], 2),
        "CER (whisper normaliser, beam 4)": round(100 * summary["cer"], 2),
        "WER (words as written, beam 4)": round(100 * summary["raw_wer"], 2),
    }
    for figure in (f"{training['parameters_trained']:,}", f"{summary['wer_low']:.1%}",
                   training["hardware"], f"{training['progress']['step']:,}"):  # fmt: skip
        assert figure in card.text
    assert "$" not in card.text.replace("$ENDPOINT", "").replace("$HF_TOKEN", "")
    for path in re.findall(r"`(\w+\.(?:py|json|jsonl))`|\]\((\w+\.png)\)", card.text):
        assert (published / (path[0] or path[1])).is_file(), path


def test_results_on_a_dataset_of_the_hub_go_to_eval_results(published, tmp_path):
    folder = Path(shutil.copytree(published, tmp_path / "model"))
    summary = json.loads((folder / "summary.json").read_text())
    summary["data"] = ["hf://datasets/openslr/librispeech_asr/all/test.clean/*.parquet"]
    (folder / "summary.json").write_text(json.dumps(summary))
    training = json.loads((folder / "training.json").read_text())
    training["config"]["data"]["train"] = [
        "hf://datasets/speechbrain/LoquaciousSet/small/train*.parquet"
    ]
    (folder / "training.json").write_text(json.dumps(training))
    config = json.loads((folder / "config.json").read_text())
    config |= {"encoder": "facebook/hubert-large-ls960-ft@refs/pr/1", "decoder": "Qwen/Qwen3-0.6B"}
    (folder / "config.json").write_text(json.dumps(config))
    write_card(folder, "you/real", "apache-2.0")
    path = folder / ".eval_results" / "librispeech_asr-test.clean.yaml"
    [entry] = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert [entry] == hub_results(summary)
    percent = round(100 * summary["wer"], 2)
    assert (entry.dataset_id, entry.value) == ("openslr/librispeech_asr", percent)
    data = ModelCard.load(folder / "README.md").data
    assert data.base_model == ["facebook/hubert-large-ls960-ft", "Qwen/Qwen3-0.6B"]
    assert data.datasets == ["speechbrain/LoquaciousSet"]
    assert {r.dataset_type for r in data.eval_results} == {"openslr/librispeech_asr"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("hf://datasets/a/b/all/test.clean/0000.parquet", ("a/b", "test.clean")),
        ("hf://datasets/a/b/data/test-00000-of-00001.parquet", ("a/b", "test")),
        ("hf://datasets/a/b@refs%2Fpr%2F1/dev/*.parquet[:300]", ("a/b", "dev")),
        ("hf://datasets/a/b/validation.parquet", ("a/b", "validation")),
        ("data/an4/test.jsonl", None),
    ],
)
def test_dataset_and_split_of_a_source(source, found):
    assert hub_source(source) == found


def test_merging_is_line_by_line():
    base = "# a\n\none\ntwo\n\nthree\n"
    theirs = "# a\n\nmine\none\nTWO\n\n"  # one line added, one changed, one deleted
    assert merge_text(base, base, theirs) == theirs
    new = "# b\n\none\nand a half\ntwo\n\nfour\n"
    assert merge_text(new, base, theirs) == "# b\n\nmine\none\nand a half\nTWO\n\nfour\n"
    assert merge_text(new, base, base) == new
    both = merge_text("zwei\n", "two\n", "deux\n")  # changed on both sides: nothing is lost
    assert sorted(both.split()) == ["deux", "zwei"]


def test_a_card_from_before_is_kept_below():
    new = "---\nlicense: mit\n---\n# tiny\n\nSo.\n"
    merged = merge_card(new, "", "---\nlicense: cc0-1.0\n---\njust words")
    assert merged == "---\nlicense: cc0-1.0\n---\n# tiny\n\nSo.\n\njust words\n"
    assert merge_card(new, "", "---\nlicense: mit\n---\n") == new
    with pytest.raises(ValueError, match="its YAML is broken"):
        merge_card(new, "", "---\na: [\n---\n")


def test_results_that_others_added_stay_and_our_old_ones_go():
    def index(*values):
        return [{"name": "tiny", "results": [{"value": value} for value in values]}]

    base, theirs, new = ({"model-index": index(*v)} for v in ((1, 2), (1, 2, 7), (3,)))
    assert merge_data(new, base, theirs) == {"model-index": index(3, 7)}
    assert merge_data({"datasets": ["a"]}, {}, {"datasets": "b"}) == {"datasets": ["a", "b"]}


def test_nothing_but_the_model_is_published(clone):
    """Fails if a file that happens to lie in a run's folder, or where the run lay, gets out."""
    run_folder = Path(shutil.copytree(clone / "models" / "tiny-audio", clone / "runs" / "mine"))
    for name in ("tiny-hubert", "tiny-qwen3"):
        shutil.copytree(clone / "models" / name, clone / "runs" / name)
    for secret in (run_folder / ".env", run_folder / "decoder_lora" / "optimizer.pt",
                   clone / "runs" / "tiny-hubert" / ".env"):  # fmt: skip
        secret.write_text("TOKEN=1")
    summary = json.loads((run_folder / "summary.json").read_text())
    home = str(Path.home())
    summary["data"] = f"{home}/clients/acme/test.jsonl"
    (run_folder / "summary.json").write_text(json.dumps(summary))
    done = run(clone, "publish.py", "--model", "runs/mine", "--repo", "you/x", "--dry-run", "out/x")
    assert done.returncode == 0, done.stderr
    names = {p.name for p in (clone / "out" / "x").rglob("*")}
    assert not {".env", "optimizer.pt"} & names
    for path in (clone / "out" / "x").rglob("*"):
        if path.suffix in (".json", ".jsonl", ".md", ".yaml"):
            assert home not in path.read_text() and str(clone) not in path.read_text(), path
    config = json.loads((run_folder / "config.json").read_text()) | {"encoder": str(tmp := clone)}
    (run_folder / "config.json").write_text(json.dumps(config))
    done = run(clone, "publish.py", "--model", "runs/mine", "--repo", "you/x", "--dry-run", "out/y")
    assert done.returncode == 1 and f"encoder is {tmp}" in done.stderr
    assert not (clone / "out" / "y").exists()


@pytest.mark.parametrize(
    ("home", "expected"), [("/", "/home/zoë/a and data/b"), ("/home/zoë", "~/a and data/b")]
)
def test_only_folders_of_ones_own_are_left_out(home, expected, monkeypatch):
    """Also as JSON writes them; and where home is /, as in many containers, none."""
    monkeypatch.setattr(Path, "home", lambda: Path(home))
    text = f"/home/zoë/a and {Path.cwd()}/data/b"
    assert without_folders(text) == expected
    assert json.loads(without_folders(json.dumps(text))) == expected


@pytest.fixture(scope="module")
def endpoint(published):
    """The handler in this process; its code/ is the same as the tests'."""
    spec = importlib.util.spec_from_file_location("handler", published / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = list(sys.path)
    yield module.EndpointHandler(str(published))
    sys.path[:] = before


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({}, 'expected {"inputs": audio'),
        (None, 'expected {"inputs": audio'),
        ({"inputs": b"", "parameters": [1]}, 'expected {"inputs": audio'),
        ({"inputs": 3}, "expected an audio file, not int"),
        ({"inputs": "/etc/passwd"}, "expected the audio file's bytes in base64"),
        ({"inputs": "\u00e9"}, "expected the audio file's bytes in base64"),
        ({"inputs": b"rubbish"}, "not audio that can be read (Format not recognised.)"),
        ({"inputs": b"", "parameters": {"beam": 2}}, "unknown 'beam'; known: beams"),
        ({"inputs": b"", "parameters": {"beams": 99}}, "beams=99; expected 1 to 16"),
        ({"inputs": b"", "parameters": {"beams": True}}, "beams=True; expected 1 to 16"),
        ({"inputs": [b""] * 65}, "65 recordings, more than 64"),
    ],
)
def test_the_endpoint_answers_what_it_cannot_use_with_a_sentence(endpoint, request_, sentence):
    assert sentence in endpoint(request_)["error"]


def test_the_endpoint_takes_lists_and_wrapped_base64(endpoint):
    audio = SAMPLE.read_bytes()
    wrapped = "data:audio/wav;base64," + base64.encodebytes(audio).decode()
    good, bad, same = endpoint({"inputs": [audio, b"rubbish", wrapped]})
    assert good == same == {"text": "i need a bus from chicago to sydney next tuesday"}
    assert bad.keys() == {"error"}
    assert endpoint({"inputs": []}) == []


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_peft_loads_the_published_adapters_onto_the_published_bases(published, part):
    peft, transformers = requires("peft"), requires("transformers")
    kind = {"encoder": transformers.HubertModel, "decoder": transformers.Qwen3ForCausalLM}[part]
    base = kind.from_pretrained(published / part)
    model = peft.PeftModel.from_pretrained(base, published / f"{part}_lora")
    stored = load_file(published / f"{part}_lora" / "adapter_model.safetensors")
    loaded = {k.replace(".default", ""): v for k, v in model.state_dict().items() if "lora_" in k}
    assert stored.keys() == loaded.keys()
    for key, tensor in stored.items():
        assert_near(loaded[key].float(), tensor.float(), 1e-2)


def test_large_files_are_those_the_hub_takes_as_large(published):
    assert {p.suffix for p in published.rglob("*") if p.stat().st_size > 2e5 and p.is_file()} <= {
        *LARGE
    }


def test_the_leaderboard_is_made_from_its_entries(clone):
    before = (ROOT / "LEADERBOARD.md").read_text()
    for path in (clone / "hub" / "leaderboard").glob("you--*"):
        path.unlink()
    done = run(clone, "hub/leaderboard.py")
    assert done.returncode == 0, done.stderr
    assert (clone / "LEADERBOARD.md").read_text() == before
    assert "[models/tiny-audio](models/tiny-audio)" in before


@pytest.mark.parametrize(
    ("figure", "value"),
    [("wer", 0.001), ("raw_wer", 0.001), ("cer", 0.001), ("words", 7), ("wer", float("nan"))],
)
def test_an_entry_that_its_transcripts_deny_is_refused(clone, figure, value):
    path = clone / "hub" / "leaderboard" / "models--tiny-audio.json"
    true = path.read_text()
    path.write_text(json.dumps(json.loads(true) | {figure: value}))
    done = run(clone, "hub/leaderboard.py")
    path.write_text(true)
    assert done.returncode == 1 and f"{figure} is {value}, but" in done.stderr


def scored(clone: Path, lines: list[str], data: str = "espeak:test:300", **changes) -> Path:
    """A folder as the shipped model's, with these lines of results, and their summary."""
    folder = clone / "scored"
    shutil.copytree(clone / "models" / "tiny-audio", folder, dirs_exist_ok=True)
    (folder / "results.jsonl").write_text("\n".join(lines) + "\n")
    summary = summarise([json.loads(line) for line in lines])
    named = {"normalizer": "whisper", "beams": 1, "data": data} | changes
    (folder / "summary.json").write_text(json.dumps(summary | named))
    return folder


def shipped_results(clone: Path) -> list[str]:
    return (clone / "models" / "tiny-audio" / "results.jsonl").read_text().splitlines()


def free_of_errors(clone: Path, count: int) -> list[str]:
    rows = map(json.loads, shipped_results(clone))
    return [json.dumps(row) for row in rows if row["reference"] == row["hypothesis"]][:count]


@pytest.mark.parametrize("normalizer", ["whisper", "none"])
def test_an_entry_on_a_part_of_the_test_set_is_refused(clone, board, normalizer):
    """Fails if it is written, or if the entry on the whole set is blamed: aaa is read before it."""
    lines, before = free_of_errors(clone, 20), entries(clone)
    words = sum(len(json.loads(line)["reference"].split()) for line in lines)
    changes = {"normalizer": "none", "words": words} if normalizer == "none" else {}
    part = scored(clone, lines, **changes)
    sentence = "aaa--part.json: was scored on other utterances of espeak:test:300 than models/tiny"
    with pytest.raises(ValueError, match=sentence):
        board.add_entry(part, "aaa/part")
    assert entries(clone) == before


def test_without_a_shipped_model_the_larger_set_is_the_whole(clone, board):
    """Fails if the sentence names who was scored on more of it, and not who on less."""
    lines, data = free_of_errors(clone, 30), "hf://datasets/a/b/test.parquet"
    said = board.add_entry(scored(clone, lines[:20], data, limit=20), "aaa/part")
    assert f"the first 20 of {data} is no whole public test set" in said
    board.add_entry(scored(clone, lines, data), "you/whole")
    with pytest.raises(ValueError, match=r"aaa--part.json: was scored on other .* \(20, not 30\)"):
        board.add_entry(scored(clone, lines[:20], data), "aaa/part")
    with pytest.raises(ValueError, match=r"you--whole.json: was scored on other"):
        board.add_entry(scored(clone, free_of_errors(clone, 40), data), "you/more")


@pytest.mark.parametrize(
    ("data", "listed"),
    [
        ("my/test.jsonl", False), ("../test.jsonl", False), ("/my/test.jsonl", False),
        ("data/mine/test.jsonl", False), ("folder/*.parquet", False),
        ("data/an4/test.jsonl", True), ("hf://datasets/a/b/test.parquet", True),
        ("espeak:dictation:test:300", True),
    ],
)  # fmt: skip
def test_only_test_sets_that_anybody_can_get_are_listed(clone, board, data, listed):
    """Fails if a model is first in a table that nobody else can enter, or if one is left out."""
    before = entries(clone)
    said = board.add_entry(scored(clone, free_of_errors(clone, 5), data), "you/own")
    written = {"you--own.json", "you--own.jsonl"} if listed else set()
    assert entries(clone).keys() - before.keys() == written
    assert listed or f"{data} is no whole public test set" in said


def test_a_refused_entry_leaves_the_earlier_one(clone, board):
    """Fails if anything is written before all is checked."""
    lines = shipped_results(clone)
    folder = scored(clone, lines)
    board.add_entry(folder, "you/good")
    before = entries(clone)
    silent = json.dumps(json.loads(lines[0]) | {"hypothesis": None})
    for line in ("{broken", "3", "{}", silent):
        (folder / "results.jsonl").write_text("\n".join([line, *lines[1:]]))
        with pytest.raises(ValueError, match="cannot be scored"):
            board.add_entry(folder, "you/good")
        assert entries(clone) == before
    (clone / "hub" / "leaderboard" / "you--good.json").write_text("{broken")
    board.add_entry(scored(clone, lines), "you/good")  # it can be mended
    assert entries(clone) == before


@pytest.mark.parametrize("repo", ["you/a|b](x", "tiny", "you/a/b"])
def test_a_name_that_the_hub_would_not_take_is_no_entry(clone, board, repo):
    """Fails if it is written to disk, where it would break the page's table."""
    before = entries(clone)
    with pytest.raises(ValueError, match=re.escape(repo)):
        board.add_entry(clone / "models" / "tiny-audio", repo)
    assert entries(clone) == before


def test_a_rate_that_ctc_had_a_say_in_is_named_so(clone):
    """Fails if somebody who follows the card or the leaderboard would get another rate."""
    judged = clone / "judged"
    shutil.copytree(clone / "models" / "tiny-audio", judged)
    summary = json.loads((judged / "summary.json").read_text()) | {"beams": 8, "ctc": True}
    (judged / "summary.json").write_text(json.dumps(summary))
    assert "beam 8 with CTC, which is `python eval.py --beams 8 --ctc`" in result_table(summary)
    done = run(clone, "hub/leaderboard.py", "--add", "judged", "--repo", "you/judged")
    assert done.returncode == 0, done.stderr
    entry = clone / "hub" / "leaderboard" / "you--judged.json"
    assert json.loads(entry.read_text())["command"].endswith(" --beams 8 --ctc")
    for path in entry.parent.glob("you--judged*"):
        path.unlink()


@pytest.fixture
def browser():
    """Headless Chromium, where the machine has one (Debian's package is called chromium)."""
    playwright = requires("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-sync", "--disable-background-networking",
             "--disable-component-update")  # fmt: skip
    with (
        playwright.sync_playwright() as session,
        session.chromium.launch(executable_path=chromium, args=quiet) as window,
    ):
        yield window


@pytest.fixture
def space(clone, published, hub):
    """The address of the published Space, running as the Hub would run it."""
    requires("gradio")
    assert publish(clone, hub).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = hub.environment | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    env.pop("HF_TOKEN")  # a Space of a public model has none
    app = subprocess.Popen([sys.executable, "-u", "app.py"], cwd=f"{published}-space", env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    line = next((line for line in app.stdout if "Running on local URL" in line), "")
    assert str(port) in line, "the Space did not start"
    yield f"http://127.0.0.1:{port}"
    app.kill()
    app.wait()


def test_the_space_transcribes_in_a_browser_and_says_what_it_cannot_read(
    space, published, browser, tmp_path
):
    """`PICTURES=folder python -m pytest` leaves what it saw there, for a person to look at."""
    pictures = Path(os.environ.get("PICTURES", tmp_path))
    page = browser.new_page(viewport={"width": 1000, "height": 780})
    page.goto(space)
    transcript = page.locator("#transcript textarea")
    transcript.wait_for()
    summary = json.loads((published / "summary.json").read_text())
    facts = page.locator("#facts").inner_text()
    assert "you/tiny" in facts and f"{summary['wer']:.1%}" in facts and "million" in facts
    page.get_by_label("Upload file").click()
    chosen = page.locator("#recording input[type=file]")
    chosen.set_input_files(SAMPLE)
    text = json.dumps("i need a bus from chicago to sydney next tuesday")
    shown = "document.querySelector('#transcript textarea').value"
    page.wait_for_function(f"{shown} == {text}", timeout=60_000)
    page.screenshot(path=pictures / "space-transcript.png")
    page.get_by_label("Clear").first.click()
    page.wait_for_function(f"{shown} == ''")
    (tmp_path / "rubbish.wav").write_bytes(b"this is no recording" * 50)
    chosen.set_input_files(tmp_path / "rubbish.wav")
    message = page.get_by_text("rubbish.wav: not audio that can be read (Format not recognised.)")
    message.wait_for(timeout=60_000)
    page.screenshot(path=pictures / "space-rubbish.png")
    page.get_by_role("button", name="when is the next bus to houston").click()
    page.wait_for_function(f"{shown}.startsWith('when is the next')", timeout=60_000)
