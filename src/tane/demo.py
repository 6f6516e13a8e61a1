"""`tane demo`: the whole road on the bundled text, offline, in a few minutes on two cores.

Text, tokenizer, a small GPT, the validation curve, three stories, and how much of them is copied or invented;
then a small BERT on the same text, and what it fills into sentences with a blank; then that BERT learns from
labelled pairs whether two sentences say the same. `--input FILE...` walks the same road on the person's own
text, without the pairs.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tane import progress
from tane.errors import InputError, IntegrityError
from tane.recipe import Recipe, train
from tane.reporting import report
from tane.text import words
from tane.text.corpus import Corpus
from tane.tokens.order import key
from tane.tokens.tokenizer import load_tokenizer
from tane.training.tracker import read_metrics
from tane.types import Result
from tane.use import fill
from tane.use.finetune import finetune
from tane.use.generate import generate
from tane.use.predict import predict

GPT_STEPS, BERT_STEPS, PAIR_EPOCHS = 300, 1200, 4
SLOW = {"momentum": 0.95, "beta1": 0.9}  # of Muon, as in recipes/sample-bert.yaml
PROMPTS = ("ある秋の日、", "雨がふったので、", "")
STORIES = 3
MASK = "[MASK]"
FILLS = 5  # of each sentence
SENTENCES, SHOWN = 100, 4  # of one's own text: how many get a blank at most; how many are shown
SENTENCE = re.compile(r"[^\n。．！？!?]+[。．！？!?]")
SHORTEST, LONGEST = 8, 60  # characters of such a sentence
TELLING = re.compile(r"(?=.*[^ぁ-ゖ])[^\W_]+")  # a word that is not of hiragana alone, as particles are
# a sentence, one that says the same, and one that does not
BOTH = (
    "わたしは、りくに本をあげた。",
    "りくは、わたしから本をもらった。",
    "わたしは、りくから本をもらった。",
)
Blank = tuple[str, tuple[str, ...]]  # a text with MASK, and the words that are right


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


def recipe_for_bert(out: Path, inputs: Sequence[str], steps: int) -> Recipe:
    """The demo's settings of the masked model: BERT with rotary positions, 2 layers of 192, on sentences."""
    return Recipe.from_mapping(
        {
            "run_dir": str(out / "bert"),
            "corpus": {"inputs": list(inputs), "unit": "sentence"},
            "tokenizer": {"kind": "mecab-wordpiece", "vocab_size": 4000},
            "model": {
                "config": {
                    "model_type": "roformer",
                    "num_hidden_layers": 2,
                    "hidden_size": 192,
                    "embedding_size": 192,
                    "num_attention_heads": 3,
                    "intermediate_size": 512,
                },
            },
            "objective": {
                "name": "masked",
                "block_size": 128,
                "whole_word": False,
                "mask_prob": 0.45,
                "mask_share": 1.0,
                "random_share": 0.0,
            },
            "optim": {"name": "muon", "lr": 3e-3, "weight_decay": 0.01, **SLOW},
            "train": {"duration": f"{steps} steps", "batch_tokens": 2048, "eval_every": 0.2},
        },
        where="the demo",
    )


def recipe_for_pairs(out: Path, model: str, epochs: float) -> Recipe:
    """The demo's settings of the pair task: the whole BERT, Muon, 32 pairs a step."""
    files = {side: str(out / "pair-files" / f"{side}.csv") for side in ("train", "valid", "test")}
    return Recipe.from_mapping(
        {
            "run_dir": str(out / "pairs"),
            "model": {"pretrained": model},
            "task": {"kind": "pair-classification", "data": files, "batch_examples": 32},
            "optim": {"name": "muon", "lr": 1e-3, **SLOW},
            "train": {"duration": f"{epochs:g} epochs", "eval_every": 0.2},
        },
        where="the demo",
    )


def demo(
    out: str | Path = "runs/demo",
    *,
    inputs: Sequence[str] | None = None,
    steps: int = GPT_STEPS,
    bert_steps: int = BERT_STEPS,
    pair_epochs: float = PAIR_EPOCHS,
) -> Result:
    """Run the demo in `out`; a second call goes on or shows the finished runs. `inputs`: the person's own
    files; steps, bert_steps, pair_epochs: how long the two models and the pair task are trained.

    `metrics`: those of the GPT's training, {curve, texts, verbatim_share, outside_share, seconds} and `bert`:
    {model, valid_loss, valid_accuracy, cloze_top1, cloze_top5, fills}; the shares are None without sentences;
    and `pairs`: what `finetune` gives, None for own text; `reports`: a page of each run.
    """
    from tane.sample import CLOZE, write_corpus

    start, out = time.perf_counter(), Path(out)
    own = inputs is not None
    if not own:
        text = out / "sample.txt"
        if not text.exists():
            write_corpus(text)
        inputs = [str(text)]
        progress.say(f"the bundled text: {text} ({text.stat().st_size / 1e6:.1f} MB, made by tane.sample)")
    values = _gpt(recipe_for(out, inputs or [], steps), out, own)
    progress.say("\nnow a small BERT on the same text, which learns to fill blanks")
    values["bert"] = _bert(recipe_for_bert(out, inputs or [], bert_steps), out, None if own else CLOZE)
    values["pairs"] = None if own else _pairs(out, values["bert"]["model"], pair_epochs)
    runs = [out / "gpt", out / "bert", *([out / "pairs"] if values["pairs"] else [])]
    values["reports"] = [_page(run) for run in runs]
    values["seconds"] = round(time.perf_counter() - start, 1)
    made = [
        values["model"],
        values["bert"]["model"],
        *([values["pairs"]["model"]] if values["pairs"] else []),
    ]
    print(f"\nthe models are in {', '.join(made)} ({values['seconds']:.0f} s). Go on with:")
    print(f"  open {values['reports'][0]} in a browser: curves, samples, the text")
    print(f"  tane generate {out / 'gpt'} --prompt 春になると、 --num 3")
    print(f"  tane fill {out / 'bert'} {shlex.quote(CLOZE[0][0])}")  # or some shells look for files
    print(f"  tane export {out / 'gpt'} my-model")
    if values["pairs"]:
        print(f"  tane predict {out / 'pairs'} --text {BOTH[0]} --text-pair {BOTH[1]}")
    return Result(str(out), values)


def _page(run: Path) -> str:
    """The report of a run: where it is."""
    with progress.silenced():
        return str(report(run).metrics["report"])


def _pairs(out: Path, model: str, epochs: float) -> dict[str, Any]:
    """Fine-tune the BERT on pairs of the sample's generator, print what it is worth; returns the metrics."""
    from tane.sample import write_pairs

    progress.say("\nnow the BERT learns from labelled pairs whether two sentences say the same")
    if not (out / "pair-files" / "test.csv").exists():  # the last one that is written
        write_pairs(out / "pair-files")
    metrics = _train(recipe_for_pairs(out, model, epochs), out, finetune)
    tested, scores = metrics["test"], metrics["metrics"]
    low, high = tested["intervals"]["accuracy"]
    print(
        f"\nof {tested['examples']:,} pairs that it never saw, {scores['accuracy']:.1%} are told right "
        f"(95 % interval {low:.1%} to {high:.1%}; the same answer to all gives "
        f"{metrics['baseline']['accuracy']:.1%})"
    )
    found = predict(metrics["model"], [BOTH[0], BOTH[0]], BOTH[1:]).metrics["predictions"]
    for other, answer in zip(BOTH[1:], found, strict=True):
        print(f"  {BOTH[0]} | {other}\n    {answer['label']} {max(answer['scores'].values()):.1%}")
    return metrics


def _train(recipe: Recipe, out: Path, verb: Callable[[Recipe], Result] = train) -> dict[str, Any]:
    try:
        return verb(recipe).metrics
    except (InputError, IntegrityError) as error:
        if (recipe.run_path / "requested.yaml").exists():  # a demo of another text or version stands there
            raise type(error)(
                error.message, f"choose another folder, such as: tane demo --out {out}-2"
            ) from None
        raise


# ------------------------------------------------------------------------------------------------- the GPT


def _gpt(recipe: Recipe, out: Path, own: bool) -> dict[str, Any]:
    """Train it, print its curve, its stories and how far they are copied; returns the metrics."""
    from tane.sample import check_stories

    metrics = _train(recipe, out)
    curve = [
        (e["step"], round(e["loss"], 3), round(e["bits_per_char"], 3))
        for e in read_metrics(recipe.run_path, "eval")
    ]
    print("\nvalidation loss while training")
    for step, loss, bits in curve:
        print(
            f"  step {step:>5}   {loss:6.3f} nats a token   {bits:5.3f} bits a character   "
            f"{'█' * round(loss * 6)}"
        )
    texts = _stories(metrics["model"], own)
    print("\nwhat it writes")
    for story in texts:
        print(f"  {story.strip()}\n")
    corpus = Corpus.open(recipe.data_path / "corpus")
    shares = check_stories(texts, corpus.texts("train"))
    print(f"  {shares}")
    return {
        **metrics,
        "curve": curve,
        "texts": texts,
        "verbatim_share": shares.verbatim_share,
        "outside_share": shares.outside_share,
    }


def _stories(model: str, own: bool) -> list[str]:
    prompts = ("",) * STORIES if own else PROMPTS
    return generate(model, prompts, max_new_tokens=100, temperature=0.8, top_p=0.9, seed=1).metrics["texts"]


# ------------------------------------------------------------------------------------------------ the BERT


def _bert(recipe: Recipe, out: Path, cloze: Sequence[Blank] | None) -> dict[str, Any]:
    """Train it, print its curve and what it fills in; returns {model, valid_loss, ...} as `demo` says.

    cloze: sentences with a blank that stand nowhere in the text; None: make some of the validation text.
    """
    metrics = _train(recipe, out)
    print("\nvalidation loss while training, at the hidden tokens")
    for event in read_metrics(recipe.run_path, "eval"):
        print(
            f"  step {event['step']:>5}   {event['loss']:6.3f} nats a token   "
            f"{event['accuracy']:6.1%} guessed right   {'█' * round(event['loss'] * 6)}"
        )
    if cloze is None:
        corpus = Corpus.open(recipe.data_path / "corpus")
        cloze = _blanks(corpus.texts("valid"), load_tokenizer(recipe.data_path / "tokenizer"))
    values: dict[str, Any] = {
        "model": metrics["model"],
        "valid_loss": metrics["valid_loss"],
        "valid_accuracy": metrics["valid_accuracy"],
        "cloze_top1": None,
        "cloze_top5": None,
        "fills": [],
    }
    if not cloze:
        print("\nthe validation text has no sentence to put a blank into")
        return values
    found = fill.fill_mask(metrics["model"], [text for text, _ in cloze], top_k=FILLS).metrics["fills"]
    hits = [[entry["token"] in right for entry in row] for (_, right), row in zip(cloze, found, strict=True)]
    values["cloze_top1"] = sum(row[0] for row in hits) / len(hits)
    values["cloze_top5"] = sum(any(row) for row in hits) / len(hits)
    values["fills"] = [
        {"text": text, "right": list(right), "fills": row}
        for (text, right), row in zip(cloze, found, strict=True)
    ]
    print("\nwhat it fills in, with the probability (* is right)")
    for entry in values["fills"][:SHOWN]:
        told = "  ".join(
            f"{'*' if one['token'] in entry['right'] else ''}{one['token']} {one['score']:.1%}"
            for one in entry["fills"]
        )
        print(f"  {entry['text']}\n    {told}")
    print(
        f"\n  of {len(cloze)} sentences that it never saw, {values['cloze_top1']:.0%} are filled right at "
        f"once, {values['cloze_top5']:.0%} within {FILLS} fills"
    )
    return values


def _blanks(texts: Iterable[str], tokenizer: Any) -> list[Blank]:
    """At most SENTENCES sentences of the texts, one word of each hidden that is a piece of the tokenizer."""
    inside = words.insides("ipadic")
    found: list[Blank] = []
    for sentence in (one[0].strip() for text in texts for one in SENTENCE.finditer(text)):
        if not SHORTEST <= len(sentence) <= LONGEST:
            continue
        starts = np.flatnonzero(~inside(sentence)).tolist()
        spans = [
            (start, end)
            for start, end in pairwise([*starts, len(sentence)])
            if TELLING.fullmatch(sentence[start:end])
            and len(pieces := tokenizer.tokenize(sentence[start:end])) == 1
            and pieces[0] != tokenizer.unk_token
        ]
        if not spans:
            continue
        start, end = spans[key("blank", sentence) % len(spans)]
        blank = f"{sentence[:start]}{MASK}{sentence[end:]}"
        if len(fill.find_masks([blank], tokenizer)) == 1:  # the text may have something like a mask itself
            found.append((blank, (sentence[start:end],)))
        if len(found) == SENTENCES:
            break
    return found
