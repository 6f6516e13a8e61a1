"""Whose turn it is: the lock of a folder, freed by the kernel when its owner dies, and never stale."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tane import files
from tane.errors import LockedError, ResourceError
from tane.resources import writing

LOCK = ".lock"
TRIES = 100  # of a lock that others take away meanwhile
ELSEWHERE = "choose a folder on a local disk"


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder for this process; the kernel frees it when the process dies, so a lock is never stale.

    shared: several processes may hold it so at once, but none alone meanwhile. Raises LockedError with the
    owner's pid, host and start when another process holds it.
    """
    handle = _own(folder / LOCK, folder, shared)
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def claimed(target: Path) -> Iterator[None]:
    """Hold a place where a folder is to appear among files that are not ours, and clear what a killed
    process left of it; nothing but the folder is there afterwards. Raises LockedError as `locked` does."""
    path = target.parent / f"{LOCK}-{target.name}"
    handle = _own(path, target, False)
    try:
        files.sweep(target.parent, target.name)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def unmade(folder: Path, above: Path) -> Iterator[None]:
    """After an error, take away a locked folder that holds nothing but its lock, and empty ones over it.

    above: the folder over them that was there before; call `locked` between looking at it and this. A folder
    that was there itself stays. Use it only where the lock is not shared.
    """
    try:
        yield
    except BaseException:
        place = folder.absolute()
        with contextlib.suppress(OSError):  # such as one that is not empty: that one stays
            if place != above and os.listdir(place) == [LOCK]:
                (place / LOCK).unlink()
                while place != above:
                    place.rmdir()
                    place = place.parent
        raise


def _own(path: Path, what: Path, shared: bool) -> int:
    """The handle of a lock file that this process has locked, and that is the one at `path`.

    The owner before us may take it away, and its folder, while we make, open and lock them; then again. Who
    held a file that is no longer there would hold nothing: the next process makes a new one.
    """
    for left in reversed(range(TRIES)):
        try:
            files.make_folder(path.parent)
            handle = _hold(path, what, shared)
        except (FileNotFoundError, ResourceError) as error:
            if left and _may_pass(error, path.parent):
                continue
            if isinstance(error, ResourceError):
                raise
            raise ResourceError(f"{what} cannot be locked: {error.strerror}", ELSEWHERE) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)
    raise ResourceError(f"{what} cannot be locked: its lock is taken away again and again", ELSEWHERE)


def _may_pass(error: Exception, folder: Path) -> bool:
    """Whether a folder that cannot be made or opened may just be on its way out."""
    cause = error.__cause__ or error
    there = os.path.lexists(folder) and not folder.is_dir()
    return isinstance(cause, FileNotFoundError) or (isinstance(cause, FileExistsError) and not there)


def _hold(path: Path, what: Path, shared: bool) -> int:
    """The handle of a lock file that this process has locked. what: the folder, for messages."""
    with writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        with writing(path):
            start = time.strftime("%Y-%m-%d %H:%M:%S")
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()} since {start}\n".encode(), 0)
    except BlockingIOError:
        owner = _owner(handle)
        os.close(handle)
        raise LockedError(
            f"{what} is in use by {owner}", "wait for it, stop it, or choose another folder"
        ) from None
    except OSError as error:
        os.close(handle)
        raise ResourceError(f"{what} cannot be locked: {error.strerror}", ELSEWHERE) from error
    except ResourceError:
        os.close(handle)
        raise
    return handle


def _owner(handle: int) -> str:
    """What the owner of a lock wrote into it. One that has just begun may still be about to: what stands
    there may be the name of the one before."""
    told = ""
    for _ in range(20):
        text = os.pread(handle, 500, 0).decode("utf-8", "replace").strip()
        named = re.match(r"pid (\d+) on (.*) since ", text)
        here = named is not None and named[2] == socket.gethostname()
        if named and here and _lives(int(named[1])):
            return text
        told = text if named and not here else ""
        time.sleep(0.01)
    return told or "another process"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
