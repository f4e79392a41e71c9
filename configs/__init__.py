"""Reads this folder's YAML files into frozen dataclasses: every key known, every type checked.

And what every command does with what it is given.
"""

import argparse
import dataclasses
import difflib
import functools
import math
import os
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path

import yaml

COMMAND_LINE = "the command line"


def read_config(cls: type, path: str | Path, overrides: list[str] = (), defaults=None):
    """An instance of the dataclass `cls` from a YAML file and overrides such as "train.lr=1e-4".

    What neither names is as in `defaults`, an instance, or as the class has it.
    Raises ValueError that names the file, the line and what was expected.
    """
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such config file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder; expected a YAML file") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    values = parse_section(cls, root, "", str(path)) if root is not None else {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"{override}: expected key.path=value")
        try:
            node = yaml.compose(text) or yaml.ScalarNode("", "")
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{override}: not valid YAML: {reason}") from None
        for key in reversed(name.split(".")):
            node = yaml.MappingNode("", [(yaml.ScalarNode("", key), node)])
        values = merge(values, parse_section(cls, node, "", COMMAND_LINE))
    return build(defaults or cls(), values)


def parse_section(cls: type, node: yaml.Node, prefix: str, source: str) -> dict:
    """A YAML mapping as {field name: value}, sections nested."""
    hints, values = typing.get_type_hints(cls), {}
    if not isinstance(node, yaml.MappingNode):
        name = prefix.removesuffix(".") or "the file"
        raise ValueError(f"{name}: expected a section with keys ({where(node, source)})")
    for key_node, value in node.value:
        key, name = key_node.value, prefix + key_node.value
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1, cutoff=0.6)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(hints)}"
            raise ValueError(f"{name}: unknown key; {hint} ({where(key_node, source)})")
        if dataclasses.is_dataclass(hints[key]):
            values[key] = parse_section(hints[key], value, name + ".", source)
        else:
            values[key] = parse_value(hints[key], value, name, source)
    return values


def parse_value(kind: type, node: yaml.Node, name: str, source: str, signed: bool = False):
    """A YAML scalar or list as the type of the field it is for. Numbers outside of lists (decibels
    are in one) are finite and not negative."""
    if typing.get_origin(kind) is tuple:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        inner = typing.get_args(kind)[0]
        return tuple(parse_value(inner, item, name, source, signed=True) for item in items)
    if isinstance(kind, types.UnionType):  # "int | None"
        if isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "none"):
            return None
        kind = typing.get_args(kind)[0]
    text = node.value
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        value = kind(text.replace("_", "")) if kind in (int, float) else str(text)
    except (ValueError, KeyError, AttributeError, TypeError):
        shown = text if isinstance(text, str) else "a list"
        raise ValueError(
            f"{name}={shown}: expected {'an' if kind is int else 'a'} {kind.__name__} "
            f"({where(node, source)})"
        ) from None
    if kind in (int, float) and not (math.isfinite(value) and (signed or value >= 0)):
        raise ValueError(f"{name}={text}: expected 0 or more ({where(node, source)})")
    return value


def at_least(lowest: int, section: str, config, *names: str) -> None:
    """Raises ValueError where one of these settings is lower."""
    for name in names:
        if getattr(config, name) < lowest:
            value = getattr(config, name)
            raise ValueError(f"{section}.{name}={value}: expected at least {lowest}")


ADVICE = {  # what PyTorch says of an error, and what to do
    "out of memory": "in training, lower data.batch_seconds or set train.recompute=true",
    "DataLoader worker": "it may have had too little memory; lower data.workers or data.buffer",
}


def plain_errors(main: Callable[[], int | None]) -> Callable[[], int | None]:
    """A command whose OSError or ValueError is one sentence on stderr, and exit status 1; so is a
    lack of memory. Of several ranks, each says which it is."""

    @functools.wraps(main)
    def plainly() -> int | None:
        try:
            return main()
        except (OSError, ValueError) as error:
            sentence = error
        except RuntimeError as error:
            advice = [text for sign, text in ADVICE.items() if sign in str(error)]
            if not advice:
                raise
            sentence = f"{str(error).splitlines()[0]} ({advice[0]})"
        except KeyboardInterrupt:
            return 130  # as a shell says it
        rank = os.environ.get("RANK")
        print(f"rank {rank}: {sentence}" if rank else sentence, file=sys.stderr)
        return 1

    return plainly


def positive(text: str) -> int:
    """For argparse: a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """For argparse: a time greater than 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, more than 0")
    return value


def where(node: yaml.Node, source: str) -> str:
    """The place of a node, for errors; overrides have no lines."""
    return source if source == COMMAND_LINE else f"{source}, line {node.start_mark.line + 1}"


def merge(values: dict, new: dict) -> dict:
    """`new` over `values`, section by section."""
    return values | {
        k: merge(values[k], v) if isinstance(v, dict) and isinstance(values.get(k), dict) else v
        for k, v in new.items()
    }


def build(default, values: dict):
    """A copy of the dataclass instance `default` with the given values; other keys are ignored.

    Raises ValueError where a value is of another kind: a JSON file's are not checked yet.
    """
    known = {k: v for k, v in values.items() if hasattr(default, k)}
    for key, value in known.items():
        kind = type(getattr(default, key))
        if dataclasses.is_dataclass(kind) and not isinstance(value, dict):
            raise ValueError(f"{key} is {value!r}; expected a section with keys")
        kinds = (int, float) if kind in (int, float) else kind
        if kind in (int, float, str) and not isinstance(value, kinds):
            raise ValueError(f"{key} is {value!r}; expected a value like {getattr(default, key)!r}")
    return dataclasses.replace(default, **{
        k: build(getattr(default, k), v) if isinstance(v, dict)
        else tuple(v) if isinstance(v, list) else v
        for k, v in known.items()
    })  # fmt: skip


def describe(cls: type, prefix: str = "") -> str:
    """Every key with its type and default, one a line: what -h prints."""
    lines, default = [], cls() if isinstance(cls, type) else cls
    for field in dataclasses.fields(default):
        value = getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            lines.append(describe(value, f"{prefix}{field.name}."))
        else:
            shown = list(value) if isinstance(value, tuple) else value
            lines.append(f"  {prefix}{field.name} = {shown!r}")
    return "\n".join(lines)
