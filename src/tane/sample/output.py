"""Files of the sample: whole or not at all, and one message where they cannot be written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from tane.errors import ResourceError
from tane.files import make_folder, sync
from tane.resources import writing


def write_whole(target: Path, pieces: Iterable[str]) -> None:
    """Write the pieces to `target` (UTF-8, LF); its folder is made where it is missing.

    The file appears whole: it is written under a temporary name and then renamed, and an older one stays
    until then. Raises ResourceError where it cannot be written.
    """
    make_folder(target.parent)
    temporary = target.parent / f".tmp-{target.name}-{os.getpid()}"
    try:
        if target.is_dir():
            raise ResourceError(f"cannot write {target}: a folder stands where a file is due", "name a file")
        with writing(target), contextlib.ExitStack() as stack:
            stack.callback(temporary.unlink, missing_ok=True)
            with temporary.open("w", encoding="utf-8", newline="\n") as out:
                out.writelines(pieces)
            sync(temporary)
            os.replace(temporary, target)
            sync(target.parent)
    except OSError as error:  # such as a name that is too long
        reason = error.strerror or str(error)
        raise ResourceError(f"cannot write {target}: {reason}", "name another file") from None
