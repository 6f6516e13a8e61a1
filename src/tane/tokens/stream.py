"""`BlockDataset`: text -> token ids -> blocks, a stream that any torch loop can read.

    ds = tane.BlockDataset.from_file(tokenizer=tokenizer, path="train.txt", block_size=1024)
    loader = DataLoader(ds, batch_size=8, collate_fn=ds.collate, num_workers=1)

For a loop of one's own, HF's Trainer or Lightning; `tane train` reads shards, where resuming costs nothing.
Where a block begins depends on all text before it. So every rank and worker process encodes the whole stream
and keeps each n-th block, and the blocks are the same for any n: workers take the encoding out of the loop's
way but do not divide it, and one is mostly enough.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.utils.data

from tane.errors import InputError
from tane.tokens.stream_texts import Lines, check_texts, encoder_of
from tane.tokens.turns import Turns, owner, require, share
from tane.types import IGNORE

TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 512, 1 << 18  # of one call to the tokenizer
SETTINGS = ("block_size", "labels", "eos", "seed", "shuffle_buffer", "world_size")  # equal in a resumed run
Item = dict[str, list[int]]


class BlockDataset(torch.utils.data.IterableDataset[Item]):
    """Blocks of T = `block_size` ids from one continuous stream of texts, as dicts of lists of int.

    tokenizer: HF's (fast or Python), `tokenizers.Tokenizer`, or any object with `encode(text) -> list[int]`;
    no special tokens are added. What is spelled like one in a text is one if HF's tokenizer says so, but
    never where that has a mask token: in a text to be trained on, [MASK] is text. texts: a list or what else
    can be read again, or a function that gives it.

    - labels="next": `input_ids` ids[0:T], `labels` ids[1:T+1], the next block starts at T: every token but
      the first is a target exactly once. Compare with the logits yourself: a HF model would shift once more.
      labels="same": both are the same T ids, each token in exactly one block: HF models shift inside.
    - drop_last=False gives the rest as a shorter dict; eos=True puts the tokenizer's EOS after each text.
    - Block i goes to rank i mod R and there to worker (i // R) mod W: each block comes exactly once. Ranks
      are torch.distributed's, else RANK and WORLD_SIZE of the environment, unless `rank=`, `world_size=` say
      so; a loader prepared by accelerate (HF's Trainer) is given all blocks, since it deals them out itself.
    - So a rank may have one block more than another, and DDP wait for ever at the end. even=True leaves out
      the last incomplete round, at most R - 1 blocks: right for training, wrong for measuring.
    - shuffle_buffer=n shuffles among n held blocks of each consumer, the order follows from (seed, epoch).
      Each new iteration is the next epoch, from 0 on, whatever the workers; `set_epoch` overrides that.
    """

    def __init__(
        self,
        tokenizer: Any,
        texts: Iterable[str] | Callable[[], Iterable[str]],
        block_size: int,
        *,
        drop_last: bool = True,
        shuffle_buffer: int = 0,
        seed: int = 0,
        labels: Literal["next", "same"] = "next",
        eos: bool = False,
        even: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        """Raises InputError where an argument cannot be meant."""
        super().__init__()
        for name, value, least in ("block_size", block_size, 1), ("shuffle_buffer", shuffle_buffer, 0):
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(whole and value >= least, f"{name}={value!r}", f"give a whole number from {least} on")
        require(labels in ("next", "same"), f"labels={labels!r}", 'write "next", or "same" for HF models')
        require(isinstance(seed, int), f"seed={seed!r}", "give a whole number")
        encodes = hasattr(tokenizer, "encode") and not isinstance(tokenizer, str)
        require(encodes, f"{tokenizer!r} is no tokenizer", "load it: tane.load_tokenizer(...)")
        ranked = world_size is None if rank is None else 0 <= rank < (world_size or 0)
        require(ranked, f"rank={rank}, world_size={world_size}", "give both, rank < world_size, or none")
        check_texts(texts)
        self.tokenizer, self.texts, self.block_size, self.labels = tokenizer, texts, block_size, labels
        self.drop_last, self.shuffle_buffer, self.seed, self.even = drop_last, shuffle_buffer, seed, even
        self.eos = getattr(tokenizer, "eos_token_id", None) if eos else None
        lacks = f"eos=True, but this {type(tokenizer).__name__} has no eos_token_id"
        require(not eos or self.eos is not None, lacks, "set its eos_token to a token that it has")
        self.given_ranks = None if rank is None or world_size is None else (rank, world_size)
        self._maker: tuple[int, ...] = ()  # where this was pickled: process id, rank, world size
        self._position: dict[str, int] = {}  # of the latest iteration in this process: turn, epoch, blocks
        self._had_texts = False
        self._turns = Turns()

    @classmethod
    def from_texts(cls, tokenizer: Any, texts: Any, block_size: int, **options: Any) -> BlockDataset:
        """Blocks of texts in memory, or of what gives them anew each time; options: those of the class."""
        return cls(tokenizer, texts, block_size, **options)

    @classmethod
    def from_file(cls, tokenizer: Any, path: str | Path, block_size: int, **options: Any) -> BlockDataset:
        """Blocks of a text file (also .gz), each line one text; options: the class's, and `encoding`."""
        return cls(tokenizer, Lines(Path(path), options.pop("encoding", "auto")), block_size, **options)

    # --------------------------------------------------------------------------------------------- the stream

    def __iter__(self) -> Iterator[Item]:
        """Begin the next epoch, or go on where `load_state_dict` said."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        turn, epoch, blocks, batch_size = self._turns.take()
        part, skip = share(blocks, batch_size, worker, workers)
        self._position = {"turn": turn, "epoch": epoch, "blocks": skip}
        return self._run(self._position, part, workers, skip)

    def _run(self, position: dict[str, int], part: int, parts: int, skip: int) -> Iterator[Item]:
        """What this consumer is given after `skip` blocks, counted in `position`."""
        rank, world = self._ranks()
        blocks = self._own(rank, world, part, parts)
        if self.shuffle_buffer:  # after sharing: ranks that differ in the epoch still lose and double nothing
            key, stream = _words(self.seed, position["epoch"]), _words(0, 0, 0, rank + world * part)
            bits = np.random.Philox(key=key, counter=stream)
            blocks = _shuffled(blocks, self.shuffle_buffer, lambda n: int(bits.random_raw()) % n)
        for ids in islice(blocks, skip, None):
            position["blocks"] += 1
            yield self._item(ids)
        position.update(epoch=position["epoch"] + 1, blocks=0)

    def _own(self, rank: int, world: int, part: int, parts: int) -> Iterator[list[int]]:
        """The blocks of one consumer; with `even` each only when all ranks have theirs of the same round."""
        held, total = None, 0
        for number, ids in enumerate(self._windows()):
            total = number + 1
            if number % (world * parts) == rank + world * part:
                held = ids
            if held is not None and (not self.even or total % world == 0):
                yield held
                held = None
        if total == rank == part == 0:
            warnings.warn(f"{self!r}: the texts hold too few tokens for one block", stacklevel=2)
        if _distributed() and part == 0 < total % world <= rank and not self.even:
            told = (
                f"rank {rank} of {world} is done, rank 0 has a block more: if it waits (DDP), give even=True"
            )
            warnings.warn(told, stacklevel=2)

    def _windows(self) -> Iterator[list[int]]:
        """All blocks of the stream: T ids, or for labels="next" T+1 ids that overlap by one."""
        encode, step = encoder_of(self.tokenizer), self.block_size
        size = step + (self.labels == "next")
        pending: list[int] = []
        for texts in self._batches():
            for ids in encode(texts):
                pending.extend(ids if self.eos is None else [*ids, self.eos])
                start = 0
                while len(pending) - start >= size:
                    yield pending[start : start + size]
                    start += step
                del pending[:start]  # once for each text: at each block, a long line takes quadratic time
        if not self.drop_last and len(pending) > size - step:  # with "next", a lone id has nothing to predict
            yield pending

    def _batches(self) -> Iterator[list[str]]:
        """The texts in lists for the tokenizer."""
        texts: list[str] = []
        length = count = 0
        for count, text in enumerate(self.texts() if callable(self.texts) else self.texts, start=1):
            if not isinstance(text, str):
                remedy = 'give the texts alone, such as texts=dataset["text"]'
                raise InputError(f"text {count} is a {type(text).__name__}, not a str", remedy)
            texts.append(text)
            length += len(text)
            if len(texts) >= TEXTS_AT_ONCE or length >= CHARACTERS_AT_ONCE:
                yield texts
                texts, length = [], 0
        yield texts
        again = "let the function open its source anew at each call"
        require(count or not self._had_texts, "the texts were gone when they were read once more", again)
        self._had_texts = count > 0

    def _item(self, ids: list[int]) -> Item:
        following = self.labels == "next"
        return {"input_ids": ids[:-1] if following else ids, "labels": ids[1:] if following else ids.copy()}

    def first(self) -> Item:
        """The stream's first block, to look at; counts as no iteration. InputError if there is none."""
        for ids in self._windows():
            return self._item(ids)
        raise InputError("the texts hold too few tokens for one block", "give more, or a smaller block_size")

    @staticmethod
    def collate(items: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
        """Dicts of lists -> dict of int64 tensors (B, T), for a loader; shorter ones are filled on the right.

        Labels are filled with -100, ids with 0, and there is never an attention mask: in a causal model no
        real position sees what stands on its right, a mask would cost SDPA its fast path, and so all batches
        have the same keys.
        """
        longest = max(len(item["input_ids"]) for item in items)
        batch = {}
        for key in items[0]:
            fill = [IGNORE if key == "labels" else 0]
            batch[key] = torch.tensor([[*item[key], *fill * (longest - len(item[key]))] for item in items])
        return batch

    # ---------------------------------------------------------------------------------- epochs and resuming

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration epoch `epoch`, those after it the following; to be called before iter()."""
        loaded = self._turns.pending()
        if loaded and loaded["blocks"]:
            if loaded["epoch"] == epoch:
                return  # a loop that calls this before every epoch keeps the place in the one that it resumes
            warnings.warn(f"set_epoch({epoch}) drops the position that was loaded: {loaded}", stacklevel=2)
        self._turns.restart(int(epoch))

    def state_dict(self) -> dict[str, Any]:
        """How many blocks of which epoch this process was given, and the settings that resuming needs equal.

        With worker processes the main one cannot count, as they read ahead, and this raises InputError: keep
        `{"epoch": e, "blocks": n * b, "batch_size": b}` after n batches of b blocks in epoch e.
        """
        ordered = self._turns.pending()
        if ordered is None and self._position.get("turn") != self._turns.latest():
            remedy = 'save {"epoch": e, "blocks": batches * batch_size, "batch_size": batch_size}'
            raise InputError("worker processes gave the blocks, only the loop can count them", remedy)
        position = ordered or {key: self._position[key] for key in ("epoch", "blocks")}
        return {**position, **self._settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration give what remains of `state["epoch"]` after `state["blocks"]` of this rank.

        Several workers also need `batch_size`. The text before that place is read and encoded once more.
        """
        settings, known = self._settings(), {"epoch", "blocks", "batch_size", *SETTINGS}
        complete = {"epoch", "blocks"} <= set(state) <= known
        require(complete, f"a state with the keys {sorted(state)}", 'give {"epoch": 0, "blocks": 120, ...}')
        other = {name: state[name] for name in settings if state.get(name, settings[name]) != settings[name]}
        remedy = "make the dataset with the same settings, on as many ranks"
        require(not other, f"the position was saved with {other}, this dataset has {settings}", remedy)
        epoch, blocks, size = (int(state.get(key, 0)) for key in ("epoch", "blocks", "batch_size"))
        valid, remedy = min(epoch, blocks, size) >= 0, "blocks is the number of batches x batch_size"
        require(valid and not (size and blocks % size), f"{dict(state)} is no position", remedy)
        self._turns.restart(epoch, blocks, size)

    def _settings(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in SETTINGS[:-1]}, SETTINGS[-1]: self._ranks()[1]}

    def _ranks(self) -> tuple[int, int]:
        """(rank, R): among how many ranks the blocks are shared, and which of them this is."""
        if self.given_ranks or _dealt_by_accelerate(self):
            return self.given_ranks or (0, 1)
        if _distributed():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        if self._maker and torch.utils.data.get_worker_info() and self._maker[0] == owner():
            return self._maker[1], self._maker[2]  # a spawned worker has no process group, its maker had
        if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
            return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return 0, 1

    def __getstate__(self) -> dict[str, Any]:
        """All of it, and the ranks as they are here."""
        return {**self.__dict__, "_maker": (os.getpid(), *self._ranks())}

    def __repr__(self) -> str:
        """Tokenizer, texts and settings."""
        texts = f"{len(self.texts)} texts" if isinstance(self.texts, (list, tuple)) else repr(self.texts)
        names = ("block_size", "labels", "drop_last", "shuffle_buffer", "seed")
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"BlockDataset({type(self.tokenizer).__name__}, {texts}, {shown})"


def _shuffled(blocks: Iterator[list[int]], size: int, draw: Callable[[int], int]) -> Iterator[list[int]]:
    """For each block that comes in, a random one of `size` goes out; `draw(n)` is a number below n."""
    held = list(islice(blocks, size))
    for block in blocks:
        at = draw(size)
        yield held[at]
        held[at] = block
    while held:
        at = draw(len(held))
        held[at], held[-1] = held[-1], held[at]
        yield held.pop()


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _dealt_by_accelerate(dataset: BlockDataset) -> bool:
    """Whether a loader that accelerate prepared reads the dataset (or an `IterableDatasetShard` of it)."""
    gradient_state = getattr(sys.modules.get("accelerate.state"), "GradientState", None)
    loaders = (
        gradient_state().dataloader_references if gradient_state and gradient_state._shared_state else []
    )
    inner = [getattr(loader, "dataset", None) for loader in loaders]
    return any(dataset is one or dataset is getattr(one, "dataset", None) for one in inner)


def _words(*values: int) -> np.ndarray:
    return np.array([value & (2**64 - 1) for value in values], dtype=np.uint64)
