"""The words of a model card in English and in Japanese: what it says stands in card.py once, for both.

A sentence is named by its English. `tests/use/test_card_words.py` looks for those that have no Japanese.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """One language of a card. table: English -> its words, {} for English itself; level: signs before its
    headings."""

    table: Mapping[str, str]
    level: str

    def __call__(self, text: str, **values: object) -> str:
        """A sentence, with what stands in its braces filled in. KeyError: it has no translation."""
        found = self.table[text] if self.table else text
        return found.format(**values) if values else found

    def heading(self, text: str, **values: object) -> str:
        """A heading of a part."""
        return f"{self.level} {self(text, **values)}"


TABLE = {
    "A {type} model with {pieces} pieces, {how} with tane {version}.": (
        "語彙 {pieces} の {type} モデルです。tane {version} で{how}。"
    ),
    "A {type} model with {pieces} pieces for {kind}, {how} with tane {version}.": (
        "語彙 {pieces} の {type} モデルで、課題は {kind} です。tane {version} で{how}。"
    ),
    "A {type} model with {pieces} pieces for {kind}, {how} with tane {version} from {base}.": (
        "語彙 {pieces} の {type} モデルで、課題は {kind} です。{base} から始め、tane {version} で{how}。"
    ),
    "exported": "書き出しました",
    "trained": "学習しました",
    "fine-tuned": "ファインチューニングしました",
    # what it is for
    "Labels": "ラベル",
    "{names} and {more} more": "{names} ほか {more} 個",
    "Task": "課題",
    "task": "種類",
    "columns with text": "文章の列",
    "column with the answer": "答えの列",
    "answer": "答え",
    "a number": "数値",
    "labels": "ラベル",
    "longest input": "入力の最大の長さ",
    "{length} tokens; what is longer is cut": "{length} トークン(それより長いものは切り詰めます)",
    # scores
    "Scores on {split}": "{split} での点数",
    "{count} examples of {file}": "{file} の {count} 件",
    "metric": "指標",
    "score": "点数",
    "95 % interval": "95 % 区間",
    "baseline": "基準",
    "undefined": "求まらない",
    "{low} to {high}": "{low}〜{high}",
    "Baseline: {what}.": "基準: {what}。",
    "Baseline: always {what}.": "基準: いつも {what} と答えたときの点数。",
    "Over the seeds {seeds}: {scores}.": "乱数の種 {seeds} での平均とばらつき: {scores}。",
    "Scores": "点数",
    "measure": "項目",
    "value": "値",
    "validation loss (nats per masked token)": "検証損失(隠したトークンあたりの nat)",
    "validation loss (nats per token)": "検証損失(トークンあたりの nat)",
    "accuracy at masked tokens": "隠したトークンの正解率",
    "bits per character": "文字あたりのビット数",
    "step": "ステップ",
    # how it was trained
    "{count} parameters; torch {torch}; {precision}.": "パラメータ {count} 個、torch {torch}、{precision}。",
    "Objective": "隠し方",
    "masked": "項目",
    "the tokenizer's own": "トークナイザーのもの",
    "Text": "文章",
    "{read} characters were read, {kept} kept.": "{read} 文字を読み、{kept} 文字が残りました。",
    "What became of the others stands in this ledger:": "残りがどうなったかは、上の台帳にあります。",
    # its limits
    "Limits": "限界",
    "It repeats what its training text says, mistakes and biases included.": (
        "学習した文章に書かれていることを、誤りや偏りも含めて繰り返します。"
    ),
    "It answers as the examples of its training do, mistakes and biases included.": (
        "学習した例のとおりに、誤りや偏りも含めて答えます。"
    ),
    "The licence of the model depends on that text; fill it in before you share it.": (
        "モデルのライセンスは、その文章によります。公開する前に書き入れてください。"
    ),
    "The Python above shows how to use it; the recipe above trains it again.": (
        "使い方は、上の Python の例のとおりです。上のレシピで、同じ学習ができます。"
    ),
    "The Python above shows how to use it.": "使い方は、上の Python の例のとおりです。",
}

ENGLISH = Words({}, "##")
JAPANESE = Words(TABLE, "###")
