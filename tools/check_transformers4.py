"""Check that transformers 4 gives the ids of the tokenizer folders that tane writes.

    python tools/check_transformers4.py

In tane's environment: write one folder of each kind, with what `AutoTokenizer` makes of some texts there; set
up `.venv-transformers4` (no torch) on the first call; read the folders in it and print a table. Exit status 1
where anything differs. The two halves alone: `write FOLDER` here, `check FOLDER` with transformers 4.
TANE_TEST_DATA may name the folder with real tokenizers (tokenizers/); without it they are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-transformers4"
PACKAGES = (
    "transformers>=4.50,<5", "tokenizers", "sentencepiece", "protobuf", "fugashi", "ipadic", "unidic-lite",
    "sudachipy", "sudachidict-small",
)  # fmt: skip
TEXTS = [
    "", "Hello world", "  two  spaces\n\tand a tab", "今日は東京で、ＡＢＣマートの①番を見た。", "ﾊﾞｽとｶﾞｽ",
    "か\u3099き", "e\u0301\u0323", "</s><unk>[MASK]<|endoftext|><s>", "👨\u200d👩\u200d👧 𠮷野家",
    "今日は[MASK]がいい。", "[MASK]", " [MASK] a[MASK]\n[MASK]", "<mask>は[mask]",
    "\r\n\ufeff▁▁", "def f(x):\n    return x  # ##", "長い文。" * 100, "\x00\x01", "<0x0A>は改行ではない",
]  # fmt: skip
ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")


def findings(folder: Path) -> dict[str, Any]:
    """What AutoTokenizer makes of the texts: ids without and with special tokens, and back; and its size.

    Special tokens in a text are found as the folder says, and then once more by none.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    as_text = {"add_special_tokens": False, "split_special_tokens": True}
    return {
        "ids": plain,
        "ids of text alone": [tokenizer(text, **as_text)["input_ids"] for text in TEXTS],
        "ids with special tokens": [tokenizer(text)["input_ids"] for text in TEXTS],
        "inputs": sorted(tokenizer("a").keys()),
        "texts": [tokenizer.decode(ids, skip_special_tokens=True) for ids in plain],
        "special tokens": {role: getattr(tokenizer, f"{role}_token_id") for role in ROLES},
        "pieces": len(tokenizer),
    }


# ------------------------------------------------------------------------------------ in tane's environment


def write(target: Path) -> None:
    """Write the folders and expected.json, which holds the findings of each."""
    from tane.tokens import taken

    sources = target / "sources"
    sources.mkdir(parents=True)
    _train_kinds(target, sources)
    for name, (source, options) in _taken(sources).items():
        (target / name).mkdir()
        taken.take(source, target / name, **options)
    folders = sorted(p for p in target.iterdir() if (p / "tokenizer_config.json").is_file())
    expected = {folder.name: findings(folder) for folder in folders}
    (target / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def _train_kinds(target: Path, sources: Path) -> None:
    """tane's own kinds, for causal and for masked models, as folders of `target`."""
    from tane.sample import write_corpus
    from tane.text.corpus import Corpus, CorpusSettings, build_corpus
    from tane.tokens.specials import CAUSAL, MASKED
    from tane.tokens.tokenizer import TokenizerSettings, prepare_tokenizer

    write_corpus(sources / "sample.txt", count=500)
    build_corpus(CorpusSettings(inputs=str(sources / "sample.txt")), sources / "corpus")
    corpus = Corpus.open(sources / "corpus")
    for kind in ("unigram", "bpe", "character", "mecab-wordpiece"):
        for name, specials in (("causal", CAUSAL), ("masked", MASKED)):
            settings = TokenizerSettings(kind=kind, vocab_size=1500)
            prepare_tokenizer(settings, corpus, target / f"own {kind}, {name}", "", specials)


def _taken(sources: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Names of tokenizers to be taken, with the options of `taken.take`."""
    import sentencepiece

    from tane.tokens import taken

    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for kind in ("unigram", "bpe"):
        path = sources / f"{kind}.model"
        with open(path, "wb") as out:
            sentencepiece.SentencePieceTrainer.train(
                input=str(sources / "sample.txt"), model_writer=out, model_type=kind, vocab_size=1200,
                byte_fallback=kind == "bpe", num_threads=1, minloglevel=2,
                user_defined_symbols=["<sep>", "\n"],
                control_symbols=["[CLS]", "[SEP]", "[MASK]"] if kind == "bpe" else [],
            )  # fmt: skip
        found[f"SentencePiece {kind}"] = (str(path), {})
    for name in ("T5Tokenizer", "XLMRobertaTokenizer"):
        folder = sources / name
        folder.mkdir()
        (folder / "spiece.model").write_bytes((sources / "unigram.model").read_bytes())
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")
        found[f"{name} over unigram"] = (str(folder), {})
    if os.environ.get("TANE_TEST_DATA"):
        real = Path(os.environ["TANE_TEST_DATA"]) / "tokenizers"
        found["GPT-2's files"] = (str(real / "gpt2"), {})
        for path in sorted(real.glob("*.model")):
            found[path.stem] = (str(path), {})
        vocabulary = str(real / "bert-base-japanese-v3-vocab.txt")
        for dictionary in ("unidic-lite", "ipadic", "sudachi"):
            found[f"BERT vocab.txt, {dictionary}"] = (vocabulary, {"dictionary": dictionary})
        folder = sources / "BertJapaneseTokenizer"
        folder.mkdir()
        taken.take(vocabulary, folder, dictionary="ipadic")
        found["BertJapaneseTokenizer's folder"] = (str(folder), {})
    return found


def set_up() -> Path:
    """The Python of `.venv-transformers4`, made on the first call."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (VENV / "complete").exists():
        venv.create(VENV, with_pip=True, clear=True)
        (VENV / ".gitignore").write_text("*\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (VENV / "complete").touch()
    return python


# ------------------------------------------------------------------------------------- with transformers 4


def check(target: Path) -> int:
    """Print a table of the folders; 1 where one differs from expected.json, else 0."""
    import transformers

    print(f"transformers {transformers.__version__}")
    wrong = 0
    for name, expected in json.loads((target / "expected.json").read_text(encoding="utf-8")).items():
        try:
            found = findings(target / name)
            differing = [part for part in expected if json.loads(json.dumps(found[part])) != expected[part]]
        except Exception as error:  # a folder that this version cannot read is a finding too
            differing = [f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"]
        print(f"{name:36} {'differs: ' + ', '.join(differing) if differing else 'equal'}")
        wrong += bool(differing)
    return int(wrong > 0)


def main() -> int:
    """Both halves, or the one that the command line names."""
    if len(sys.argv) == 3 and sys.argv[1] in ("write", "check"):
        return check(Path(sys.argv[2])) if sys.argv[1] == "check" else write(Path(sys.argv[2])) or 0
    if len(sys.argv) > 1:
        sys.exit("usage: check_transformers4.py [write FOLDER | check FOLDER]")
    python = set_up()
    with tempfile.TemporaryDirectory(prefix="tane-") as place:
        target = Path(place) / "folders"
        write(target)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
        return subprocess.run([str(python), __file__, "check", str(target)], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
