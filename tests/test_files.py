"""Files that are whole or absent: publishing under every fault, manifests, locks, small files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane import files, locks, resources
from tane.errors import InputError, IntegrityError, LockedError, ResourceError, TaneError
from tane.files import FAILPOINTS, MANIFEST, Manifest
from tane.resources import LACKS

KIND = "thing"


def filler(content: str) -> Any:
    """A writer for `publish` that makes a folder of three files."""

    def write(folder: Path) -> dict[str, Any]:
        (folder / "a.txt").write_text(content, encoding="utf-8")
        (folder / "深い" / "er").mkdir(parents=True)
        (folder / "深い" / "er" / "b.bin").write_bytes(bytes(range(256)))
        (folder / "empty").touch()
        return {"content": content, "種": [1, 2.5, None]}

    return write


def content_of(target: Path) -> str | None:
    """What a published folder holds, fully checked, or None where there is none."""
    if not target.exists():
        return None
    manifest = files.check(target, KIND)
    assert (target / "a.txt").read_text(encoding="utf-8") == manifest.meta["content"]
    return manifest.meta["content"]


def leftovers(parent: Path) -> list[str]:
    return [p.name for p in parent.iterdir() if p.name.startswith(files.LEFTOVERS)]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    files.publish(tmp_path / "t", KIND, filler("old"))
    return tmp_path / "t"


# ------------------------------------------------------------------------------------------------- publish


def test_publish_and_read_back(tmp_path: Path) -> None:
    manifest = files.publish(tmp_path / "new" / "deep" / "t", KIND, filler("x"))
    assert set(manifest.files) == {"a.txt", "深い/er/b.bin", "empty"}
    assert manifest.files["a.txt"] == (1, hashlib.sha256(b"x").hexdigest())
    again = files.check(tmp_path / "new" / "deep" / "t", KIND)
    assert again == manifest and again.fingerprint == manifest.fingerprint
    assert leftovers(tmp_path / "new" / "deep") == []


def test_publish_replaces_and_leaves_nothing(published: Path) -> None:
    before = files.check(published).fingerprint
    files.publish(published, KIND, filler("new"))
    assert content_of(published) == "new" and files.check(published).fingerprint != before
    assert [p.name for p in published.parent.iterdir()] == ["t"]


def test_equal_content_has_an_equal_fingerprint_and_equal_bytes(tmp_path: Path) -> None:
    first = files.publish(tmp_path / "one", KIND, filler("x"))
    second = files.publish(tmp_path / "two", KIND, filler("x"))
    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (tmp_path / "two" / MANIFEST).read_bytes()


def test_a_writer_that_fails_changes_nothing(published: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("in the middle")

    for target in (published, published.parent / "other"):
        with pytest.raises(RuntimeError, match="in the middle"):
            files.publish(target, KIND, write)
    assert content_of(published) == "old" and [p.name for p in published.parent.iterdir()] == ["t"]


CHILD = """
import sys
from pathlib import Path
from tane import files
def write(folder):
    (folder / "a.txt").write_text("new")
    (folder / "more").write_bytes(b"m" * 1000)
    return {"content": "new"}
files.publish(Path(sys.argv[1]), "thing", write)
"""


def run(code: str, *arguments: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, "TANE_FAILPOINT": failpoint},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("replace", [False, True], ids=["fresh", "replace"])
@pytest.mark.parametrize("point", [p for p in FAILPOINTS if p.startswith("publish.")])
def test_a_kill_at_any_point_leaves_the_old_or_the_new(tmp_path: Path, point: str, replace: bool) -> None:
    target = tmp_path / "t"
    if replace:
        files.publish(target, KIND, filler("old"))
    done = run(CHILD, str(target), failpoint=f"{point}=kill")
    reached = replace or point != "publish.before_delete"  # nothing is deleted where nothing was
    assert done.returncode == (-signal.SIGKILL if reached else 0), done.stderr
    seen = content_of(target)  # whole or absent, even before anybody swept
    files.sweep(tmp_path)
    after = content_of(target)
    assert seen in (after, None) and after in ({"old", "new"} if replace else {None, "new"})
    late = point in ("publish.after_rename", "publish.before_delete")
    assert after == ("new" if late else "old" if replace else None)
    assert leftovers(tmp_path) == [] and files.sweep(tmp_path) == []
    files.publish(target, KIND, filler("again"))
    assert content_of(target) == "again"


@pytest.mark.parametrize("replace", [False, True], ids=["fresh", "replace"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EACCES", "EMFILE", "EROFS", "EDQUOT"])
@pytest.mark.parametrize("point", [p for p in FAILPOINTS if p.startswith("publish.")])
def test_an_error_at_any_point_is_told_and_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, error: str, replace: bool
) -> None:
    target = tmp_path / "t"
    if replace:
        files.publish(target, KIND, filler("old"))
    monkeypatch.setenv("TANE_FAILPOINT", f"{point}={error}")
    if replace or point != "publish.before_delete":
        with pytest.raises(ResourceError) as caught:
            files.publish(target, KIND, filler("new"))
        assert LACKS[getattr(errno, error)] in str(caught.value) and "t: " in str(caught.value)
        assert ("MB are free" in str(caught.value)) == (error in ("ENOSPC", "EDQUOT"))
    else:
        files.publish(target, KIND, filler("new"))
    late = point in ("publish.after_rename", "publish.before_delete")
    assert content_of(target) == ("new" if late else "old" if replace else None)
    monkeypatch.delenv("TANE_FAILPOINT")
    files.sweep(tmp_path)
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks up open files in /proc")
def test_all_is_on_the_disk_before_it_is_seen(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    sync, rename = os.fsync, os.rename

    def note_sync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if path.endswith(files.MANIFEST):
            assert Path(path).stat().st_size > 0
        else:
            assert not (Path(path).parent / files.MANIFEST).exists() or Path(path).is_dir(), (
                "the manifest is last"
            )
        events.append(("sync", path))
        sync(handle)

    def note_rename(old: Path, new: Path) -> None:
        events.append(("rename", str(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    files.publish(published, KIND, filler("new"))
    seen = events.index(("rename", str(published)))
    before = {
        path.split("/.tmp-t-", 1)[1].partition("/")[2] for kind, path in events[:seen] if "/.tmp-t-" in path
    }
    assert before == {"", "深い", "深い/er", "a.txt", "empty", "深い/er/b.bin", files.MANIFEST}
    assert events[seen + 1] == ("sync", str(published.parent)), "the rename itself too"


def test_every_failpoint_in_the_list_stands_in_the_code_and_the_other_way_round() -> None:
    import re

    found = set()
    for path in Path(files.__file__).parent.rglob("*.py"):
        found |= set(re.findall(r"failpoint\(\"([a-z._]+)\"\)", path.read_text(encoding="utf-8")))
    assert found == set(FAILPOINTS)


def test_a_full_disk_under_the_real_limit_of_the_system(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from tane import files
from tane.errors import ResourceError
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
def write(folder):
    (folder / "big").write_bytes(b"x" * 20000)
try:
    if sys.argv[2] == "publish":
        files.publish(Path(sys.argv[1]), "thing", write)
    else:
        files.write_text(Path(sys.argv[1]), "x" * 20000)
except ResourceError as error:
    print(error)
    sys.exit(3)
"""
    (tmp_path / "small").write_text("old")
    for how, target in (("publish", "t"), ("text", "small")):
        done = run(code, str(tmp_path / target), how)
        assert done.returncode == 3 and "size limit" in done.stdout, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small"] and (tmp_path / "small").read_text() == "old"


@pytest.mark.parametrize("where", ["file/t", "file/deep/t", "file"])
def test_a_file_where_a_folder_is_due(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResourceError, match="a file stands where a folder is due"):
        files.publish(tmp_path / where, KIND, filler("x"))
    with (
        pytest.raises(ResourceError, match="a file stands where a folder is due"),
        locks.locked(tmp_path / where),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_folders_that_cannot_be_made() -> None:
    for place in ("/proc/tane/t", f"/tmp/{'x' * 300}/t"):
        with pytest.raises(ResourceError, match="cannot make the folder"):
            files.publish(Path(place), KIND, filler("x"))
        with pytest.raises(ResourceError, match="cannot make the folder"), locks.locked(Path(place)):
            pass


def test_writing_translates_what_outputs_lack_and_nothing_else(tmp_path: Path) -> None:
    for number, words in LACKS.items():
        with pytest.raises(ResourceError) as caught, resources.writing(tmp_path / "x"):
            raise OSError(number, os.strerror(number))
        assert words in caught.value.message and caught.value.remedy and caught.value.code == 3
    with pytest.raises(FileNotFoundError), resources.writing(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "an input of the user's")


def test_delete_takes_the_folder_away_in_one_step(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANE_FAILPOINT", "publish.before_delete=EIO")
    with pytest.raises(ResourceError):
        files.delete(published)
    assert not published.exists() and len(leftovers(published.parent)) == 1
    monkeypatch.delenv("TANE_FAILPOINT")
    assert len(files.sweep(published.parent)) == 1 and list(published.parent.iterdir()) == []


def test_sweep_takes_only_what_is_ours(tmp_path: Path) -> None:
    for name in (".tmp-a-1-2", ".trash-b-1-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / ".tmp-recipe.yaml-77").touch()
    (tmp_path / ".trash-link-1-2").symlink_to(tmp_path / "keep")
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "x").touch()
    for name in (".lock", ".hidden", "tmp-x", "data"):
        (tmp_path / name).touch()
    assert len(files.sweep(tmp_path)) == 4
    assert {p.name for p in tmp_path.iterdir()} == {"keep", ".lock", ".hidden", "tmp-x", "data"}
    assert (tmp_path / "keep" / "x").exists()
    assert files.sweep(tmp_path / "absent") == []


def test_sweep_puts_back_what_was_set_aside_only_where_nothing_followed(tmp_path: Path) -> None:
    files.publish(tmp_path / "a-b", KIND, filler("old"))
    (tmp_path / "a-b").rename(tmp_path / ".old-a-b-12-3f")
    files.sweep(tmp_path)
    assert content_of(tmp_path / "a-b") == "old"
    files.publish(tmp_path / ".old-a-b-12-3f", KIND, filler("older"))
    files.sweep(tmp_path)
    assert content_of(tmp_path / "a-b") == "old" and leftovers(tmp_path) == []


# ------------------------------------------------------------------------------------------------ manifests


def test_every_changed_byte_of_a_manifest_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    text = Manifest("k", {"a": (1, "ab" * 4)}, {"n": 1.5, "s": "種"}).text()
    path = folder / MANIFEST
    path.write_text(text, encoding="utf-8")
    assert Manifest.read(folder).meta == {"n": 1.5, "s": "種"}
    raw = path.read_bytes()
    for place in range(len(raw)):
        for value in {raw[place] ^ (1 << bit) for bit in range(8)}:
            path.write_bytes(raw[:place] + bytes([value]) + raw[place + 1 :])
            with pytest.raises(IntegrityError):
                Manifest.read(folder)
    for cut in range(len(raw)):
        path.write_bytes(raw[:cut])
        with pytest.raises(IntegrityError):
            Manifest.read(folder)
    path.write_bytes(raw + b" ")
    with pytest.raises(IntegrityError):
        Manifest.read(folder)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "{", "1", '{"kind": 1}', "\ufeff{}", "[" * 100_000,
        '{"kind": "k", "files": {"a": [1]}, "meta": {}, "format_version": 1}',
        '{"kind": "k", "files": {"a": ["x", "y"]}, "meta": {}, "format_version": 1}',
        '{"kind": "k", "files": {}, "meta": {}, "format_version": null}',
        '{"kind": "k", "files": {}, "meta": {}, "format_version": "one"}',
        '{"kind": "k", "files": [], "meta": {}, "format_version": 1}',
        '{"kind": "k", "files": {}, "meta": "\\ud800", "format_version": 1}',
        '{"kind": "k", "files": {}, "meta": {}, "format_version": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        Manifest.read(tmp_path)


def test_absent_newer_and_foreign_manifests(tmp_path: Path, published: Path) -> None:
    for folder in (tmp_path / "absent", published / "a.txt", published / "深い"):
        with pytest.raises(IntegrityError, match=r"has no manifest\.json"):
            Manifest.read(folder)
    with pytest.raises(IntegrityError, match="holds a thing, not a checkpoint"):
        Manifest.read(published, "checkpoint")
    newer = Manifest(KIND, {}, {}, format_version=files.FORMAT_VERSION + 1)
    (published / MANIFEST).write_text(newer.text(), encoding="utf-8")
    with pytest.raises(IntegrityError, match="install a newer tane"):
        Manifest.read(published)
    (published / MANIFEST).unlink()
    (published / MANIFEST).mkdir()
    with pytest.raises(IntegrityError):
        Manifest.read(published)


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


DAMAGES = {
    "flipped": lambda t: flip(t / "深い/er/b.bin", 100),
    "cut": lambda t: os.truncate(t / "深い/er/b.bin", 255),
    "longer": lambda t: (t / "深い/er/b.bin").write_bytes(bytes(range(256)) + b"\0"),
    "emptied": lambda t: os.truncate(t / "a.txt", 0),
    "filled": lambda t: (t / "empty").write_text("x"),
    "missing": lambda t: (t / "empty").unlink(),
    "extra": lambda t: (t / "深い" / "more").touch(),
    "extra hidden": lambda t: (t / ".hidden").touch(),
    "a folder for a file": lambda t: ((t / "empty").unlink(), (t / "empty").mkdir()),
    "an extra link": lambda t: (t / "link").symlink_to(t / "深い"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_of_any_kind_is_seen(published: Path, how: str) -> None:
    files.check(published, KIND)
    DAMAGES[how](published)
    manifest = Manifest.read(published)
    bad = manifest.bad_files(published)
    assert len(bad) == 1
    with pytest.raises(IntegrityError, match="damaged or changed") as caught:
        files.check(published, KIND, remedy="do this")
    assert bad[0] in str(caught.value) and "do this" in str(caught.value)
    assert bool(manifest.bad_files(published, full=False)) == (how != "flipped")


def test_a_link_out_of_the_folder_is_no_file_of_it(published: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (published / "a.txt").rename(outside)
    (published / "a.txt").symlink_to(outside)
    assert Manifest.read(published).bad_files(published) == ["a.txt"]


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "x/../../secret", "..", ".", "", "a\0b"])
def test_a_manifest_cannot_name_what_lies_outside(tmp_path: Path, name: str) -> None:
    folder, secret = tmp_path / "t", tmp_path / "secret"
    secret.write_text("s")
    files.publish(folder, KIND, filler("x"))
    real = Path(name) if name.startswith("/") else secret
    entry = (real.stat().st_size, files.sha256(real)) if real.exists() else (1, "0")
    old = Manifest.read(folder)
    (folder / MANIFEST).write_text(
        Manifest(KIND, {**old.files, name: entry}, old.meta).text(), encoding="utf-8"
    )
    assert Manifest.read(folder).bad_files(folder) == [name]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    found = files.digest(value)
    assert (
        found
        == files.digest(dict(reversed(list(value.items()))))
        == files.digest(json.loads(json.dumps(value)))
    )
    assert found != files.digest({**value, "one more": 1})


def test_digests_are_pinned() -> None:
    assert files.digest({"b": [1, 2.5, None], "a": "種"}) == (
        hashlib.sha256('{"a": "種", "b": [1, 2.5, null]}'.encode()).hexdigest()
    )
    assert files.digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_sha256_of_a_file(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "x").write_bytes(data)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


# ------------------------------------------------------------------------------------------- small files


def test_write_text_replaces_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "レシピ.yaml"
    files.write_text(path, "古い\n")
    files.write_text(path, "新しい\n")
    assert path.read_bytes() == "新しい\n".encode()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)  # a failed fsync is a failure, never a success
        with pytest.raises(ResourceError, match="the disk is full"):
            files.write_text(path, "never\n")
    assert path.read_bytes() == "新しい\n".encode() and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_files_that_people_name(tmp_path: Path) -> None:
    (tmp_path / "text.txt").touch()
    assert files.require_file(str(tmp_path / "text.txt"), "the text") == tmp_path / "text.txt"
    with pytest.raises(InputError, match=r"the text .* does not exist\n.*did you mean .*text\.txt"):
        files.require_file(tmp_path / "txet.txt", "the text")
    for name in ("nowhere/x", "x" * 300, "a\0b"):
        with pytest.raises(InputError, match="the text"):
            files.require_file(tmp_path / name, "the text")


# -------------------------------------------------------------------------------------------------- locks

HOLDER = """
import sys, time
from pathlib import Path
from tane import files, locks
from tane.errors import LockedError
try:
    with locks.locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read(1)
except LockedError as error:
    print(error, flush=True)
    sys.exit(error.code)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=pipe, stdout=pipe, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_lock_is_exclusive_and_names_its_owner(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(LockedError) as caught, locks.locked(tmp_path):
        pytest.fail("two processes hold one folder")
    assert f"pid {holder.pid} on " in str(caught.value) and caught.value.code == 5
    other = run(HOLDER, str(tmp_path))
    assert other.returncode == 5 and f"pid {holder.pid} " in other.stdout


def test_a_lock_is_free_when_its_owner_dies_or_leaves(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locks.locked(tmp_path):
        assert f"pid {os.getpid()} " in (tmp_path / ".lock").read_text()
        with pytest.raises(LockedError, match=f"pid {os.getpid()} "), locks.locked(tmp_path):
            pass
    with locks.locked(tmp_path):
        pass


def test_a_lock_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaneError, match="inside"), locks.locked(tmp_path / "new"):
        raise TaneError("inside")
    with locks.locked(tmp_path / "new"):
        pass


def test_a_lock_that_was_taken_away_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner before us removes the folder between our opening of its lock file and our locking it."""
    folder, flock = tmp_path / "a" / "b", fcntl.flock

    def late(handle: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        shutil.rmtree(tmp_path / "a")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locks.locked(folder):
        assert f"pid {os.getpid()} " in (folder / ".lock").read_text()
        other = run(HOLDER, str(folder))
        assert other.returncode == 5 and f"pid {os.getpid()} " in other.stdout


def test_a_folder_that_was_taken_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, make = tmp_path / "a" / "b", files.make_folder

    def lost(path: Path) -> None:
        monkeypatch.setattr(files, "make_folder", make)
        make(path)
        shutil.rmtree(tmp_path / "a")

    monkeypatch.setattr(files, "make_folder", lost)
    with locks.locked(folder):
        assert run(HOLDER, str(folder)).returncode == 5


def test_after_an_error_a_folder_with_nothing_in_it_goes(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, kept in ("new", []), ("new/and/deep", []), ("there/new", []), ("there", [".lock"]):
        folder = tmp_path / name
        above = resources.existing_parent(folder)
        with pytest.raises(TaneError, match="x"), locks.locked(folder), locks.unmade(folder, above):
            raise TaneError("x")
        assert sorted(path.name for path in tmp_path.rglob("*")) == [*kept, "there"]


def test_after_an_error_what_holds_something_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(TaneError, match="x"), locks.locked(folder), locks.unmade(folder, tmp_path):
        (folder / "work").touch()
        raise TaneError("x")
    assert sorted(os.listdir(folder)) == [".lock", "work"]
    with locks.locked(folder), locks.unmade(folder, tmp_path):
        (folder / "work").unlink()
    assert os.listdir(folder) == [".lock"], "no error: it stays"


def test_many_who_fail_at_once_never_hold_it_together(tmp_path: Path) -> None:
    folder, inside, worst, ends = tmp_path / "a" / "b", [0], [0], set()

    def work() -> None:
        for _ in range(100):
            try:
                with locks.locked(folder), locks.unmade(folder, tmp_path):
                    inside[0] += 1
                    worst[0] = max(worst[0], inside[0])
                    time.sleep(0)
                    inside[0] -= 1
                    raise TaneError("x")
            except TaneError as error:
                ends.add(type(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == [1] and ends <= {TaneError, LockedError} and not (tmp_path / "a").exists()


def test_of_many_starts_exactly_one_goes_on(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=pipe, stdout=pipe, text=True)
        for _ in range(6)
    ]
    try:
        lines = [child.stdout.readline() for child in children if child.stdout]
        assert lines.count("held\n") == 1
        owner = children[lines.index("held\n")]
        assert all(f"pid {owner.pid} " in line for line in lines if line != "held\n")
        for child in children:
            if child is not owner:
                assert child.wait(timeout=20) == 5
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_a_disk_that_knows_no_locks_is_not_a_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ResourceError, match="cannot be locked"), locks.locked(tmp_path):
        pass


# --------------------------------------------------------------------------------------------- failpoints


def test_failpoints_are_off_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TANE_FAILPOINT", raising=False)
    files.failpoint("publish.before_write")
    monkeypatch.setenv("TANE_FAILPOINT", "publish.before_write=ENOSPC")
    files.failpoint("publish.before_manifest")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.failpoint("publish.before_write")


def test_a_place_is_claimed_by_one_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (tmp_path / ".tmp-out-1-a").mkdir()
    (tmp_path / ".tmp-out-2-1-a").mkdir()  # of another place, called out-2
    with locks.claimed(target):
        assert not (tmp_path / ".tmp-out-1-a").exists() and (tmp_path / ".tmp-out-2-1-a").exists()
        with (
            pytest.raises(LockedError, match=f"{target} is in use by pid {os.getpid()}"),
            locks.claimed(target),
        ):
            pass
        with locks.claimed(tmp_path / "other"):
            files.publish(target, KIND, filler("new"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".tmp-out-2-1-a", "out"]


def test_weights_that_are_no_more_what_was_written_are_refused(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "model").mkdir()
        for name in ("model/model.safetensors", "model/config.json"):
            (folder / name).write_bytes(b"12345678")

    files.publish(tmp_path / "step-000000001", KIND, write)
    (tmp_path / "model").symlink_to("step-000000001/model")
    for model in (tmp_path / "model", tmp_path / "step-000000001" / "model"):
        for name, weights in (("config.json", False), ("model.safetensors", True)):
            files.require_as_written(model, weights=weights)
            (model / name).write_bytes(b"12345679")
            files.require_as_written(model, weights=not weights)
            with pytest.raises(IntegrityError, match=f"{name} is damaged or was changed"):
                files.require_as_written(model, weights=weights)
            (model / name).write_bytes(b"12345678")
    files.require_as_written(tmp_path, weights=True)  # nothing of ours
    files.publish(tmp_path / "export", KIND, lambda place: shutil.copy(model / "config.json", place) and None)
    (tmp_path / "export" / "config.json").write_bytes(b"anybody's to change")
    files.require_as_written(tmp_path / "export", weights=False)


def test_an_error_of_the_system_is_known_in_all_its_voices(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    found = [resources.number_of(error) for error in (
        OSError(errno.ENOSPC, "x"), RuntimeError("I/O error: No space left on device (os error 28)"),
        ImportError("libx.so: cannot open shared object file: Error 24"), ValueError("(os error)"),
        FileNotFoundError(f"No such file or directory: {tmp_path / 'there'}"),
        FileNotFoundError(f"No such file or directory: {tmp_path / 'absent'}"), 
        InputError("Too many open files"),
    )]  # fmt: skip
    assert found == [errno.ENOSPC, errno.ENOSPC, errno.EMFILE, 0, errno.EMFILE, errno.ENOENT, 0]
    told = resources.foreseen(MemoryError())
    assert told is not None and "out of memory" in told.message
    assert resources.foreseen(ValueError("x")) is None


def test_a_refused_input_is_no_fault_of_the_file_where_handles_are_short() -> None:
    cases = (
        (errno.EMFILE, InputError, 3),
        (errno.EACCES, InputError, None),
        (errno.EMFILE, IntegrityError, None),
    )
    for number, kind, expected in cases:
        try:
            try:
                raise OSError(number, "x")
            except OSError:
                raise kind("config.json cannot be read") from None
        except kind as error:
            found = resources.short_of_handles(error)
        assert (found.code if found else None) == expected
