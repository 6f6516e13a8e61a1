"""Attention that keeps the segments of a packed row apart, for each family of models.

One of four ways, chosen once for a run:

    eager      plain matrix products with an additive mask: the fastest on a CPU up to 512 positions
    sdpa       torch's fused kernel with a mask of booleans
    varlen     torch's kernel for rows of many lengths, through transformers' AttentionInterface: a GPU's
    separate   each segment a row of its own, padded: right for every model, slow for short texts

Whether a model really keeps segments apart is tried before a run, not believed: recurrent or convolutional
layers, or code of its own, may let something pass.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from tane.types import Batch

Way = Literal["eager", "sdpa", "varlen", "separate"]
LONGEST_EAGER = 512  # positions; beyond, the fused kernel is the faster one on a CPU
TOLERANCE = 1e-3  # of the logits' spread; a leak is of the order of the spread itself
VARLEN = "tane_varlen"  # its name among transformers' attention functions
MOST_SEGMENTS = 65_535  # of one call of that kernel: they are a dimension of its grid


def usual_way(device: str, precision: str, packs: bool, length: int) -> Way:
    """The fastest way on a device, by docs/LOG.md."""
    if device == "cpu":
        return "eager" if length <= LONGEST_EAGER else "sdpa"
    return (
        "varlen" if packs and device == "cuda" and precision != "fp32" and _kernel() is not None else "sdpa"
    )


class Attention:
    """Calls a model on batches in one of the ways: `attention(model.base_model, batch, OUTPUT)`.

    The way is set in the model; batches without segments are handed on as they are.
    """

    def __init__(self, model: Any, way: Way = "sdpa") -> None:
        self.way = way
        config = model.config
        if way == "varlen":
            _register()
        # a model that knows one way only keeps it, and the trial tells whether it is right
        with contextlib.suppress(ValueError):
            model.set_attn_implementation({"varlen": VARLEN, "separate": "sdpa"}.get(way, way))
        takes = inspect.signature(model.base_model.forward).parameters
        self.takes_positions = "position_ids" in takes
        # RoBERTa and its kin count positions from the one after the padding's, which has a row of its own
        tables = (m for n, m in model.base_model.named_modules() if n.endswith("position_embeddings"))
        paddings = (getattr(table, "padding_idx", None) for table in tables)
        self.offset = next((place + 1 for place in paddings if place is not None), 0)
        self.padding = config.pad_token_id or 0
        rates = (getattr(config, n, 0) for n in ("attention_probs_dropout_prob", "attention_dropout"))
        self.has_dropout = any(rates)
        window = "sliding_attention" in (getattr(config, "layer_types", None) or ())
        self.window: int | None = config.sliding_window if window else None

    def __call__(self, module: Any, batch: Batch, output: str, **more: Any) -> Tensor:
        """The named output of `module` for a batch, (B, T, any)."""
        inputs = dict(batch.inputs)
        if batch.segments is None:
            return getattr(module(**inputs, **more), output)
        if "position_ids" in inputs:
            positions = inputs.pop("position_ids")
            if self.takes_positions:
                inputs["position_ids"] = positions + self.offset
        if self.way == "separate":
            return self._separate(module, inputs, batch.segments, output, more)
        if self.way == "varlen":
            ends = _padded_ends(batch.segments, batch.num_segments)
            length = batch.segments.shape[1]
            more |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends}
            more |= {"max_length_q": length, "max_length_k": length}
        else:
            inputs["attention_mask"] = self._mask(batch.segments)
        return getattr(module(**inputs, **more), output)

    def _mask(self, segments: Tensor) -> Any:
        same = segments[:, None, :, None] == segments[:, None, None, :]
        if self.window is None:
            return self._form(same)
        place = torch.arange(segments.shape[1], device=segments.device)
        near = (place[:, None] - place[None]).abs() <= self.window
        return {"full_attention": self._form(same), "sliding_attention": self._form(same & near)}

    def _form(self, allowed: Tensor) -> Tensor:
        if self.way != "eager":
            return allowed
        # eager attention adds its mask: booleans would be silently wrong there, and -inf gives NaN
        device = allowed.device.type
        on = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if on else torch.float32
        mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
        return mask.masked_fill_(~allowed, torch.finfo(dtype).min)

    def _separate(
        self, module: Any, inputs: dict[str, Tensor], segments: Tensor, output: str, more: dict[str, Any]
    ) -> Tensor:
        """Each segment as a row of its own, the results put back in their places."""
        shape, flat = segments.shape, segments.reshape(-1)
        ends = _ends(segments).long()
        lengths = ends.diff()
        row = torch.repeat_interleave(lengths)  # (B T,) which segment a place belongs to
        place = torch.arange(len(flat), device=flat.device) - ends[:-1][row]
        ids = inputs["input_ids"].new_full((len(lengths), int(lengths.max())), self.padding)
        ids[row, place] = inputs["input_ids"].reshape(-1)
        mask = torch.zeros_like(ids)
        mask[row, place] = 1
        # without positions: each row has those that the model gives by itself
        found = getattr(module(input_ids=ids, attention_mask=mask, **more), output)
        return found[row, place].view(*shape, -1)


def _opens(segments: Tensor) -> Tensor:
    """Where a segment begins in the flat batch, (B T,) bool."""
    opens = torch.ones_like(segments, dtype=torch.bool)
    opens[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return opens.reshape(-1)


def _ends(segments: Tensor) -> Tensor:
    """Where segments end in the flat batch, beginning with 0: (S + 1,) int32. Waits for the device."""
    begins = _opens(segments).nonzero().squeeze(1).to(torch.int32)
    return torch.cat((begins, begins.new_full((1,), segments.numel())))


def _padded_ends(segments: Tensor, known: int) -> Tensor:
    """The same with the last one again and again. `known`, the number of segments, decides the length, in
    steps of an eighth at most: few lengths, so that little is compiled, and nothing waits for the device.

    A kernel pays for each segment, also for one of no length.
    """
    if not known:
        return _ends(segments)
    total = segments.numel()
    place = torch.arange(total, dtype=torch.int32, device=segments.device)
    begins = torch.where(_opens(segments), place, total).sort().values
    ends = torch.cat((begins, begins.new_full((1,), total)))
    step = 1 << max(6, known.bit_length() - 3)
    return ends[: -(-known // step) * step + 1]


# ------------------------------------------------------------------------------------------------- varlen


def _kernel() -> Any:
    """torch's attention over rows of many lengths, or None where this torch has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(VARLEN, _varlen)


def _varlen(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, dropout: float = 0.0,
    scaling: float | None = None, sliding_window: int | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """query, key, value (B, heads, T, D) -> (B, T, heads, D); `more` holds the segments' ends."""
    if dropout:
        raise ValueError("the kernel for rows of many lengths has no dropout in its attention")
    rows, heads, length, width = query.shape
    if "cu_seq_lens_q" not in more:  # a call without segments, such as the trial of a model's head
        if sliding_window is not None and sliding_window < length:
            raise ValueError("the kernel for rows of many lengths needs segments")
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling)
    flat = [x.transpose(1, 2).reshape(rows * length, heads, width) for x in (query, key, value)]
    reach = -1 if sliding_window is None else sliding_window - 1
    if scaling is not None:  # the kernel's own scale is 1 / sqrt(D)
        flat[0] = flat[0] * (scaling * width**0.5)
    found = _kernel()(
        *flat, more["cu_seq_lens_q"], more["cu_seq_lens_k"], more["max_length_q"], more["max_length_k"],
        window_size=(reach, reach),
    )  # fmt: skip
    return found.view(rows, length, heads, width), None


# -------------------------------------------------------------------------------------------------- trials


@contextlib.contextmanager
def _tried(model: Any) -> Iterator[None]:
    """A model as its trials want it: without dropout and gradients, without the rounding of TF32 (in which
    the same row gets other logits in another batch), and with whatever way an operation has."""
    training, rounding = model.training, torch.get_float32_matmul_precision()
    strict, warns = (
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    )  # fmt: skip
    model.eval()
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        torch.set_float32_matmul_precision(rounding)
        model.train(training)


def keeps_segments_apart(model: Any, attention: Attention, length: int, vocabulary_size: int) -> bool:
    """Whether packed segments get the logits that they get alone, tried on one row of `length` positions."""
    if attention.way == "varlen" and attention.has_dropout:
        return False  # its kernel has none
    length = max(6, min(length, 256))
    device = next(model.parameters()).device
    cuts = [0, length // 6, length // 2, length]
    lengths = torch.tensor([b - a for a, b in pairwise(cuts)])
    ids = (torch.arange(length) * 7919 % vocabulary_size)[None].to(device)
    # no text has it, and models that count positions pass it over
    ids = torch.where(ids == attention.padding, (ids + 1) % vocabulary_size, ids)
    segments = torch.repeat_interleave(lengths).to(torch.int32)[None].to(device)
    positions = torch.cat([torch.arange(n) for n in lengths.tolist()])[None].to(device)
    batch = Batch({"input_ids": ids, "position_ids": positions}, ids, 0, length, segments)
    # the kernel for rows of many lengths takes half precision alone, whose rounding the tolerance must bear
    half = attention.way == "varlen" and device.type == "cuda"
    tolerance = 0.1 if half else TOLERANCE
    try:
        with _tried(model), torch.autocast(device.type, torch.bfloat16, enabled=half):
            packed = attention(model, batch, "logits").float()
            alone = Attention(model, "separate")
            for a, b in pairwise(cuts):
                inputs = {name: values[:, a:b] for name, values in batch.inputs.items()}
                one = Batch(inputs, ids[:, a:b], 0, b - a, segments[:, a:b])
                expected = alone(model, one, "logits").float()
                if not (packed[:, a:b] - expected).abs().max() <= tolerance * expected.std():
                    return False
        return True
    # a model that takes no such mask
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError):
        return False
    finally:
        Attention(model, attention.way)


def sees_ahead(model: Any, vocabulary_size: int) -> bool:
    """Whether a token changes the logits of those before it, as in BERT with a causal head."""
    device = next(model.parameters()).device
    ids = (torch.arange(8, device=device) * 7919 % vocabulary_size)[None].repeat(2, 1)
    ids[1, -1] = (ids[0, -1] + 1) % vocabulary_size
    with _tried(model):
        logits = model(input_ids=ids).logits[:, :-1].float()
    return bool((logits[0] - logits[1]).abs().max() > TOLERANCE * logits.std())


def keeps_documents_apart(model: Any, length: int, vocabulary_size: int) -> bool:
    """Whether a causal model given restarting positions, no mask and no cache keeps documents apart: the
    logits of a second document must stay the same when the first one changes, at `length` positions."""
    length = min(length, 256)
    half = length // 2
    device = next(model.parameters()).device
    ids = torch.arange(length, device=device) * 7 % vocabulary_size
    other = ids.clone()
    other[:half] = (ids[:half] + 1) % vocabulary_size
    positions = torch.cat([torch.arange(half), torch.arange(length - half)]).to(device)
    more = {"position_ids": positions[None], "use_cache": False}
    try:
        with _tried(model):
            rows = [model(input_ids=x[None], **more).logits[0, half:].float() for x in (ids, other)]
    except TypeError:  # a model without positions
        return False
    return bool((rows[0] - rows[1]).abs().max() <= TOLERANCE * rows[0].std())
