"""YAML as people write it: `1e-4` is a number, `no` is text, `012` is twelve, and nothing runs.

PyYAML reads YAML 1.1, where these are text, false and ten; recipes follow the core schema of 1.2.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tane.errors import InputError


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, and neither aliases nor keys that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not read", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            plain = isinstance(key, (str, int, float, type(None)))
            if not plain or key in seen:
                text = f"the key {key!r} stands twice" if plain else "a key must be text"
                raise yaml.constructor.ConstructorError(None, None, text, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or our core schema would read as something else, such as 1e-4 or 08."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def _text(self, value: str) -> yaml.ScalarNode:  # the signs that PyYAML folds away without these quotes
        style = '"' if any(sign in value for sign in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _Dumper._text)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def parse_yaml(text: str, where: str) -> Any:
    """Read YAML safely; raises InputError with the line. `where` names the file or flag in messages."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{where}{line}: not valid YAML: {problem}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # such as !!bool x
        raise InputError(f"{where}: not valid YAML: {error}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start})", "save the recipe as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    value = parse_yaml(text, str(path))
    if value is None:
        raise InputError(f"{path} is empty", "a recipe needs at least corpus.inputs and run_dir")
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of settings, found a {type(value).__name__}")
    return value


def dump_yaml(value: Any) -> str:
    """Write YAML in the order of the fields, Japanese as it is."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
