"""README and course say what the code does: what stands before its output is run.

In the Markdown, a block of commands or Python followed at once by a block without a language is a
promise; `...` in it stands for anything. `<!-- not run: why -->` before the commands takes it back.
`python tests/test_texts.py` writes the outputs anew, where they differ, for a person to read.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "course").glob("*.md"))]
BLOCK = r"((?!```)[^\n]*\n)*"
PROMISE = re.compile(
    r"(?P<not_run><!-- not run: [^\n]* -->\n)?"
    rf"```(?P<language>bash|python)\n(?P<command>{BLOCK})```\n\n```\n(?P<output>{BLOCK})```\n"
)


def promises() -> list:
    return [
        pytest.param(found, id=f"{path.stem}-{found['command'][:40]}")
        for path in TEXTS for found in PROMISE.finditer(path.read_text(encoding="utf-8"))
        if not found["not_run"]
    ]  # fmt: skip


def run(found: re.Match) -> str:
    """What the block prints, in the repository, with this Python."""
    interpreter = {"bash": ["bash", "-ec"], "python": [sys.executable, "-c"]}[found["language"]]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    done = subprocess.run([*interpreter, found["command"]], cwd=ROOT, env=environment, timeout=120,
                          capture_output=True, text=True)  # fmt: skip
    return done.stdout if not done.returncode else done.stdout + done.stderr


def fits(printed: str, promised: str) -> bool:
    pattern = ".*".join(map(re.escape, promised.strip().split("...")))
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


@pytest.mark.parametrize("found", promises())
def test_a_block_prints_what_the_text_says(found):
    printed = run(found)
    assert fits(printed, found["output"]), printed


def test_dots_stand_for_anything_and_nothing_else_does():
    assert fits("one\ntwo 3.1\n", "one\ntwo ...\n") and fits("a\nb\nc", "a\n...\nc")
    assert not fits("one\ntwo", "one\n") and not fits("1x0", "1.0")


def rewrite(found: re.Match) -> str:
    if found["not_run"] or fits(printed := run(found), found["output"]):
        return found[0]
    return found[0].replace(f"```\n{found['output']}```", f"```\n{printed}```")


if __name__ == "__main__":
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        path.write_text(PROMISE.sub(rewrite, text), encoding="utf-8")
