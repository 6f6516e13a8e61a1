"""tane (種, seed): train language models on your own text, Japanese first.

    import tane
    recipe = tane.Recipe.load("recipes/aozora-gpt.yaml", "train.duration=1k steps")
    result = tane.train(recipe)
    print(tane.generate(result.metrics["model"], ["吾輩は"]).metrics["texts"][0])

Names are imported on first use, so `import tane` costs nothing.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Recipe": "tane.recipe",
    "prepare": "tane.recipe",
    "train_tokenizer": "tane.recipe",
    "train": "tane.recipe",
    "plan": "tane.use.plan",
    "finetune": "tane.use.finetune",
    "predict": "tane.use.predict",
    "evaluate": "tane.use.evaluate",
    "generate": "tane.use.generate",
    "fill_mask": "tane.use.fill",
    "export": "tane.use.export",
    "verify": "tane.use.verify",
    "doctor": "tane.use.doctor",
    "data": "tane.use.data",
    "show_data": "tane.use.data",
    "show_tokenizer": "tane.use.tokenizers",
    "compare_tokenizers": "tane.use.tokenizers",
    "load_tokenizer": "tane.tokens.tokenizer",
    "BlockDataset": "tane.tokens.stream",
    "read_metrics": "tane.training.tracker",
    "plot_loss": "tane.use.plots",
    "plot_fills": "tane.use.plots",
    "plot_confusion": "tane.use.plots",
    "plot_tokenizers": "tane.use.tokenizer_plot",
    "show_masks": "tane.use.show",
    "report": "tane.reporting",
    "Result": "tane.types",
    "TaneError": "tane.errors",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tane' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
