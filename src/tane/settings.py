"""What every settings class shares: strictness, plain errors, parts that are chosen by name.

The option stands beside the code that obeys it: a stage declares `class XSettings(Settings)` with one
`option(...)` a field. Those fields are the YAML keys, the flags, the option page and the record in the
checkpoint.
"""

from __future__ import annotations

import copy
import difflib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticUndefined

from tane import registry
from tane.errors import InputError

RESUME = "resume"  # key of a field's metadata: "match" must be equal when a run goes on, "free" may change


def option(default: Any, meaning: str, *, resume: Literal["match", "free"] = "match", **limits: Any) -> Any:
    """One setting: its default, one sentence of meaning, whether a run may change it, and pydantic's
    limits."""
    extra: JsonDict = {RESUME: resume}
    if isinstance(default, (dict, list, BaseModel)):
        own = {"default_factory": lambda: copy.deepcopy(default), **limits}
        return Field(description=meaning, json_schema_extra=extra, **own)
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, floats finite, no bool where a number is due."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _strict(cls, value: Any, info: Any) -> Any:
        kinds = set(flat_types(cls.model_fields[info.field_name].annotation))
        if value == "none" and type(None) in kinds and "none" not in kinds:
            return None
        if isinstance(value, bool) and bool not in kinds and Any not in kinds and not kinds & {dict, list}:
            raise ValueError(
                f"expected {type_name(cls.model_fields[info.field_name].annotation)}, found {value}"
            )
        if isinstance(value, str) and bool in kinds and str not in kinds and value not in kinds:
            raise ValueError(f"expected {type_name(cls.model_fields[info.field_name].annotation)}")
        return value


def flat_types(annotation: Any) -> Iterator[Any]:
    """The plain types and literal values inside an annotation."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from flat_types(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from flat_types(part)
    elif origin is Literal:
        yield from typing.get_args(annotation)
    else:
        yield origin or annotation


def type_name(annotation: Any) -> str:
    """An annotation as a person would say it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        named = next((a for a in arguments[1:] if isinstance(a, Named)), None)
        return named.text if named else type_name(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys("none" if a is type(None) else type_name(a) for a in arguments))
    if origin is Literal:
        return " | ".join(str(a) for a in arguments)
    if origin in (list, tuple):
        return "list of " + type_name(arguments[0])
    if origin is dict or annotation is dict:
        return "mapping"
    words = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any value"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


@dataclass(frozen=True)
class Named:
    """The name under which an annotated type is shown to a person."""

    text: str


# ------------------------------------------------------------------------------- parts chosen by their name


def part(kind: str, default: str, *, key: str = "name", optional: bool = False) -> Any:
    """Annotated type of a setting whose class is chosen by its `key` among the files of `tane.<kind>`.

    optional: it may be none, and the key must stand where it is not.
    """

    def build(value: Any) -> Settings | None:
        if isinstance(value, Settings) or (optional and value in (None, "none")):
            return None if value == "none" else value
        if isinstance(value, str):
            value = {key: value}
        if not isinstance(value, dict):
            raise ValueError(f"expected a name or a mapping with the key `{key}`")
        if optional and key not in value:
            raise ValueError(f"expected the key `{key}`: one of {', '.join(registry.names(kind))}")
        try:
            chosen = registry.find(kind, str(value.get(key, default)))
        except InputError as error:  # one fault among others
            raise ValueError(f"{error.message}: {error.remedy}") from None
        if not issubclass(chosen, Settings):
            raise ValueError(f"{value[key]} is no settings class")
        if key in value and ":" not in str(value[key]):  # however dashes and underscores were written
            value = {**value, key: chosen.model_fields[key].default}
        return chosen.model_validate(value)

    return Annotated[
        Any,
        BeforeValidator(build),
        PlainSerializer(lambda v: None if v is None else v.model_dump(mode="json"), return_type=Any),
        Part(kind, default, key),
    ]


@dataclass(frozen=True)
class Part(Named):
    """Marks a setting as a part from a registry folder; `text` is the kind."""

    default: str
    key: str


def part_of(annotation_metadata: Any) -> Part | None:
    """The Part marker in a field's metadata, if it is chosen by name."""
    return next((m for m in annotation_metadata if isinstance(m, Part)), None)


# ---------------------------------------------------------------------------------------- building, errors


def build(cls: type[Any], values: dict[str, Any], where: str) -> Any:
    """Validate a mapping into a settings class; every fault is listed in one InputError."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise explain(error, cls, where) from None


def explain(error: ValidationError, cls: type[Settings], where: str) -> InputError:
    """One plain message for all that pydantic found, each key with the one that was probably meant."""
    told: dict[str, list[str]] = {}  # dotted name -> what is expected there, by each branch of a union
    found: dict[str, str] = {}
    remedy = ""
    for fault in error.errors():
        keys, holder = _place(fault["loc"], cls)
        name = ".".join(keys) or "a key"
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(keys[-1], holder.model_fields, 1) if holder else []
            meant = ".".join([*keys[:-1], close[0]]) if close else nearest(keys, cls)
            told[name] = [f"unknown key {name!r}" + (f": did you mean {meant!r}?" if meant else "")]
            remedy = "see all settings with: tane options"
            continue
        text = fault["msg"].removeprefix("Value error, ")
        told.setdefault(name, [f"{name}: "]).append(text[0].lower() + text[1:])
        if "found" not in text and not isinstance(fault["input"], dict):
            found[name] = f", found {fault['input']!r}"
    deepest = [name for name in told if not any(other.startswith(f"{name}.") for other in told)]
    lines = [told[name][0] + ", or ".join(told[name][1:]) + found.get(name, "") for name in deepest]
    return InputError(f"{where}: " + "; ".join(lines), remedy)


def _place(loc: tuple[int | str, ...], cls: type[Settings]) -> tuple[list[str], type[Settings] | None]:
    """A fault's keys as a person wrote them, without pydantic's names of branches; the last key's class."""
    keys: list[str] = []
    holder: type[Settings] | None = None
    inner: type[Settings] | None = cls
    branches: dict[str, Any] = {}
    for item in loc:
        text = str(item)
        if text in branches or text.startswith(("function-", "literal[")):
            inner = branches.get(text, inner)
            continue
        keys.append(text)
        holder = inner
        if isinstance(item, str):
            info = inner.model_fields.get(text) if inner else None
            branches = {t.__name__: t for t in _types(info.annotation)} if info else {}
            inner = next((t for t in branches.values() if issubclass(t, Settings)), None)
    return keys, holder


def _types(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _types(argument)


def nearest(keys: list[str], cls: type[Settings]) -> str | None:
    """The dotted key that a person probably meant: close spelling first, then the same last word
    elsewhere."""
    known = [*dict.fromkeys(name for name, _, _ in all_leaves(cls)), *cls.model_fields]
    dotted = ".".join(keys)
    inside = [k for k in known if k.rpartition(".")[0] == ".".join(keys[:-1])]
    last = {k.rpartition(".")[2]: k for k in inside}
    close = difflib.get_close_matches(keys[-1], last, 1)
    if close:
        return last[close[0]]
    same = [k for k in known if k.rpartition(".")[2] == keys[-1]]
    if same:
        return same[0]
    close = difflib.get_close_matches(dotted, known, 1, 0.7) or difflib.get_close_matches(
        keys[-1], [k.rpartition(".")[2] for k in known], 1, 0.75
    )
    if not close:
        return None
    return next(k for k in known if k == close[0] or k.rpartition(".")[2] == close[0])


def leaves(cls: type[Settings], prefix: str = "", value: Settings | None = None) -> Iterator[tuple[str, Any]]:
    """(dotted name, field) of every setting below a class; parts follow `value`'s choice or their default."""
    for name, info in cls.model_fields.items():
        chosen = getattr(value, name, None) if value is not None else None
        marker = part_of(info.metadata)
        if marker and value is not None and chosen is None:
            continue  # an optional part that is not there
        if marker:
            inner: Any = type(chosen) if chosen is not None else registry.find(marker.text, marker.default)
        else:
            kinds = [
                k for k in flat_types(info.annotation) if isinstance(k, type) and issubclass(k, Settings)
            ]
            inner = kinds[0] if kinds else None
        if inner is not None:
            yield from leaves(inner, f"{prefix}{name}.", chosen)
        else:
            yield f"{prefix}{name}", info


def all_leaves(cls: type[Settings], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted name, field, variant) of every setting, also those that only another variant of a part has.

    variant is "" for the default one. A name comes again where another variant's default differs.
    """
    for name, info in cls.model_fields.items():
        marker = part_of(info.metadata)
        if not marker:
            kinds = [k for k in _types(info.annotation) if issubclass(k, Settings)]
            direct = kinds and kinds[0] in flat_types(info.annotation)
            yield from all_leaves(kinds[0], f"{prefix}{name}.") if direct else [(f"{prefix}{name}", info, "")]
            continue
        shown: dict[str, Any] = {}
        for variant in sorted(registry.names(marker.text), key=lambda n: (n != marker.default, n)):
            for leaf, field, _ in all_leaves(registry.find(marker.text, variant), f"{prefix}{name}."):
                if leaf not in shown or shown[leaf] != default_of(field):
                    shown.setdefault(leaf, default_of(field))
                    yield leaf, field, "" if variant == marker.default else variant


def default_of(info: Any) -> Any:
    """A field's default as it is shown; "required" where there is none."""
    value = info.get_default(call_default_factory=True)
    return "required" if value is PydanticUndefined else value


def override(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one dotted key in a mapping of settings, making the mappings on the way."""
    *path, last = dotted.replace("-", "_").split(".") if dotted else [""]
    place = values
    for key in path:
        inner = place.get(key)
        if not isinstance(inner, dict):
            inner = {"name": inner} if isinstance(inner, str) else {}
            place[key] = inner
        place = inner
    place[last] = value
