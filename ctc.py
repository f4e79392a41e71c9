"""The encoder's own opinion: CTC (Graves et al. 2006), the layer of letters that checkpoints which
were fine-tuned on speech bring along. TinyAudio has no use for it. As a second judge of what the
beam found it saves many errors (benchmarks/README.md has figures; Watanabe et al. 2017, "Hybrid
CTC/Attention Architecture for End-to-End Speech Recognition"):

    JointTinyAudio.from_pretrained("models/tiny-audio").transcribe("samples/1.wav")
"""

import itertools
import json
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beam import n_best
from checkpoints import checkpoint_folder, load_weights, read_config
from tinyaudio import Hubert, HubertConfig, TinyAudio, normalise

WEIGHT = 0.3  # of CTC beside the decoder; ESPnet's
BEAMS = 8  # hypotheses to choose among


class HubertCTC(Hubert):
    """HubertForCTC and Wav2Vec2ForCTC as published: an encoder, here without LoRA, and its letters.

    `letters[0]` is the blank, "|" the space, and letters are upper case, as in facebook's.
    """

    def __init__(self, cfg: HubertConfig, letters: list[str]):
        super().__init__(cfg)
        self.letters, self.lm_head = letters, nn.Linear(cfg.hidden_size, len(letters))

    @classmethod
    def from_pretrained(cls, id_or_dir, dtype=torch.float32, device="cpu") -> "HubertCTC":
        """From a folder in the Hub's format or a Hub id.

        Raises ValueError or FileNotFoundError, also where the checkpoint has no layer of letters,
        or letters in another order or case.
        """
        folder = checkpoint_folder(id_or_dir)
        if not (vocab := folder / "vocab.json").is_file():
            raise FileNotFoundError(f"{vocab}: not there; the encoder was not fine-tuned by CTC")
        numbers = json.loads(vocab.read_text(encoding="utf-8"))
        if numbers.get("<pad>") != 0 or not {"|", "A", "Z"} <= numbers.keys():
            raise ValueError(f"{vocab}: expected <pad> as number 0, | and upper-case letters")
        with torch.device("meta"):
            cfg = HubertConfig.from_dict(read_config(folder), folder / "config.json")
            model = cls(cfg, sorted(numbers, key=numbers.get))

        def rename(key: str) -> str | None:
            key = key.removeprefix("hubert.").removeprefix("wav2vec2.")
            return None if key == "masked_spec_embed" else key

        return load_weights(model, folder, rename, dtype, device)

    def log_probs(self, waveform: Tensor) -> Tensor:
        """Waveform (T,) -> log-probabilities of the letters in each frame (F, V)."""
        waveforms = waveform.to(self.lm_head.weight.device)[None]
        lengths = torch.tensor([len(waveform)])
        hidden, _ = self(normalise(waveforms, lengths), lengths)
        return self.lm_head(hidden[0]).float().log_softmax(-1)

    def encode(self, text: str) -> Tensor:
        """The numbers (L,) of a text's letters; what has none (a digit, a comma) is left out."""
        numbers = {letter: n for n, letter in enumerate(self.letters)}
        words = ["".join(c for c in word if c in numbers) for word in text.upper().split()]
        return torch.tensor([numbers[c] for c in "|".join(filter(None, words))], dtype=torch.long)

    def decode(self, best: Iterable[int]) -> str:
        """The letter of each frame -> text: repeats joined, blanks dropped."""
        letters = [self.letters[k] for k, _ in itertools.groupby(best) if k]
        return " ".join("".join(letters).replace("|", " ").lower().split())

    @torch.inference_mode()
    def transcribe(self, waveform: Tensor) -> str:
        """The best letter of each frame, without decoder or language model."""
        return self.decode(self.log_probs(waveform).argmax(-1).tolist())

    @torch.inference_mode()
    def score(self, waveform: Tensor, texts: list[str]) -> Tensor:
        """log p(text | waveform) of each text, over all its alignments: (N,)."""
        log_probs = self.log_probs(waveform).cpu()  # (F, V): small, and MPS has no ctc_loss
        targets = [self.encode(text) for text in texts]
        return -F.ctc_loss(
            log_probs[:, None].expand(-1, len(texts), -1), torch.cat(targets),
            (len(log_probs),) * len(texts), tuple(map(len, targets)), reduction="none",
        )  # fmt: skip


class JointTinyAudio(TinyAudio):
    """A TinyAudio that asks its encoder's letters which of the beam's hypotheses they believe.

    The encoder is loaded a second time, without LoRA: its letters were trained on that. `stream`
    is TinyAudio's, greedy and without them.
    """

    @classmethod
    def from_config(cls, cfg, device="cpu", dtype=torch.float32, weights=True):
        model = super().from_config(cfg, device, dtype, weights)
        model.ctc = HubertCTC.from_pretrained(cfg.encoder, dtype, device)
        return model

    def transcribe(self, audio, beams: int = BEAMS, max_new_tokens: int | None = None):
        """As TinyAudio's, with beams to choose among."""
        return super().transcribe(audio, beams, max_new_tokens)

    def transcribe_pieces(self, pieces: list[Tensor], beams: int, max_new_tokens) -> list[str]:
        """As TinyAudio's, but of the hypotheses that of the highest joint log-probability.

        Raises ValueError where there is nothing to choose: with one beam.
        """
        if beams < 2:
            raise ValueError("with CTC one beam leaves nothing to choose among: ask for more")
        texts, eos = [], self.decoder.cfg.eos_token_ids
        limits = [max_new_tokens or self.token_limit(piece) for piece in pieces]
        found = n_best(self.decoder, *self.prompts(pieces), beams, limits, eos)
        for piece, hypotheses in zip(pieces, found, strict=True):
            written = [self.finish(ids) for ids, _ in hypotheses]
            decoder = torch.tensor([score for _, score in hypotheses])
            joint = (1 - WEIGHT) * decoder + WEIGHT * self.ctc.score(piece, written)
            texts.append(written[joint.argmax()])
        return texts
