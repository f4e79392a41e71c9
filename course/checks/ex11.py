"""Exercise 11: splice and label mask, as TinyAudio.forward prepares a row for the decoder."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from course.checking import equal, generator, replacing
from pretrain import IGNORE
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "splice"
SPLICE, FORWARD = TinyAudio.splice, TinyAudio.forward  # the repository's own, whatever is installed


class Recorder:
    """In the decoder's place: keeps the embeddings it is fed and the labels of the loss."""

    def __init__(self, embed, end: int):
        self.embed, self.cfg = embed, SimpleNamespace(eos_token_ids=(end,))

    def __call__(self, embeds):
        self.embeds = embeds[0]
        return torch.arange(embeds.shape[1])[None]  # as hidden states, which tell their positions

    def cross_entropy(self, positions, labels):
        self.labels = torch.full((len(self.embeds),), IGNORE)
        self.labels[positions] = labels


def reference(prefix, audio, suffix, answer_ids, embed):
    """What TinyAudio.forward gives its decoder for one utterance."""
    *text, end = answer_ids

    def embed_ids(ids: Tensor) -> Tensor:  # the prompt's parts are embedded already
        return ids if ids.is_floating_point() else embed(ids)

    model = SimpleNamespace(
        prefix_ids=prefix, suffix_ids=suffix, device=prefix.device,
        encode=lambda waveforms, lengths: [audio], splice=lambda audio: SPLICE(model, audio),
        tokenizer=SimpleNamespace(encode=list), decoder=Recorder(embed_ids, end),
    )  # fmt: skip
    FORWARD(model, SimpleNamespace(waveforms=None, lengths=None, texts=[text]))
    return model.decoder.embeds, model.decoder.labels


def arguments(model, audio, answer_ids):
    embed = model.decoder.embed
    return embed(model.prefix_ids), audio, embed(model.suffix_ids), answer_ids, embed


def installed(piece):
    def splice(self, audio):
        # With nothing but the end token as its answer, the sequence is the prompt alone.
        return piece(*arguments(self, audio, [self.decoder.cfg.eos_token_ids[0]]))[0]

    return replacing((TinyAudio, "splice"))(splice)


@torch.inference_mode()
def run(solution, audio) -> str:
    """The transcript of spliced prompts, and the loss of that transcript at the piece's labels."""
    model = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu")
    with installed(solution):
        text = model.transcribe(audio)
    waveform = torch.as_tensor(audio[0])
    tokens = model.encode(waveform[None], torch.tensor([len(waveform)]))[0]
    answer = [*model.tokenizer.encode(text), model.decoder.cfg.eos_token_ids[0]]
    embeds, labels = solution(*arguments(model, tokens, answer))
    targets = labels != IGNORE
    hidden = model.decoder(embeds[None])[0]
    loss = model.decoder.cross_entropy(hidden[targets], labels[targets]) / targets.sum()
    return f"{text} (loss {loss:.3f} per token, {int(targets.sum())} tokens)"


def check(solution) -> None:
    g = generator()
    table = torch.randn(50, 4, generator=g)

    def embed(ids):
        return F.embedding(ids, table)

    def compare(sizes, answer: int, case: str, embeds_hint: str, labels_hint: str, dtype=None):
        case = f"{case} {tuple(sizes)}, {answer} answer ids"
        prefix, audio, suffix = (torch.randn(n, 4, generator=g) for n in sizes)
        ids = torch.randperm(50, generator=g)[:answer].tolist()  # none of them twice
        prompt = prefix.to(dtype), audio, suffix.to(dtype)
        yours, labels = solution(*prompt, list(ids), lambda ids: embed(ids).to(dtype))
        embeds, expected = reference(*prompt, ids, lambda ids: embed(ids).to(dtype))
        equal(yours, embeds, f"{case}: the embeddings", embeds_hint)
        equal(labels, expected, f"{case}: the labels", labels_hint)
        return yours, labels

    order = "prefix, audio, suffix, then the answer without its end token"
    shifted = "a label is the token that comes next, or -100 where that is none of the answer's"
    compare((1, 1, 1), 2, "prefix, audio and suffix of", order, shifted)
    hint = "the prompt has the label -100, but for its last position"
    compare((3, 5, 2), 4, "prefix, audio and suffix of", order, hint)
    hint = "an empty text still ends: the prompt's last position predicts the end token"
    compare((2, 3, 2), 1, "nothing but the end token after", "then only the prompt is fed", hint)
    sizes = [int(n) for n in torch.randint(1, 20, (4,), generator=g)]
    compare(sizes[:3], sizes[3] + 4, "prefix, audio and suffix of", order, shifted)
    hint = "torch.cat of bfloat16 and float32 gives float32: bring the audio to the prefix's dtype"
    yours, labels = compare((3, 5, 2), 4, "a bfloat16 decoder, float32 audio", hint, shifted,
                            torch.bfloat16)  # fmt: skip
    equal(yours.dtype, torch.bfloat16, "the embeddings' dtype for a bfloat16 decoder", hint)
    equal(labels.dtype, torch.int64, "the labels' dtype", "the loss takes class indices as int64")
