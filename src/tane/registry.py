"""Short names of the parts that can be chosen: a short name is a file name.

`find("objectives", "causal")` imports `tane.objectives.causal` and takes the class whose name is the file's
(`Causal`; case and underscores do not matter). A dash in a name stands for an underscore. A user's own part
is written `my_package.my_module:Class`. To add an objective, an optimizer, a source or a task is to add one
file.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any

from tane.errors import InputError


def names(kind: str) -> list[str]:
    """The short names of one kind, such as "objectives" or "optim", in alphabetical order."""
    package = importlib.import_module(f"tane.{kind}")
    hidden = getattr(package, "NOT_PARTS", ())
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in hidden)


def find(kind: str, name: str) -> type[Any]:
    """The class behind a short name or a "pkg.module:Class". Raises InputError with the nearest name."""
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            remedy = "write pkg.module:Class of an installed module"
            raise InputError(f"cannot import {name!r}: {error}", remedy) from None
        if not isinstance(found, type):
            raise InputError(
                f"{name!r} is a {type(found).__name__}", "write pkg.module:Class; it must be a class"
            )
        return found
    known, name = names(kind), name.replace("-", "_")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(known)}"
        raise InputError(f"unknown name {name!r} among {kind}", hint)
    module = importlib.import_module(f"tane.{kind}.{name}")
    wanted = name.replace("_", "")
    return next(v for k, v in vars(module).items() if k.lower() == wanted and isinstance(v, type))
