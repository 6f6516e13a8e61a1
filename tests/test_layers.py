"""The house rules that one could check by eye: layers, late imports, no pickle, no drawers."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import tane

ROOT = Path(tane.__file__).parent
MODULES = {
    ".".join(("tane", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
GROUND = {
    "durations",
    "errors",
    "hardware",
    "types",
    "registry",
    "files",
    "locks",
    "ranks",
    "resources",
    "settings",
    "signals",
    "progress",
    "hub",
    "yamlio",
    "workers",
}
LAYERS = {
    "text": 1,
    "tokens": 2,
    "objectives": 3,
    "tasks": 3,
    "model": 3,
    "optim": 3,
    "training": 4,
    "running": 5,
    "recipe": 5,
    "use": 6,
    "reporting": 7,
    "play": 7,
}
TOP = 8  # cli, verbs, __main__ and the package itself
SAMPLE = "sample"
# imported inside the function that uses them, and nowhere else
ON_USE = {
    "transformers",
    "datasets",
    "matplotlib",
    "tokenizers",
    "sentencepiece",
    "fugashi",
    "huggingface_hub",
    "ipadic",
    "pandas",
    "pyarrow",
    "python_calamine",
    "sklearn",
    "scipy",
    "peft",
    "wandb",
    "starlette",
    "uvicorn",
    "IPython",
    "tensorboard",
    "lightning",
    "accelerate",
    "megatron",
    "charset_normalizer",
    "rensa",
    "sudachipy",
    "jinja2",
    "zstandard",
    "tqdm",
}
TORCH_FROM = 2  # torch may stand at the top of a module from this layer upwards


def layer(module: str) -> int | str:
    """Number of a module's layer; the sample corpus stands beside the house."""
    parts = module.split(".")
    if len(parts) == 1:
        return TOP
    if parts[1] in GROUND:
        return 0
    return SAMPLE if parts[1] == SAMPLE else LAYERS.get(parts[1], TOP)


def type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """(node, whether it stands inside a function) of a tree, without what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if type_checking(child):
            for other in child.orelse:
                yield other, inside
                yield from walk(other, inside)
            continue
        within = inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield child, inside
        yield from walk(child, within)


def imports(source: str, module: str, package: bool) -> Iterator[tuple[str, bool]]:
    """(imported module, whether inside a function); `from a import b` gives a.b where that is a module."""
    for node, inside in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")[: len(module.split(".")) - node.level + package]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield (name if name in MODULES else base), inside


def edges() -> list[tuple[str, str, bool]]:
    """(importer, imported, inside a function) between all modules of tane."""
    found = []
    for module, path in MODULES.items():
        for name, inside in imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"):
            if name.split(".")[0] == "tane":
                found.append((module, name, inside))
    return found


def upward(module: str, name: str) -> bool:
    """Whether an import breaks the order of the layers."""
    here, there = layer(module), layer(name)
    if here == SAMPLE or there == SAMPLE:
        # the sample knows nothing but itself and the ground floor; only the demo and the command line know it
        return there not in (SAMPLE, 0) if here == SAMPLE else here < LAYERS["use"]
    return there > here


def test_the_checker_sees_every_edge() -> None:
    source = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport tane.files\n"
        "if TYPE_CHECKING:\n    from tane.recipe import Recipe\nfrom tane import hub, training\n"
        "from . import blocks\nfrom ..use import plan\n"
        "class A:\n    def f(self):\n        from tane.use.verify import verify\n"
    )
    found = list(imports(source, "tane.tokens.shards", False))
    assert (
        ("tane.files", False) in found and ("tane.hub", False) in found and ("tane.training", False) in found
    )
    assert ("tane.tokens.blocks", False) in found and ("tane.use.plan", False) in found
    assert ("tane.use.verify", True) in found
    assert not any(name == "tane.recipe" for name, _ in found)
    assert upward("tane.tokens.shards", "tane.training") and upward("tane.tokens.shards", "tane.use.plan")
    assert upward("tane.files", "tane.text.corpus") and upward("tane.sample.world", "tane.text")
    assert upward("tane.text.corpus", "tane.sample") and upward("tane.training.run", "tane.recipe")
    assert upward("tane.recipe", "tane.use.plan") and not upward("tane.use.plan", "tane.recipe")
    assert not upward("tane.training.loop", "tane.model.loss")
    assert layer("tane.cli") == layer("tane") == layer("tane.__main__") == TOP


def test_every_module_has_a_known_place() -> None:
    known = {*GROUND, *LAYERS, SAMPLE, "cli", "verbs", "demo", "completion", "__main__"}
    assert {name.split(".")[1] for name in MODULES if "." in name} <= known
    assert len(MODULES) > 30


def test_imports_point_downwards_only() -> None:
    version_only = {
        (f"tane.{name}", "tane") for name in ("use.export", "use.doctor", "reporting.page")
    }  # `import tane` for its version
    wrong = [e for e in edges() if upward(e[0], e[1]) and (e[0], e[1]) not in version_only]
    assert not wrong, "\n".join(f"{a} imports {b}" for a, b, _ in wrong)


def test_below_the_command_line_the_package_is_imported_for_its_version_only() -> None:
    for module, path in MODULES.items():
        if layer(module) == TOP:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {
            n.attr for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "tane"
        }  # fmt: skip
        assert used <= {"__version__"}, f"{module} uses tane.{', tane.'.join(used)}"


def test_no_circles() -> None:
    graph: dict[str, set[str]] = {}
    for module, name, _ in edges():
        if name not in ("tane", module):
            graph.setdefault(module, set()).add(name)
    for package in MODULES:  # a package is imported before what it holds
        graph.setdefault(package, set())
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for name in sorted(graph.get(module, ())):
                visit(name, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_heavy_libraries_are_imported_on_use() -> None:
    wrong = []
    for module, path in MODULES.items():
        for name, inside in imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"):
            top = name.split(".")[0]
            light = layer(module) == SAMPLE or layer(module) < TORCH_FROM or layer(module) == TOP
            if not inside and (top in ON_USE or (top == "torch" and light)):
                wrong.append(f"{module} imports {name} at module level")
    assert not wrong, "\n".join(wrong)


def test_no_drawers_for_everything() -> None:
    names = {path.stem for path in ROOT.rglob("*.py")}
    assert not names & {"utils", "util", "common", "misc", "helpers"}


def loaded(code: str) -> set[str]:
    """Names of all top-level modules that are loaded after running `code` in a fresh interpreter."""
    code += "\nimport json, sys\nprint(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


HEAVY = {"torch", "transformers", "numpy", "pydantic", "yaml", "datasets", "tqdm", "safetensors", *ON_USE}


@pytest.mark.parametrize(
    "code",
    ["import tane", "from tane.cli import main\nmain(['--help'])", "import tane.sample", "import tane.files"],
)
def test_nothing_heavy_is_loaded_at_import(code: str) -> None:
    assert not loaded(code) & HEAVY


def test_the_verifier_needs_no_torch() -> None:
    code = "from tane.cli import main\nassert main(['verify', 'nowhere']) == 2"
    assert not loaded(code) & {"torch", "transformers", "numpy"}


def callable_names(code: str) -> set[str]:
    """Public names that can be called after `code` ran in a fresh interpreter."""
    code += "\nimport tane\nprint(*(n for n in tane.__all__ if callable(getattr(tane, n))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_public_names_can_be_called() -> None:
    assert callable_names("import tane\ntane.train") == set(tane.__all__)


def test_public_names_can_be_called_whatever_was_imported_before() -> None:
    assert callable_names("import tane\ntane.Recipe") == set(tane.__all__)


def test_public_names_are_listed() -> None:
    assert set(tane.__all__) <= set(dir(tane))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tane.nonsense  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------- nothing unsafe

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
UNSAFE_NAMES = {
    "torch.load",
    "torch.serialization.load",
    "torch.distributed.checkpoint.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "numpy.load",  # memory maps of numbers alone are read; what this opens may be a pickle
    "numpy.loads",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "runpy.run_path",
    "runpy.run_module",
    "jinja2.Template",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
    "yaml.unsafe_load_all",
    "yaml.Loader",
    "yaml.FullLoader",
    "yaml.UnsafeLoader",
    "pandas.read_pickle",
    "os.system",
    "torch.jit.load",
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
YAML_LOADERS = {"_Loader", "yaml.SafeLoader", "SafeLoader"}


def unsafe(source: str) -> list[str]:
    """What a file does that could run somebody else's code."""
    found = []
    tree = ast.parse(source)
    named = {"np": "numpy", "pd": "pandas"} | {  # what a module is called here -> its own name
        alias.asname: alias.name
        for node in ast.walk(tree) if isinstance(node, ast.Import)
        for alias in node.names if alias.asname
    }  # fmt: skip
    named |= {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip

    def own_name(node: ast.AST) -> str:
        first, dot, rest = ast.unparse(node).partition(".")
        return named.get(first, first) + dot + rest

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{a.name}" for a in node.names}
            if (node.module or "").split(".")[0] in UNSAFE_MODULES:
                found.append(str(node.module))
            found += sorted(names & UNSAFE_NAMES)
        elif isinstance(node, ast.Attribute):
            name = own_name(node)
            found += [name] if name in UNSAFE_NAMES else []
        elif isinstance(node, ast.Call):
            name = own_name(node.func)
            if name in BUILTINS or (
                name.removeprefix("builtins.") in BUILTINS and name.startswith("builtins.")
            ):
                found.append(f"{name}()")
            if name == "yaml.load":
                loaders = {ast.unparse(k.value) for k in node.keywords if k.arg == "Loader"}
                loaders |= {ast.unparse(a) for a in node.args[1:]}
                loaders = {named.get(name, name) for name in loaders}
                found += [] if loaders and loaders <= YAML_LOADERS else ["yaml.load without a safe loader"]
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                if keyword.arg in ("allow_pickle", "weights_only") or (
                    keyword.arg == "trust_remote_code" and value != "False"
                ):
                    found.append(f"{keyword.arg}={value}")
                if name.startswith("subprocess.") and keyword.arg == "shell" and value != "False":
                    found.append(f"shell={value}")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import cloudpickle as c",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "np.load(p, allow_pickle=True)",
        "eval('1')",
        "exec(code)",
        "builtins.eval('1')",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "f(trust_remote_code=flag)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.full_load(text)",
        "from jinja2 import Template",
        "jinja2.Template(x)",
        "__import__('os')",
        "def f():\n    import pickle",
        "subprocess.run(x, shell=True)",
        "np.load(p)",
        "import numpy as n\nn.load(p, mmap_mode='r')",
        "import torch as t\nt.load(p)",
        "from torch.serialization import load",
        "from torch import load as read\nread(p)",
        "import yaml as y\ny.load(text)",
        "from yaml import load\nload(text)",
        "from yaml import UnsafeLoader as SafeLoader\nimport yaml\nyaml.load(t, Loader=SafeLoader)",
        "import jinja2 as j\nj.Template(x)",
        "import builtins as b\nb.exec(x)",
        "from subprocess import run\nrun(x, shell=True)",
        "load(p, weights_only=False)",
    ],
)
def test_the_checker_sees_what_is_unsafe(source: str) -> None:
    assert unsafe(source)


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "f(trust_remote_code=False)",
        "yaml.load(t, Loader=_Loader)",
        "re.compile('a')",
        "json.load(f)",
    ],
)
def test_the_checker_leaves_the_harmless_alone(source: str) -> None:
    assert not unsafe(source)


def test_nothing_unsafe_in_the_source() -> None:
    wrong = {
        module: found
        for module, path in MODULES.items()
        if (found := unsafe(path.read_text(encoding="utf-8")))
    }
    assert not wrong


def test_the_yaml_loader_is_a_safe_one() -> None:
    from tane import yamlio

    assert issubclass(yamlio._Loader, yaml.SafeLoader) and issubclass(yamlio._Dumper, yaml.SafeDumper)
    assert not any("python" in str(tag) for tag in yamlio._Loader.yaml_constructors)
    assert not any("python" in str(tag) for tag in yamlio._Loader.yaml_multi_constructors)
