"""A page to try a Tiny Audio model on: speak, or choose a recording, and read along.

    python hub/app.py --model runs/tiny      # here, http://127.0.0.1:7860 (pip install 'gradio>=6')

In a Space (`python publish.py --space`) the model is the one that its README.md names.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from huggingface_hub import hf_hub_download, metadata_load

# The model's code is one folder up in the repository, in code/ in a Space.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "code"))
from configs import plain_errors
from tinyaudio import DEFAULT_MODEL, TinyAudio, load_audio

HERE = Path(__file__).resolve().parent
SPACE = (HERE / "code").is_dir()
SAMPLES = (HERE if SPACE else HERE.parent) / "samples"
CSS = """
.gradio-container {max-width: 46rem !important; margin: 0 auto !important}
#transcript textarea {font-size: 1.35rem; line-height: 1.5}
#facts {color: var(--body-text-color-subdued)}
footer {display: none !important}
"""


def page(name: str) -> gr.Blocks:
    """The page for a model by folder or Hub id."""
    model = TinyAudio.from_pretrained(name)

    def transcribe(recording: str | None) -> Iterator[tuple[str, str]]:
        """The transcript as it grows, and what is to be said about it."""
        if recording is None:
            yield "", ""
            return
        try:
            waveform = load_audio(recording)
        except (OSError, ValueError) as error:
            reason = str(error).replace(str(Path(recording).parent) + os.sep, "")
            yield "", f"⚠️ {reason}"
            return
        text = ""
        for piece in model.stream(waveform):
            text += piece
            yield text, "…"
        yield text, "" if text else "Nothing was heard in it."

    with gr.Blocks(title=f"{name} · Tiny Audio") as blocks:
        gr.Markdown(f"# Tiny Audio\n{facts(name)}", elem_id="facts")
        recording = gr.Audio(
            sources=["microphone", "upload"], type="filepath", label="Speak, or choose a file",
            elem_id="recording",
        )  # fmt: skip
        transcript = gr.Textbox(
            label="Transcript", lines=3, interactive=False, elem_id="transcript",
            placeholder="What is said appears here, word by word.", buttons=["copy"],
        )  # fmt: skip
        note = gr.Markdown(elem_id="note")
        recording.change(transcribe, recording, [transcript, note], show_progress="hidden")
        with (SAMPLES / "manifest.jsonl").open(encoding="utf-8") as lines:
            samples = [json.loads(line) for line in lines]
        gr.Examples(
            [[str(SAMPLES / sample["audio"])] for sample in samples], recording, label="Examples",
            example_labels=[sample["text"] for sample in samples],
        )  # fmt: skip
    return blocks


def facts(name: str) -> str:
    """The model's name, rates and size, from its training.json and summary.json."""

    def read(file: str) -> dict:
        path = Path(name) / file if Path(name).is_dir() else hf_hub_download(name, file)
        return json.loads(Path(path).read_text(encoding="utf-8"))

    title = f"`{Path(name).name}`" if Path(name).is_dir() else f"[{name}](https://hf.co/{name})"
    try:
        training, summary = read("training.json"), read("summary.json")
    except OSError:
        return f"**{title}**"
    beams, judge = summary["beams"], " and CTC" if summary.get("ctc") else ""
    search = f" with beam {beams}{judge} (this page streams, so it is greedy)" if beams > 1 else ""
    return (
        f"**{title}** · word error rate **{summary['wer']:.1%}**{search} on "
        f"{summary['utterances']} test utterances · "
        f"{training['parameters_trained'] / 1e6:,.1f} million parameters trained, "
        f"{training['parameters_frozen'] / 1e6:,.1f} million frozen"
    )


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    named = metadata_load(HERE / "README.md")["models"][0] if SPACE else str(DEFAULT_MODEL)
    parser.add_argument("--model", default=named, help="folder or Hub id of a saved model")
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", 7860)))
    args = parser.parse_args()
    blocks = page(args.model)
    blocks.queue(max_size=20).launch(
        server_port=args.port, css=CSS, theme=gr.themes.Soft(), allowed_paths=[str(SAMPLES)]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
