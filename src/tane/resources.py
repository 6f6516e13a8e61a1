"""What our outputs and our work may lack: disk, rights, file handles, memory. The system tells it in many
voices (errno, texts of libraries written in Rust, C++ and CUDA); a person gets one ResourceError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tane.errors import InputError, ResourceError, TaneError

LACKS = {  # errno -> what our outputs lack
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the size limit of this process or disk",
    errno.EIO: "the disk reports an input/output error",
    errno.EMFILE: "this process has too many open files",
    errno.ENFILE: "this machine has too many open files",
    errno.EACCES: "no right to write there",
    errno.EPERM: "no right to write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOMEM: "the machine is out of memory",
}


def existing_parent(path: Path) -> Path:
    """The nearest folder at or above `path` that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


@contextlib.contextmanager
def writing(path: Path, needs: int | None = None) -> Iterator[None]:
    """Turn the system's errors on our outputs into one ResourceError that names the path and what is
    lacking. needs: how many bytes the output takes, about."""
    try:
        yield
    except Exception as error:
        number = number_of(error)
        if number not in LACKS:
            raise
        lacking, remedy = lack(number, path, needs)
        raise ResourceError(f"cannot write {path}: {lacking}", remedy) from error


def lack(number: int, path: Path, needs: int | None = None) -> tuple[str, str]:
    """(what is lacking for an output, what to do) by the system's number of the error."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        told = f"{LACKS[number]} ({space(path, needs)})"
        return told, "free some space and run the same command again"
    return LACKS[number], "choose another folder or mend it"


def space(path: Path, needs: int | None) -> str:
    """What an output needs, as far as that is known, and what is free where it goes, in words."""
    need = "" if needs is None else f"about {needs / 1e6:,.1f} MB are needed, "
    try:
        return f"{need}{shutil.disk_usage(existing_parent(path)).free / 1e6:,.1f} MB are free"
    except OSError:
        return f"{need}what is free is not known"


def number_of(error: BaseException) -> int:
    """The system's number of an error, also where a library tells it only in its text; 0: none."""
    if isinstance(error, TaneError):
        return 0
    text = str(error)
    if isinstance(error, FileNotFoundError) and error.errno is None:
        return _why_not_opened(text.rpartition(": ")[2])
    if isinstance(error, OSError):
        return error.errno or 0
    # as the standard library of Rust and the loader of shared libraries write it
    found = re.search(r"\(os error (\d+)\)|: Error (\d+)$", text, re.MULTILINE)
    if found:
        return int(found[1] or found[2])
    return next((number for number in LACKS if os.strerror(number) in text), 0)


def _why_not_opened(path: str) -> int:
    # safetensors says of every file that it cannot open that there is none
    if not os.path.exists(path):
        return errno.ENOENT
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return error.errno or errno.EMFILE
    return errno.EMFILE  # it can be opened now: what was short a moment ago


def short_of_handles(error: TaneError) -> ResourceError | None:
    """The error itself, as one of this process, where an input was refused for want of a file handle: the
    file may be sound. None for all other errors."""
    cause: BaseException | None = error if isinstance(error, InputError) else None
    while cause is not None:
        if number_of(cause) in (errno.EMFILE, errno.ENFILE):
            return ResourceError(error.message, "raise the limit of open files: ulimit -n 4096", error.result)
        cause = cause.__cause__ or cause.__context__
    return None


OF_MEMORY = (  # how libraries tell that they could not have more
    "can't allocate memory", "Cannot allocate memory", "bad_alloc", "not enough memory", "out of memory",
    "can't start new thread", "failed to map segment", "ThreadPoolBuildError",
)  # fmt: skip


def is_memory(error: BaseException) -> bool:
    """Whether an error tells that there was not enough memory, of the machine or of a graphics card."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    text = str(error)
    return known or number_of(error) == errno.ENOMEM or any(told in text for told in OF_MEMORY)


def foreseen(error: BaseException) -> ResourceError | None:
    """An error of the system that nobody translated where it rose; None for what is no lack."""
    number = number_of(error)
    if is_memory(error):
        return ResourceError(
            "out of memory",
            "free some; in training lower --train.micro-batch-tokens, then --objective.block-size",
        )
    if number not in LACKS:
        return None
    name = getattr(error, "filename", None)
    return ResourceError(f"{name or 'a file'}: {LACKS[number]}")
