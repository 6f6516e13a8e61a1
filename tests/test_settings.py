"""Settings: YAML as people write it, strict values, plain errors, durations that survive writing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tane import registry
from tane.durations import Duration, Share
from tane.errors import InputError
from tane.recipe import Recipe, options
from tane.settings import (
    RESUME,
    Settings,
    all_leaves,
    build,
    leaves,
    nearest,
    option,
    override,
    part,
    type_name,
)
from tane.yamlio import dump_yaml, parse_yaml, read_yaml


class Inner(Settings):
    size: int = option(3, "a size", gt=0)
    ratio: float | None = option(0.5, "a ratio", resume="free")


class Outer(Settings):
    name: str = option("x", "a name")
    flag: bool = option(False, "a switch")
    choice: bool | Literal["auto"] = option("auto", "a switch or auto")
    maybe: bool | None = option(None, "a switch or none")
    number: int | Literal["auto"] = option("auto", "a number or auto")
    share: Share = option(0.1, "a fraction or a duration")
    names: list[str] = option([], "some names")
    config: dict[str, Any] = option({}, "anything")
    inner: Inner = option(Inner(), "more")
    items: list[str | Inner] = option([], "names or mappings")


def message(cls: type[Settings], values: dict[Any, Any]) -> str:
    with pytest.raises(InputError) as caught:
        build(cls, values, "here")
    assert str(caught.value).startswith("here: ")
    return str(caught.value)


# --------------------------------------------------------------------------------------- YAML (Y1 to Y10)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        ("+.5e3", 500.0),
        ("1.", 1.0),
        ("-3", -3),
        ("012", 12),
        ("0", 0),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'12'", "12"),
        ("種", "種"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_yaml_scalars(text: str, value: object) -> None:
    found = parse_yaml(text, "w")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: not valid YAML: the key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 1", "line 3: not valid YAML: the key 'b' stands twice"),
        ("a: &x [1]\nb: *x", "line 2: not valid YAML: aliases"),
        ("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases"),
        ("base: &b {x: 1}\nc:\n  <<: *b", "aliases"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "line 1: not valid YAML: could not determine a constructor",
        ),
        ("!!python/name:os.system", "not valid YAML"),
        ("a:\n\tb: 1", "line 2: not valid YAML: found character '\\t'"),
        ("{[1]: 2}", "a key must be text"),
        ("? !!set {a}\n: 1", "a key must be text"),
        ("a: !!bool perhaps", "not valid YAML"),
        ("a: !!timestamp soon", "not valid YAML"),
        ("a: !!int x", "not valid YAML"),
        ("a: " + "[" * 3000, "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("a: [1", "not valid YAML"),
        ("a: 1\n--- \nb: 2", "not valid YAML"),
    ],
)
def test_yaml_faults_are_one_plain_error(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "r.yaml")
    assert str(caught.value).startswith("r.yaml") and told in str(caught.value)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "r.yaml"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("run_dir: 走".encode("cp932"), "is not UTF-8 (byte 9)"),
        ("run_dir: 走".encode("utf-16"), "is not UTF-8 (byte 0)"),
        (b"- a\n- b\n", "expected a mapping of settings, found a list"),
        (b"text", "expected a mapping of settings, found a str"),
    ],
)
def test_recipe_files_that_are_no_recipe(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_yaml(write(tmp_path, data))
    assert told in str(caught.value) and "r.yaml" in str(caught.value)


def test_recipe_files_with_a_mark_or_other_line_ends(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "\ufeffa: 種\r\nb: 2\r\n".encode())) == {"a": "種", "b": 2}
    with pytest.raises(InputError, match="cannot read"):
        read_yaml(tmp_path)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.from_regex(r"[-+]?[0-9._:eExob]{1,6}", fullmatch=True),
    st.sampled_from(
        ["no", "1e-4", "08", "012", "~", "none", "#列", "*.txt", "&a", "!x", "%", "@", "<<", "=", "- a"]
    ),
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), SCALARS | st.lists(SCALARS, max_size=3)))
@hypothesis_settings(max_examples=150, deadline=None)
def test_what_is_written_reads_back_with_value_and_type(values: dict[str, Any]) -> None:
    found = parse_yaml(dump_yaml(values), "w")
    assert repr(found if values else {}) == repr(values)


@pytest.mark.parametrize("text", ["1e-4", "08", "1.5e3", ".5e3", "+.5", "5e3", "012", "null", "true", "no"])
def test_text_that_looks_like_a_number_stays_text_for_every_reader(text: str) -> None:
    written = dump_yaml({"a": text, "b": [text]})
    assert parse_yaml(written, "w") == {"a": text, "b": [text]} == yaml.safe_load(written)


def test_the_same_list_twice_is_written_twice() -> None:
    same = ["a"]
    assert parse_yaml(dump_yaml({"a": same, "b": same}), "w") == {"a": ["a"], "b": ["a"]}


# ---------------------------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("2 epochs", 2, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("10k steps", 10_000, "steps"),
        ("1 step", 1, "steps"),
        ("1.5B tokens", 1.5e9, "tokens"),
        ("300m tokens", 3e8, "tokens"),
        ("1_000 steps", 1000, "steps"),
        ("20 minutes", 20, "minutes"),
        ("5min", 5, "minutes"),
        ("90 seconds", 1.5, "minutes"),
        ("2h", 120, "minutes"),
        ("30 s", 0.5, "minutes"),
        ("0.25 Epochs", 0.25, "epochs"),
        ("1e3 steps", 1000, "steps"),
        (" 7  steps ", 7, "steps"),
        ("1e-2 epochs", 0.01, "epochs"),
        ("1e+3 steps", 1000, "steps"),
    ],
)
def test_durations_are_read(text: str, amount: float, unit: str) -> None:
    found = Duration.parse(text)
    assert found.unit == unit and math.isclose(found.amount, amount, rel_tol=1e-12)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "2",
        "epochs",
        "-1 steps",
        "0 steps",
        "0.0 epochs",
        "1 stepss",
        "1 2 steps",
        "1,000 steps",
        "nan steps",
        "inf steps",
        "1e999 steps",
        "9e99 tokens",
        "2 epochs 3 steps",
        "２ epochs",
        "500 ms",
        "1 kh",
        "1..5 epochs",
        2,
        2.5,
        True,
        None,
        ["1 step"],
    ],
)
def test_nonsense_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        Duration.parse(value)


@given(st.floats(1e-12, 9e17), st.sampled_from(["epochs", "steps", "tokens", "minutes"]))
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_duration_survives_being_written(amount: float, unit: str) -> None:
    duration = Duration(amount, unit)
    assert Duration.parse(str(duration)) == duration
    assert str(Duration.parse(str(duration))) == str(duration)


def test_durations_in_steps() -> None:
    scale = {"tokens_per_step": 4096, "steps_per_epoch": 10 / 3}
    assert Duration(10, "steps").steps(**scale) == 10
    assert Duration(2.2, "steps").steps(**scale) == 3  # rounded up
    assert Duration(3, "epochs").steps(**scale) == 10
    assert Duration(2, "epochs").steps(**scale) == 7
    assert Duration(4096, "tokens").steps(**scale) == 1
    assert Duration(4097, "tokens").steps(**scale) == 2
    assert Duration(1e-9, "epochs").steps(**scale) == 1  # never none
    assert Duration(1, "minutes").steps(**scale, seconds_per_step=0.5) == 120
    with pytest.raises(ValueError, match="speed"):
        Duration(1, "minutes").steps(**scale)


def test_shares_are_fractions_or_durations() -> None:
    assert build(Outer, {"share": "0.25"}, "h").share == 0.25
    assert build(Outer, {"share": 1}, "h").share == 1.0
    assert build(Outer, {"share": "500 steps"}, "h").share == Duration(500, "steps")
    assert build(Outer, {"share": "500 steps"}, "h").model_dump()["share"] == "500 steps"
    for wrong in (1.5, -0.1, "nan", "inf", float("nan"), True, False, None, [], "much", 10**400):
        assert "share: expected a fraction" in message(Outer, {"share": wrong})


# --------------------------------------------------------------------------------------------- strictness


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"inner": {"size": True}}, "inner.size: expected integer, found True"),
        ({"inner": {"ratio": False}}, "inner.ratio: expected number or none, found False"),
        ({"number": True}, "number: expected integer or auto, found True"),
        ({"name": True}, "name: expected text, found True"),
        ({"name": 3}, "name: "),
        ({"flag": "no"}, "flag: expected true or false, found 'no'"),
        ({"choice": "yes"}, "choice: expected true or false or auto, found 'yes'"),
        ({"maybe": "off"}, "maybe: expected true or false or none, found 'off'"),
        ({"inner": {"ratio": float("inf")}}, "inner.ratio: input should be a finite number"),
        ({"inner": {"ratio": "nan"}}, "inner.ratio: input should be a finite number, found 'nan'"),
        ({"inner": {"ratio": "1e999"}}, "inner.ratio: input should be a finite number"),
        ({"inner": {"size": 1.5}}, "inner.size: "),
        ({"inner": {"size": 0}}, "inner.size: input should be greater than 0, found 0"),
        ({"inner": {"size": None}}, "inner.size: "),
        ({"inner": 5}, "inner: input should be a valid dictionary"),
        ({"number": "many"}, "number: input should be a valid integer"),
        ({"items": [3]}, "items.0: input should be a valid string, or input should be a valid dictionary"),
        ({"items": ["a", {"size": "x"}]}, "items.1.size: input should be a valid integer"),
        ({1: 2}, "1: keys should be strings"),
        ({"inner": {1: 2}}, "inner.1: keys should be strings"),
    ],
)
def test_wrong_values_are_told_by_their_key(values: dict[Any, Any], told: str) -> None:
    text = message(Outer, values)
    assert told in text
    assert ".str" not in text and ".int" not in text and "Inner." not in text, "pydantic's names of branches"


def test_right_values_of_each_kind() -> None:
    given = {"flag": True, "choice": False, "number": "12", "inner": {"size": "1_000", "ratio": "1e-4"}}
    outer = build(Outer, given, "h")
    assert (outer.flag, outer.choice, outer.number, outer.inner.size, outer.inner.ratio) == (
        True,
        False,
        12,
        1000,
        1e-4,
    )
    assert build(Outer, {"choice": "auto"}, "h").choice == "auto"
    assert build(Outer, {"items": ["a", {"size": 4}]}, "h").items == ["a", Inner(size=4)]


def test_none_clears_what_is_optional_and_nothing_else() -> None:
    assert build(Outer, {"inner": {"ratio": "none"}, "maybe": "none"}, "h").inner.ratio is None
    assert build(Outer, {"name": "none"}, "h").name == "none"
    assert "inner.size" in message(Outer, {"inner": {"size": "none"}})


def test_one_message_lists_all_faults() -> None:
    text = message(Outer, {"nam": 1, "flag": 3.5, "inner": {"size": -1, "ration": 2}})
    for told in ("'nam'", "flag: ", "inner.size: ", "'inner.ration'"):
        assert told in text
    assert text.count("tane options") == 1


def test_settings_are_frozen_and_defaults_are_nobody_elses() -> None:
    first, second = Outer(), Outer()
    with pytest.raises(ValidationError):
        first.name = "y"
    first.names.append("spoiled")
    first.config["spoiled"] = 1
    assert second.names == Outer().names == [] and Outer().config == {}


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"nmae": 1}, "name"),
        ({"inner": {"siez": 1}}, "inner.size"),
        ({"size": 1}, "inner.size"),
        ({"items": [{"sise": 1}]}, "items.0.size"),
    ],
)
def test_an_unknown_key_is_answered_with_the_one_that_was_meant(values: dict[str, Any], meant: str) -> None:
    assert f"did you mean {meant!r}?" in message(Outer, values)


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"trian": {}}, "train"),
        ({"train": {"duraton": "1 step"}}, "train.duration"),
        ({"optim": {"schedule": {"warm_up": 0.1}}}, "optim.schedule.warmup"),
        ({"train": {"early_stopping": {"patienc": 3}}}, "train.early_stopping.patience"),
        ({"train": {"lr": 1e-3}}, "optim.lr"),
        ({"block_size": 128}, "objective.block_size"),
        ({"optim": {"name": "adamw", "epss": 1e-8}}, "optim.eps"),
        ({"corpus": {"inputs": [{"path": "a", "encodin": "utf-8"}]}}, "corpus.inputs.0.encoding"),
    ],
)
def test_the_recipe_knows_what_was_meant_at_each_depth(values: dict[str, Any], meant: str) -> None:
    assert f"did you mean {meant!r}?" in message(Recipe, values)


def test_nothing_is_meant_by_noise() -> None:
    assert nearest(["qqqqqqqq"], Recipe) is None
    assert "did you mean" not in message(Recipe, {"qqqqqqqq": 1})


# -------------------------------------------------------------------------------------- parts and overrides


class Own(Settings):
    name: str = option("own", "a part of the user's own")
    lr: float = option(1.0, "a rate")


class Parted(Settings):
    optim: part("optim", "muon") = option({"name": "muon"}, "a part", validate_default=True)


def test_a_part_is_chosen_by_its_name() -> None:
    assert build(Parted, {}, "h").optim.name == "muon"
    assert build(Parted, {"optim": "adamw"}, "h").optim.name == "adamw"
    assert build(Parted, {"optim": {"lr": 1e-3}}, "h").optim.name == "muon"
    assert build(Parted, {"optim": {"name": f"{__name__}:Own", "lr": 2}}, "h").optim == Own(
        name=f"{__name__}:Own", lr=2
    )
    assert "did you mean 'adamw'?" in message(Parted, {"optim": "adamv"})
    assert "expected a name or a mapping" in message(Parted, {"optim": 3})
    assert "optim.lr" in message(Parted, {"optim": {"lr": -1}})


def test_faults_of_a_part_stand_beside_the_others() -> None:
    text = message(Recipe, {"optim": "adamv", "objective": {"name": "causl"}, "train": {"keep": 1}})
    assert "did you mean 'adamw'?" in text and "did you mean 'causal'?" in text and "train.keep" in text


@pytest.mark.parametrize(
    ("dotted", "before", "after"),
    [
        ("a", {}, {"a": 1}),
        ("a.b.c", {}, {"a": {"b": {"c": 1}}}),
        ("a.b", {"a": {"b": 0, "c": 2}}, {"a": {"b": 1, "c": 2}}),
        ("a-x.b-y", {}, {"a_x": {"b_y": 1}}),
        ("a.lr", {"a": "muon"}, {"a": {"name": "muon", "lr": 1}}),
        ("a.b", {"a": None}, {"a": {"b": 1}}),
        ("a.b", {"a": [1]}, {"a": {"b": 1}}),
    ],
)
def test_overrides_set_one_key(dotted: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    override(before, dotted, 1)
    assert before == after


# -------------------------------------------------------------------------------- the recipe's settings (R8)


def test_every_setting_has_a_meaning_and_a_resume_rule() -> None:
    found = {name: info for name, info, _ in all_leaves(Recipe)}
    assert len(found) > 50
    for name, info in found.items():
        assert info.description and len(info.description) > 5, f"{name} has no meaning"
        assert info.json_schema_extra and info.json_schema_extra[RESUME] in ("match", "free"), name


def test_the_rules_that_protect_a_run() -> None:
    rules = Recipe().rules()
    for name in (
        "seed",
        "train.batch_tokens",
        "objective.block_size",
        "optim.name",
        "model.config",
        "corpus.inputs",
        "tokenizer.vocab_size",
        "train.precision",
        "train.compile",
    ):
        assert rules[name] == "match", name
    for name in (
        "train.duration",
        "train.save_every",
        "train.eval_every",
        "optim.lr",
        "train.device",
        "run_dir",
        "train.micro_batch_tokens",
        "train.keep",
    ):
        assert rules[name] == "free", name
    known = {name for name, _ in leaves(Recipe) if not name.startswith("task.")}
    assert set(rules) == known, "a recipe without a task has no rules for one"


def test_options_show_every_setting_of_every_variant() -> None:
    rows = list(options())
    names = {row[0] for row in rows}
    assert {name for name, _ in leaves(Recipe)} <= names
    for kind, field in (("optim", "optim"), ("objectives", "objective")):
        for name in registry.names(kind):
            for leaf in registry.find(kind, name).model_fields:
                assert any(n == f"{field}.{leaf}" or n.startswith(f"{field}.{leaf}.") for n in names), (
                    name,
                    leaf,
                )
    assert all(kind and default and meaning for _, kind, default, meaning in rows)
    shown = {(row[0], row[2]) for row in rows}
    for name in registry.names("optim"):  # defaults that differ between variants are all shown
        assert ("optim.lr", str(registry.find("optim", name)().lr)) in shown


def test_options_of_a_task_tell_what_must_be_named() -> None:
    rows = list(options("task"))
    assert {default for name, _, default, _ in rows if name == "task.kind"} == {"required"}
    defaults = {name: default for name, _, default, _ in rows}
    assert defaults["task.data.train.path"] == "required" and defaults["task.data.test.path"] == "none"
    assert defaults["task.data.valid.quoting"] == "as task.data.quoting" != defaults["task.data.quoting"]
    assert len({meaning for name, _, _, meaning in rows if name.endswith(".path")}) == 3


def test_options_of_a_section() -> None:
    assert [row[0] for row in options("seed")] == ["seed"]
    assert {row[0] for row in options("train.early_stopping")} == {
        "train.early_stopping.patience",
        "train.early_stopping.min_delta",
    }
    assert all(row[0].startswith("train.") for row in options("train")) and list(options("trai")) == []
    kinds = {row[0]: (row[1], row[2]) for row in options()}
    assert kinds["train.duration"] == ("duration", "5 epochs")
    assert kinds["train.eval_every"] == ("fraction or duration", "0.1")
    assert kinds["data_dir"] == ("text or none", "none")


def test_types_are_named_as_people_say_them() -> None:
    assert type_name(int | Literal["auto"]) == "integer or auto"
    assert type_name(list[str]) == "list of text"
    assert type_name(dict[str, Any]) == "mapping"
    assert type_name(Literal["a", "b"]) == "a | b"
    assert type_name(float | None) == "number or none"
