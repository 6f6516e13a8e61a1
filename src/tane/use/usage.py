"""How to use an exported model, for its card: the packages it needs, and Python that runs as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tane.training import checkpoint
from tane.use.card import JAPANESE_CLASS, example, is_japanese, packages, pipeline_of, read_json

FOLDER = "THIS_FOLDER"
ONE = {True: "今日は天気がいい。", False: "The weather is fine today."}
OTHER = {True: "外は晴れている。", False: "The sun is shining."}
WORDS = {
    True: ["夏目", "漱石", "は", "東京", "に", "生まれ", "た", "。"],
    False: ["Soseki", "was", "born", "in", "Tokyo", "."],
}
QUESTION = {True: "空から降るものは？", False: "What falls from the sky?"}
CHOICES = {True: ["雨", "机", "本"], False: ["rain", "a table", "a book"]}


def use_of(folder: Path, tokenizer: Any, automatic: bool) -> list[str]:
    """How to use a model folder, as lines: the packages that it needs, and some Python.

    automatic: whether AutoTokenizer opens its tokenizer.
    """
    kind = pipeline_of(folder)
    needed = packages(read_json(folder / "tokenizer_config.json"))
    if kind == "multiple-choice":
        code = _choice(tokenizer, automatic, _limit(folder))
    else:
        names, more, opened = "pipeline", "", []
        if not automatic:
            names, more = f"{JAPANESE_CLASS}, pipeline", ", tokenizer=tokenizer"
            opened = [f'tokenizer = {JAPANESE_CLASS}.from_pretrained("{FOLDER}")']
        code = [
            f"from transformers import {names}",
            *opened,
            f'pipe = pipeline("{kind}", model="{FOLDER}"{more})',
            *_asked(kind, folder, tokenizer),
        ]
    return [
        *([f"Its tokenizer needs `pip install {' '.join(needed)}`.", ""] if needed else []),
        "```python",
        *code,
        "```",
        "",
    ]


def _limit(folder: Path) -> str:
    """What cuts long texts as the training did; "" where nobody says how."""
    longest = read_json(folder / checkpoint.TASK).get("max_length")
    return f", truncation=True, max_length={longest}" if isinstance(longest, int) else ""


def _asked(kind: str, folder: Path, tokenizer: Any) -> list[str]:
    """The lines that ask a pipeline something."""
    japanese = is_japanese(tokenizer)
    if kind == "fill-mask":
        return [
            f'for fill in pipe("{example(tokenizer)}"):',
            '    print(fill["token_str"], fill["score"])',
        ]
    if kind == "text-classification":
        task = read_json(folder / checkpoint.TASK)
        text = f'"{ONE[japanese]}"'
        if task.get("text_pair"):
            text = f'{{"text": {text}, "text_pair": "{OTHER[japanese]}"}}'
        ask = f"answers = pipe({text}, top_k=None{_limit(folder)})"
        if task.get("kind") == "regression":
            return [ask, 'print(answers[0]["score"])']
        return [ask, "for answer in answers:", '    print(answer["label"], answer["score"])']
    if kind == "token-classification":
        if tokenizer.is_fast:  # words as they stood in the training file
            words = ", ".join(f'"{word}"' for word in WORDS[japanese])
            asked = [
                f"words = [{words}]",
                "tokens = pipe(words, is_split_into_words=True, ignore_labels=[])[0]",
            ]
        else:  # of a tokenizer that cuts words itself
            asked = [f'tokens = pipe("{"".join(WORDS[japanese])}", ignore_labels=[])']
        return [*asked, "for token in tokens:", '    print(token["word"], token["entity"], token["score"])']
    return ['print(pipe("吾輩は", max_new_tokens=50, do_sample=True)[0]["generated_text"])']


def _choice(tokenizer: Any, automatic: bool, limit: str) -> list[str]:
    """The lines that choose among answers, for which there is no pipeline."""
    japanese = is_japanese(tokenizer)
    opener = "AutoTokenizer" if automatic else JAPANESE_CLASS
    choices = ", ".join(f'"{choice}"' for choice in CHOICES[japanese])
    return [
        "import torch",
        f"from transformers import AutoModelForMultipleChoice, {opener}",
        f'tokenizer = {opener}.from_pretrained("{FOLDER}")',
        f'model = AutoModelForMultipleChoice.from_pretrained("{FOLDER}")',
        f'question, choices = "{QUESTION[japanese]}", [{choices}]',
        "inputs = tokenizer(",
        f'    [question] * len(choices), choices, padding=True, return_tensors="pt"{limit}',
        ")",
        "with torch.no_grad():",
        "    logits = model(**{name: values[None] for name, values in inputs.items()}).logits[0]",
        "for choice, score in zip(choices, logits.softmax(0).tolist()):",
        "    print(choice, score)",
    ]
