"""The harness itself: a reader with a fault is reported as such, with the mutation, and the rest goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.fuzz import __main__ as fuzzing
from tests.fuzz import damages
from tests.fuzz.__main__ import Tally
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader

FOREVER = float("inf")
MANIFEST = json.dumps({"kind": "a", "meta": {"n": 1}, "files": {}, "self": "x"}).encode()


def run(name: str, count: int = 8) -> Tally:
    tally = Tally()
    fuzzing.fuzz(f"tests.fuzz.faulty:{name}", tally, count, FOREVER)
    return tally


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("RAISES", "traceback", "KeyError"),
        ("RUNS", "forbidden", "os.system"),
        ("NAMELESS", "ending", "does not name the file"),
        ("WRONG_END", "ending", "IntegrityError is not what it should end with"),
    ],
)
def test_a_fault_is_counted_and_the_rest_goes_on(name: str, kind: str, what: str) -> None:
    tally = run(name)
    assert tally.next == 8
    (find,) = tally.finds
    assert find["kind"] == kind and what in find["what"] and find["times"] + tally.read == 8


@pytest.mark.parametrize("name", ["HANGS", "SWALLOWS"])
def test_a_hang_is_ended_and_counted(name: str) -> None:
    tally = run(name, 2)
    assert tally.next == 2 and tally.count("hang") == 2 and "0.3 s" in tally.finds[0]["what"]


def test_a_hang_that_hears_no_alarm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "STUCK", 1.5)
    tally = run("DEAF", 1)
    assert tally.next == 1 and tally.count("hang") == 1 and "no answer to the alarm" in tally.finds[0]["what"]


def test_a_crash_names_the_mutation_and_the_rest_goes_on() -> None:
    tally = run("DIES", 3)
    assert tally.next == 3 and tally.count("crash") == 3 and "SIGSEGV" in tally.finds[0]["what"]
    assert tally.finds[0]["mutation"] == 0


def test_growing_memory_is_found() -> None:
    tally = run("GROWS", 16)
    assert tally.next == 16 and tally.count("memory") >= 1 and tally.peak_mb > 100


def test_a_sound_reader_has_no_finds() -> None:
    tally = run("SOUND", 150)
    assert not tally.finds and tally.refused + tally.read == tally.next == 150 and tally.refused > 100
    assert not tally.torch and tally.peak_mb > 1 and tally.seconds > 0


def test_a_reader_that_refuses_its_good_file_does_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fuzzing.ENVIRONMENT, "PYTHONHOME", "/nowhere")
    tally = Tally()
    with pytest.raises(ChildProcessError):
        fuzzing.fuzz("tests.fuzz.faulty:SOUND", tally, 1, FOREVER)
    assert tally.finds[0]["what"] == "the process that reads does not run"
    assert "its process ended with status 1" in capsys.readouterr().err


def test_it_ends_with_the_time_and_goes_on_from_there() -> None:
    tally = Tally()
    fuzzing.fuzz("tests.fuzz.faulty:SOUND", tally, 10**6, time.monotonic() + 2.5)
    assert 0 < tally.next < 10**6 and not tally.finds and tally.read + tally.refused == tally.next
    before = tally.next
    fuzzing.fuzz("tests.fuzz.faulty:SOUND", tally, before + 150, FOREVER)
    assert tally.next == before + 150 == tally.read + tally.refused


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "done.json"
    arguments = ["json", "gz", "--count", "20", "--out", str(out)]
    assert fuzzing.main(arguments) == 0
    table = capsys.readouterr().out
    assert "mutations" in table and "peak MB" in table
    done = json.loads(out.read_text())["readers"]
    assert [done[name]["next"] for name in ("json", "gz")] == [20, 20]
    assert fuzzing.main(arguments) == 0
    assert json.loads(out.read_text())["readers"] == done, "what is done is not done again"
    done["json"] |= {"next": 3, "finds": [{"mutation": 1, "kind": "hang", "what": "", "times": 1}]}
    out.write_text(json.dumps({"readers": done}))
    assert fuzzing.main(arguments) == 0, "it may have been mended, so it is done anew"
    assert json.loads(out.read_text())["readers"]["json"]["next"] == 20
    assert fuzzing.main(["gz", "--start", "7", "--count", "1", "--out", str(out)]) == 0
    assert {name: told["next"] for name, told in json.loads(out.read_text())["readers"].items()} == {
        "json": 20, "gz": 20,
    }  # fmt: skip
    out.write_text("{")
    with pytest.raises(SystemExit):
        fuzzing.main(arguments)
    assert "holds no results of this program" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        fuzzing.main(["nothing"])
    assert "no reader nothing" in capsys.readouterr().err


def test_finds_of_one_place_are_one() -> None:
    tally = Tally()
    rose = ((3, "KeyError at a.py:1: 'x'"), (5, "KeyError at a.py:1: 'y'"), (7, "KeyError at b.py:1: 'x'"))
    for number, what in rose:
        tally.note({"mutation": number, "kind": "traceback", "what": what})
    assert [(find["mutation"], find["times"]) for find in tally.finds] == [(3, 2), (7, 1)]
    assert "again: python -m tests.fuzz jsonl --start 3 --count 1" in fuzzing.table({"jsonl": tally})


# ------------------------------------------------------------------------------------------------- damages


@pytest.mark.parametrize(
    ("damage", "good"),
    [
        (mutate, b"text of some length"), (damages.steady, bytes(range(200))),
        (damages.json_values, b'{"a": [1, "b", null], "c": {"d": 2.5}}'),
        (damages.json_lines, b'{"a": 1}\n{"a": 2}\n'), (damages.yaml_values, b"a: 1\nb: {c: d}\n"),
        (damages.scalars, b"a=1"), (damages.lines("x"), b"a\nb\nc\n"), (damages.sealed, MANIFEST),
        (damages.in_zip, damages.zipped([("a.xml", b"<a/>"), ("b.xml", b"<b/>")])),
    ],
)  # fmt: skip
def test_a_number_always_damages_in_the_same_way(damage: damages.Damage, good: bytes) -> None:
    found = [damage(good, number) for number in range(200)]
    assert found == [damage(good, number) for number in range(200)]
    assert len(set(found)) > 60 and sum(data != good for data in found) > 150


def test_steady_damage_keeps_the_length() -> None:
    assert {len(damages.steady(bytes(range(100)), number)) for number in range(500)} == {100}


def test_a_sealed_manifest_fits_its_own_hash() -> None:
    from tane.files import digest

    bodies = [json.loads(damages.sealed(MANIFEST, number)) for number in range(0, 40, 3)
              if damages.sealed(MANIFEST, number).startswith(b"{\n")]  # fmt: skip
    assert bodies
    for body in bodies:
        told = body.pop("self")
        assert told == digest(body)


def test_every_seed_meets_every_damage() -> None:
    made = Reader("x", (lambda p: p,) * 3, lambda p: None, (), (mutate, damages.steady))
    assert len({made.pick(number) for number in range(6)}) == 6
