"""The decoder against transformers' Qwen3, Qwen2.5 and Llama, and against its own definition."""

import itertools
import json

import pytest
import torch
from conftest import assert_near, randomise, requires
from safetensors.torch import load_file, save_file

from beam import beam_search, n_best
from benchmarks.shapes import HUBERT_LARGE, QWEN3_0_6B
from checkpoints import HubertConfig, Qwen3Config
from tinyaudio import Qwen3

transformers = requires("transformers")

SMALL = {
    "vocab_size": 97, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 80, "tie_word_embeddings": False,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
THETA = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
VARIANTS = {
    "Qwen3": THETA | {"head_dim": 20},
    "Qwen3-tied": THETA | {"head_dim": 20, "tie_word_embeddings": True},
    "Qwen3-bias": {"head_dim": 8, "attention_bias": True},
    "Qwen2": THETA,
    "Qwen2-tied": {"tie_word_embeddings": True},
    "Llama": {},
    "Llama-multi_head": {"num_key_value_heads": 4},
    "Llama-bias": {"attention_bias": True},
    "Llama-tied": {"tie_word_embeddings": True},
    "Llama-rope": {"rope_parameters": LLAMA3},
}
WEIGHT = "model.layers.2.mlp.up_proj.weight"


def make(folder, variant="Qwen3", seed=0, shard="1GB", **config):
    """A random model of transformers, saved to the folder."""
    cls = getattr(transformers, variant.split("-")[0] + "ForCausalLM")
    model = randomise(cls(cls.config_class(**SMALL | VARIANTS[variant] | config)), seed)
    model.save_pretrained(folder, max_shard_size=shard)
    return model


def both(folder, variant="Qwen3", **config):
    theirs = make(folder, variant, **config)
    return Qwen3.from_pretrained(folder, dtype=torch.float32), theirs


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tokens(*shape, vocabulary=97):
    return torch.randint(1, vocabulary, shape, generator=torch.manual_seed(1))


def left_padded(*lengths):
    """Random ids (B, S), padding on the left, and their mask."""
    mask = torch.arange(max(lengths)) >= max(lengths) - torch.tensor(lengths)[:, None]
    return tokens(*mask.shape) * mask, mask


def assert_same(ours, theirs, ids):
    expected = theirs(ids, output_hidden_states=True)
    hidden = ours(input_ids=ids)
    assert_near(hidden, expected.hidden_states[-1])
    assert_near(ours.logits(hidden), expected.logits)
    assert_near(ours(ours.embed(ids)), hidden)


@pytest.mark.parametrize("shard", ["1GB", "30KB"], ids=["one_file", "sharded"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_transformers(tmp_path, variant, shard):
    """Fails if a tensor is forgotten, swapped, or goes through another formula."""
    ours, theirs = both(tmp_path, variant, shard=shard)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "30KB")
    assert_same(ours, theirs, tokens(2, 100))


@pytest.mark.parametrize("variant", ["Qwen3", "Qwen2", "Llama-rope"])
def test_old_config(tmp_path, variant):
    """Fails if files of before transformers 5 lose their rope_theta, top-level there."""
    theirs = make(tmp_path, variant)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope["rope_type"] == "llama3" else None
    path.write_text(json.dumps(config))
    assert_same(Qwen3.from_pretrained(tmp_path, dtype=torch.float32), theirs, tokens(2, 100))


def test_keys_without_use(tmp_path):
    """Fails if Qwen3-0.6B's redundant lm_head or an old Llama's inv_freq stops the loading."""
    theirs = make(tmp_path, "Qwen3-tied")
    state = load_file(tmp_path / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(10)
    save_file(state, tmp_path / "model.safetensors")
    assert_same(Qwen3.from_pretrained(tmp_path, dtype=torch.float32), theirs, tokens(2, 9))


@pytest.mark.parametrize("variant", ["Qwen3", "Qwen3-tied", "Qwen2", "Llama", "Llama-rope"])
def test_generates_what_transformers_does(tmp_path, variant):
    """Fails if the cache, the positions or the mask go wrong after the prompt, padded or not."""
    ours, theirs = both(tmp_path, variant)
    ids, mask = left_padded(3, 17, 9)
    length = ids.shape[1]
    expected = theirs.generate(ids, attention_mask=mask.long(), max_new_tokens=50, do_sample=False)
    written = ours.generate(ids, 50, mask=mask)
    assert written.tolist() == expected[:, length:].tolist()
    for row, count in enumerate(mask.sum(1)):
        alone = ids[row : row + 1, length - count :]
        assert ours.generate(alone, 50).tolist() == written[row : row + 1].tolist()


@pytest.mark.parametrize("variant", ["Qwen3", "Qwen2", "Llama-rope"])
def test_generate_equals_its_definition(tmp_path, variant):
    """Fails if the cache changes what is written."""
    ours, _ = both(tmp_path, variant)
    ids = tokens(2, 7)
    assert ours.generate(ids, 20).tolist() == ours.generate_uncached(ids, 20).tolist()
    embeds = ours.embed(ids)
    assert ours.generate(inputs_embeds=embeds, max_new_tokens=20).tolist() == (
        ours.generate(ids, 20).tolist()
    )


def test_one_pass_a_token(tmp_path):
    """Fails if generation computes more than it needs: n tokens take n passes."""
    ours, _ = both(tmp_path)
    sizes = []
    ours.register_forward_hook(lambda module, inputs, hidden: sizes.append(hidden.shape[1]))
    ours.generate(tokens(2, 7), 5)
    assert sizes == [7, 1, 1, 1, 1]


def test_padding_on_either_side(tmp_path):
    """Fails if a valid position sees padding, or is moved by it."""
    ours, theirs = both(tmp_path)
    ids, mask = left_padded(4, 11, 7)
    hidden = ours(input_ids=ids, mask=mask)
    right = ours(input_ids=ids.flip(1), mask=mask.flip(1))
    unmasked = ours(input_ids=ids.flip(1))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    expected = theirs.model(ids, attention_mask=mask.long(), position_ids=positions)[0]
    assert_near(hidden[mask], expected[mask])
    assert hidden.isfinite().all()
    for row, count in enumerate(mask.sum(1)):
        assert_near(hidden[row, -count:], ours(input_ids=ids[row : row + 1, -count:])[0])
        alone = ours(input_ids=ids[row : row + 1, -count:].flip(1))[0]
        assert_near(right[row, :count], alone)
        assert_near(unmasked[row, :count], alone)


@pytest.mark.parametrize("variant", ["Qwen3", "Qwen2", "Llama-rope"])
@pytest.mark.parametrize("padding", [0, 3])
def test_cached_equals_uncached(tmp_path, variant, padding):
    """Fails if any step through the cache differs from a whole forward pass."""
    ours, _ = both(tmp_path, variant)
    ids, mask = left_padded(16, 16 - padding)
    cache, start = ours.new_cache(2, 16), 0
    for size in (5, 3, *[1] * 8):  # a prompt, a piece of several tokens, single tokens
        part = slice(start, start + size)
        cached = ours.logits(ours(input_ids=ids[:, part], mask=mask[:, part], cache=cache))
        whole = ours.logits(ours(input_ids=ids[:, : part.stop], mask=mask[:, : part.stop]))
        assert_near(cached[mask[:, part]], whole[:, part][mask[:, part]])
        start = part.stop


def test_generation_ends(tmp_path):
    """Fails if a row runs on behind its end token, or ends the rows beside it."""
    ours, _ = both(tmp_path)
    ids, mask = left_padded(3, 9, 6)
    free = ours.generate(ids, 30, mask=mask).tolist()
    eos = (free[0][4], free[1][7])
    ends = [next((i for i, t in enumerate(row) if t in eos), 29) + 1 for row in free]
    assert len(set(ends)) > 1
    expected = [
        row[:end] + [eos[0]] * (max(ends) - end) for row, end in zip(free, ends, strict=True)
    ]
    assert ours.generate(ids, 30, eos, mask).tolist() == expected
    steps = ours.steps(ours.embed(ids), 30, (), mask, stop=lambda row: len(row) == 3)
    assert torch.stack(list(steps), 1).tolist() == [row[:3] for row in free]


def whole(ours, ids):
    """Embeddings of prompts without padding, and their mask."""
    return ours.embed(ids), torch.ones(ids.shape, dtype=torch.bool)


@pytest.mark.parametrize("seed", range(3))
def test_one_beam_is_greedy(tmp_path, seed):
    """Fails if a search that keeps one hypothesis finds another than the greedy one."""
    ours, _ = both(tmp_path, seed=seed, vocab_size=20)  # few tokens: ends are never far off
    prompt = tokens(1, 5, vocabulary=20)
    free = ours.generate(prompt, 8)[0].tolist()
    for eos in ((), *itertools.combinations(range(8), 2)):
        end = next((i for i, t in enumerate(free) if t in eos), 8)
        assert beam_search(ours, *whole(ours, prompt), 1, [8], eos) == [free[:end]]


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_beam_search_where_ends_lead(tmp_path, beams):
    """Fails if end tokens on all the first ranks leave the search without a hypothesis."""
    ours, _ = both(tmp_path)
    prompt = tokens(1, 5)
    eos = ours.logits(ours(input_ids=prompt)[0, -1]).topk(2 * beams).indices.tolist()
    assert beam_search(ours, *whole(ours, prompt), beams, [6], tuple(eos)) == [[]]


@pytest.mark.parametrize("eos", [(0,), (0, 3), ()])
@pytest.mark.parametrize("seed", range(3))
def test_many_beams_find_the_best(tmp_path, seed, eos):
    """Fails if a score, a reordered cache row or the early stop is wrong.

    Text that has ended comes before text that was cut off at the limit.
    """
    V, horizon = 5, 4
    ours, _ = both(tmp_path, seed=seed, vocab_size=V)
    prompt = tokens(1, 3, vocabulary=V)
    every = torch.tensor(list(itertools.product(range(V), repeat=horizon)))
    hidden = ours(input_ids=torch.cat((prompt.expand(len(every), -1), every), dim=1))
    steps = ours.logits(hidden[:, 2:-1]).log_softmax(-1).gather(2, every[..., None])[..., 0]
    totals = {}
    for ids, scores in zip(every.tolist(), steps, strict=True):
        end = next((i for i, t in enumerate(ids) if t in eos), horizon)
        if end < horizon or not eos:
            totals[tuple(ids[: end + 1])] = scores[: end + 1].sum().item()  # the end token counts

    def ended(ids: tuple) -> list:
        return [t for t in ids if t not in eos]

    ranked = sorted(totals, key=lambda ids: -totals[ids] / len(ids))
    search = (ours, *whole(ours, prompt), V**horizon, [horizon], eos)
    assert beam_search(*search) == [ended(ranked[0])]
    (found,) = n_best(*search)
    if eos:
        assert [ids for ids, _ in found] == [ended(ids) for ids in ranked]
        assert [total for _, total in found] == pytest.approx([totals[ids] for ids in ranked])
    else:  # none has ended: all are there, the most probable first
        assert [ids for ids, _ in found] == [list(ids) for ids in ranked]


def test_loaded_model_is_frozen(tmp_path):
    make(tmp_path)
    model = Qwen3.from_pretrained(tmp_path)
    assert not model.training
    assert {(p.dtype, p.requires_grad) for p in model.parameters()} == {(torch.bfloat16, False)}


@pytest.mark.parametrize("config", [QWEN3_0_6B, HUBERT_LARGE])
@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size"])
def test_a_config_that_lacks_a_key_says_which(config, key):
    read = (Qwen3Config if config is QWEN3_0_6B else HubertConfig).from_dict
    with pytest.raises(ValueError, match=f"^a/config.json: does not say {key}$"):
        read({name: value for name, value in config.items() if name != key}, "a/config.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mistral"}, "mistral"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"use_sliding_window": True}, "sliding"),
    ],
)
def test_unsupported_config(tmp_path, changes, message):
    """Fails if a variant that is computed differently loads without a word."""
    make(tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        Qwen3.from_pretrained(tmp_path)


def missing(state):
    return {k: v for k, v in state.items() if k != WEIGHT}


def unexpected(state):
    return state | {"model.extra.weight": torch.ones(3)}


def misshaped(state):
    return state | {WEIGHT: torch.ones(3, 5)}


@pytest.mark.parametrize(
    ("edit", "key"),
    [(missing, WEIGHT), (unexpected, "model.extra.weight"), (misshaped, WEIGHT)],
)
def test_keys_that_do_not_fit_are_listed(tmp_path, edit, key):
    """Fails if a model is left half random by a file that does not fit it."""
    make(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file(edit(state), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=key):
        Qwen3.from_pretrained(tmp_path)


def test_untied_model_needs_its_head(tmp_path):
    """Fails if logits of an untied model could come from nowhere."""
    make(tmp_path, "Qwen3-tied")
    edit_config(tmp_path, tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"lm_head\.weight"):
        Qwen3.from_pretrained(tmp_path)


@pytest.mark.parametrize("only_best", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_prompts_are_searched_together_as_alone(tmp_path, seed, only_best):
    """Fails if one prompt's search sees another's padding, rows, beams, limit or end."""
    ours, _ = both(tmp_path, seed=seed, vocab_size=12)
    ids, mask = left_padded(3, 9, 1, 6)
    ids, limits = ids % 12, [9, 4, 12, 7]
    eos = (ids[0, -1].item(), 5)

    def search(rows):
        some, own = mask[rows], [limits[row] for row in rows]
        first = int(some.any(0).int().argmax())  # alone a prompt has no padding
        embeds = ours.embed(ids[rows])[:, first:]
        return n_best(ours, embeds, some[:, first:], 3, own, eos, only_best)

    together, alone = search([0, 1, 2, 3]), [search([row])[0] for row in range(4)]
    assert [[ids for ids, _ in found] for found in together] == [
        [ids for ids, _ in found] for found in alone
    ]
    for some, same in zip(together, alone, strict=True):
        assert [total for _, total in some] == pytest.approx([total for _, total in same], 1e-4)
    assert len({len(found[0][0]) for found in together}) > 1  # they did not end at the same time
