"""The README tells the truth about the repository: paths, commands, line counts."""

import re
import shlex

import pytest
from conftest import ROOT, run_script

README = (ROOT / "README.md").read_text()
MEASURED = ROOT / "benchmarks" / "README.md"
TEXTS = [ROOT / "README.md", MEASURED, ROOT / "models" / "README.md"]
COMMANDS = [
    line.strip()
    for path in TEXTS
    for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.S)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


def code_lines(path):
    """Lines of code: not blank, no comment, no docstring."""
    import ast
    import tokenize

    documentation, code = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                documentation |= set(range(value.lineno, value.end_lineno + 1))
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
                code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - documentation)


def test_the_table_of_files_has_the_right_line_counts():
    rows = re.findall(r"^\| `(\w+\.py)` \| (\d+) \|", README, re.M)
    assert {name for name, _ in rows} == {p.name for p in ROOT.glob("*.py")}
    for name, count in rows:
        assert int(count) == code_lines(ROOT / name), name


def test_the_reading_budget():
    six = ("tinyaudio", "lora", "projector", "train", "eval", "publish")
    files = [ROOT / f"{name}.py" for name in six if (ROOT / f"{name}.py").exists()]
    assert sum(map(code_lines, files)) <= 1200
    assert code_lines(ROOT / "data.py") <= 250


def test_every_path_exists():
    for text in TEXTS:
        for path in re.findall(r"\]\((?!http)([^)#]+)", text.read_text()):
            assert (text.parent / path).exists(), (text, path)
    for command in COMMANDS:
        for word in re.split(r"[\s;&|]+", command):
            if re.fullmatch(r"(configs|samples|models|tests|benchmarks)/\S+|\w+\.py", word):
                assert list(ROOT.glob(word.removesuffix("/"))), word


@pytest.mark.parametrize("script", sorted({w for c in COMMANDS for w in shlex.split(c)
                                           if w.endswith(".py")}))  # fmt: skip
def test_every_script_explains_itself(script):
    done = run_script(script, "-h")
    assert done.returncode == 0 and "usage:" in done.stdout
    for command in COMMANDS:
        for part in command.split("&&"):
            if script in shlex.split(part):
                for option in re.findall(r"(--[a-z-]+)", part.split(script, 1)[1]):
                    assert option in done.stdout, (script, option)


def test_ci_runs_what_the_readme_says():
    ci = (ROOT / ".ci" / "run").read_text()
    packages, tests = "-r requirements.txt -r tests/requirements.txt", "python -m pytest -n 2"
    assert f"pip install {packages} && {tests}" in README
    assert packages in ci and tests in ci


def test_the_table_of_benchmarks_is_complete():
    rows = re.findall(r"^\| `(\w+\.py)` \|", MEASURED.read_text(), re.M)
    helpers = {"runs.py", "shapes.py"}  # no commands
    assert set(rows) | helpers == {p.name for p in (ROOT / "benchmarks").glob("*.py")}
