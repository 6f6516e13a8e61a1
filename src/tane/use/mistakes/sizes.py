"""Mistakes of size: text against model, rate, padding, positions, epochs, disk."""

from __future__ import annotations

from collections.abc import Iterator

from tane.use.mistakes.facts import Facts, Mistake
from tane.use.plan_page import size

# Of a text that is read again and again no more than 16 times its tokens are ever gained (Muennighoff et al.,
# "Scaling Data-Constrained Language Models", 2023: each repetition is worth 1 - 1/15.4 of the one before).
# Twenty tokens a parameter are best (Hoffmann et al., "Chinchilla", 2022). Small models on small text, the
# recipes of this project among them, lie between 2 and 20; below 1 even endless training stays twenty times
# short.
WORTH, LEAST_TOKENS = 16, 1.0

# Peak rates of AdamW by size: 6e-4 at 125 million parameters, falling with the cube root (Brown et al.,
# "GPT-3", 2020, table 2.1, has 2e-4 at 1.3 and 1e-4 at 13 billion), at most 3e-3. Muon, whose update has
# AdamW's scale here, learns best at three times that (docs/recipe-quality.md). What is trained already takes
# a twelfth (Devlin et al., "BERT", 2019: 5e-5 at 110 million); adapters ten times that (Hu et al., "LoRA",
# 2021). The bounds lie a factor of 8 below and 10 above: tutorials' 1e-4 for a small new model, which ends
# 0.86 nats above the default of the recipes, is outside; every rate of the sweep that learns is inside.
USUAL, AT, MOST = 6e-4, 125e6, 3e-3
TIMES = {"adamw": 1.0, "muon": 3.0}
TRAINED_ALREADY, ADAPTERS = 1 / 12, 10.0
BELOW, ABOVE = 8.0, 10.0

PADDING = 0.5  # of the positions: more than half of the work is for nothing

# How often a text may be read. To predict what comes next: 16 times, from when on a repetition is worth a
# third of new text (Muennighoff et al., 2023; up to 4 are nearly as good as new). To guess hidden tokens: 40,
# as each time others are hidden (Devlin et al., 2019, read their text 40 times). A task: 20 (Mosbach et al.,
# "On the Stability of Fine-tuning BERT", 2021).
PASSES, PASSES_HIDDEN, PASSES_TASK = 16, 40, 20


def too_little_text(facts: Facts) -> Iterator[Mistake]:
    """A new model that is too large for its text, however long it trains."""
    values = facts.values
    if facts.recipe.model.pretrained is not None:
        return  # what it knows it brings along
    bears = WORTH * facts.tokens / LEAST_TOKENS
    if values["parameters"] > bears:
        yield Mistake(
            "too-little-text",
            f"{facts.tokens:,} tokens for {values['parameters']:,} parameters: too little text however "
            "often it is read. The model would learn it by heart",
            f"give more text, or a model of at most {_round(bears):,} parameters (--model.preset, or fewer "
            "layers and a smaller --tokenizer.vocab_size); or go on from a trained one: --model.pretrained",
        )


def usual_rates(
    optimizer: str, parameters: int, *, pretrained: bool, adapters: bool, task: bool
) -> tuple[float, float] | None:
    """(lowest, highest) peak learning rate that is usual; None for an optimizer of which nothing is known.

    pretrained: from trained weights; adapters: only these learn; task: on labelled examples, else on text,
    which may be learnt at the rates of a new model too.
    """
    if optimizer not in TIMES:
        return None
    new = TIMES[optimizer] * min(MOST, USUAL * (AT / max(1, parameters)) ** (1 / 3))
    low = new * (TRAINED_ALREADY if pretrained else 1.0)
    high = new * (TRAINED_ALREADY * (ADAPTERS if adapters else 1.0) if pretrained and task else 1.0)
    return low / BELOW, high * ABOVE


def learning_rate(facts: Facts) -> Iterator[Mistake]:
    """A peak learning rate that no model of this size is trained with."""
    recipe, values = facts.recipe, facts.values
    task = recipe.task
    usual = usual_rates(
        recipe.optim.name, values["parameters"], pretrained=recipe.model.pretrained is not None,
        adapters=task is not None and task.lora is not None, task=task is not None,
    )  # fmt: skip
    if usual is None or usual[0] <= recipe.optim.lr <= usual[1]:
        return
    low, high = usual
    middle = (low * BELOW * high / ABOVE) ** 0.5
    high_is = recipe.optim.lr > high
    effect = "the loss would leap or end as not a number" if high_is else "hardly anything would be learnt"
    yield Mistake(
        "learning-rate",
        f"optim.lr is {recipe.optim.lr:g}, {'above' if high_is else 'below'} what {recipe.optim.name} is "
        f"used with at {values['parameters']:,} parameters ({low:.1g} to {high:.1g}): {effect}",
        f"--optim.lr {middle:.1g}",
    )


def mostly_padding(facts: Facts) -> Iterator[Mistake]:
    """Blocks or micro-batches of which most is empty."""
    if facts.padding is None or facts.padding <= PADDING:
        return
    if facts.recipe.task is not None:
        found = f"{facts.padding:.0%} of a micro-batch is padding: few examples are far longer than the rest"
        remedy = "cut them: --task.max_length N; or smaller ones: --train.micro_batch_tokens N"
    else:
        size_of = facts.recipe.objective.block_size
        found = f"{facts.padding:.0%} of the positions of all blocks are padding: the text fills so little"
        remedy = f"a smaller --objective.block_size than {size_of}, or more text"
    yield Mistake("mostly-padding", f"{found}. That work is for nothing", remedy)


def block_beyond_positions(facts: Facts) -> Iterator[Mistake]:
    """Blocks longer than the model's table of positions."""
    wanted = facts.recipe.objective.block_size
    if facts.recipe.task is None and facts.positions is not None and wanted > facts.positions:
        new = facts.recipe.model.pretrained is None
        yield Mistake(
            "block-beyond-positions",
            f"objective.block_size is {wanted:,}, but the model has {facts.positions:,} positions",
            f"--objective.block_size {facts.positions}"
            + (", or leave the model's positions out: they follow the block size" if new else ""),
            stops=True,
        )


def too_many_epochs(facts: Facts) -> Iterator[Mistake]:
    """The same text read so often that nothing is gained."""
    recipe, passes = facts.recipe, facts.passes
    most = PASSES_HIDDEN if recipe.objective.draws else PASSES
    what = "text"
    if recipe.task is not None:
        most, what = PASSES_TASK, "examples"
    if passes is None or passes <= most:
        return
    heaviest = passes > facts.values["epochs"] * 1.001
    yield Mistake(
        "too-many-epochs",
        f"the {'input of the largest weight' if heaviest else what} would be read {passes:,.0f} times, and "
        f"after about {most} nothing more is gained: the model learns it by heart",
        ("a smaller weight, or " if heaviest else "") + f'--train.duration "{_epochs(facts, most)} epochs", '
        + ("or more text" if recipe.task is None else "or more examples"),
    )  # fmt: skip


def _epochs(facts: Facts, most: int) -> str:
    assert facts.passes is not None
    share = facts.values["epochs"] * most / facts.passes  # less where an epoch reads an input several times
    return f"{max(1, int(share))}"


def full_disk(facts: Facts) -> Iterator[Mistake]:
    """A disk that will not hold the checkpoints."""
    if facts.free is not None and facts.free < facts.needs:
        yield Mistake(
            "full-disk",
            f"the run needs about {size(facts.needs)} for its checkpoints below {facts.recipe.run_path}, and "
            f"{size(facts.free)} are free",
            "free some space, or choose another --run-dir"
            + (", or keep fewer: --train.keep 2" if facts.recipe.train.keep > 2 else ""),
            stops=True,
        )


def _round(count: float) -> int:
    """A number with two digits that count."""
    digits = max(0, len(str(int(count))) - 2)
    return int(round(count, -digits))
