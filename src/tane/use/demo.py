"""`tane demo`: the whole road on the bundled text, offline, in a few minutes on two cores.

Text, tokenizer, a small GPT, the validation curve, three stories, and how much of them is copied or invented.
`--input FILE...` walks the same road on the person's own text.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane import progress
from tane.errors import InputError, IntegrityError
from tane.recipe import Recipe, train
from tane.text.corpus import Corpus
from tane.training.tracker import read_metrics
from tane.types import Result
from tane.use.predict import generate

PROMPTS = ("ある秋の日、", "雨がふったので、", "")
STORIES = 3


def recipe_for(out: Path, inputs: Sequence[str], steps: int) -> Recipe:
    """The demo's settings: GPT-2 of 4 layers and width 256, 2,048 tokens a step."""
    return Recipe.from_mapping(
        {
            "run_dir": str(out / "gpt"),
            "corpus": {"inputs": list(inputs)},
            "tokenizer": {"vocab_size": 4000},
            "objective": {"name": "causal", "block_size": 128},
            "train": {"duration": f"{steps} steps", "batch_tokens": 2048, "eval_every": 0.2},
        },
        where="the demo",
    )


def demo(out: str | Path = "runs/demo", *, inputs: Sequence[str] | None = None, steps: int = 300) -> Result:
    """Run the demo in `out`; a second call goes on or shows the finished run. `inputs`: the person's own
    files."""
    from tane.sample import check_stories, write_corpus

    start, out = time.perf_counter(), Path(out)
    own = inputs is not None
    if not own:
        text = out / "sample.txt"
        if not text.exists():
            out.mkdir(parents=True, exist_ok=True)
            write_corpus(text)
        inputs = [str(text)]
        progress.say(f"the bundled text: {text} ({text.stat().st_size / 1e6:.1f} MB, made by tane.sample)")
    try:
        result = train(recipe_for(out, inputs or [], steps))
    except (InputError, IntegrityError) as error:
        if (out / "gpt" / "requested.yaml").exists():  # a demo of another text or version stands there
            raise type(error)(
                error.message, f"choose another folder, such as: tane demo --out {out}-2"
            ) from None
        raise
    run_dir = Path(result.metrics["run"])
    curve = [
        (e["step"], round(e["loss"], 3), round(e["bits_per_char"], 3)) for e in read_metrics(run_dir, "eval")
    ]
    print("\nvalidation loss while training")
    for step, loss, bits in curve:
        print(
            f"  step {step:>5}   {loss:6.3f} nats a token   {bits:5.3f} bits a character   "
            f"{'█' * round(loss * 6)}"
        )
    texts = _stories(result.metrics["model"], own)
    print("\nwhat it writes")
    for story in texts:
        print(f"  {story.strip()}\n")
    values: dict[str, Any] = {
        "run": str(run_dir),
        "model": result.metrics["model"],
        "curve": curve,
        "texts": texts,
    }
    corpus = Corpus.open(run_dir / "data" / "corpus")
    shares = check_stories(texts, corpus.texts("train"))
    print(f"  {shares}")
    values |= {"verbatim_share": shares.verbatim_share, "outside_share": shares.outside_share}
    values["seconds"] = round(time.perf_counter() - start, 1)
    print(f"\nthe model is in {result.metrics['model']} ({values['seconds']:.0f} s). Go on with:")
    print(f"  tane generate {run_dir} --prompt 春になると、 --num 3")
    print(f"  tane export {run_dir} my-model")
    return Result(str(out), {**result.metrics, **values})


def _stories(model: str, own: bool) -> list[str]:
    prompts = ("",) * STORIES if own else PROMPTS
    return generate(model, prompts, max_new_tokens=100, temperature=0.8, top_p=0.9, seed=1).metrics["texts"]
