"""Texts that a terminal gives in another encoding are named, before a model is opened."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tane.errors import InputError
from tane.use.fill import fill_mask
from tane.use.generate import generate
from tane.use.predict import predict

BROKEN = (os.fsdecode(b"\x8ft\x82\xcc\x8aC"), "春\ud83d夏")  # bytes of Shift_JIS; half of an emoji's pair


@pytest.mark.parametrize("use", [generate, fill_mask, predict])
@pytest.mark.parametrize("broken", BROKEN)
def test_bytes_that_are_no_utf8_are_told_with_the_texts_number(
    tmp_path: Path, use: Callable[[Path, list[str]], object], broken: str
) -> None:
    with pytest.raises(InputError, match="text 2 holds bytes that are no UTF-8"):
        use(tmp_path, ["春の＿", broken])
