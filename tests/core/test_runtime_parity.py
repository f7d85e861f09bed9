"""The hand-written modules are twins: what the generator makes of one fits the other."""

import ast
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dreamlake._async import _runtime as async_runtime
from dreamlake._sync import _runtime as sync_runtime

ROOT = Path(__file__).parents[2]
ASYNC_ONLY = {"async_only", "async_property"}  # the generator takes these out
NAMES = {"__aenter__": "__enter__", "__aexit__": "__exit__"}

spec = importlib.util.spec_from_file_location("unasync", ROOT / "scripts" / "unasync.py")
assert spec and spec.loader
unasync = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(unasync)

twins = pytest.mark.parametrize("name", unasync.HAND_WRITTEN)


def module(package: str, name: str) -> ModuleType:
    return importlib.import_module(f"dreamlake.{package}.{name.removesuffix('.py')}")


def heads(path: str, public: list[str]) -> list[tuple[str, str]]:
    """The heads of public functions and methods, as blocking code would have them, with the public name."""

    def head(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        text = f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns or ast.Constant(None))}: ..."
        # Types in quotes, for what is imported late, are refused everywhere but in these modules.
        return unasync.convert(text.replace("'", ""), path, NAMES).splitlines()[1]

    return sorted(
        (node.name, head(part))
        for node in ast.parse((ROOT / path).read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if node.name in public
        for part in (node.body if isinstance(node, ast.ClassDef) else [node])
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@twins
def test_the_same_names_are_public(name: str) -> None:
    ours, blocking = module("_async", name).__all__, module("_sync", name).__all__
    assert [public for public in ours if public not in ASYNC_ONLY] == blocking


def test_what_only_the_async_side_has() -> None:
    assert set(async_runtime.__all__) - set(sync_runtime.__all__) == ASYNC_ONLY == unasync.ASYNC_ONLY


@twins
@pytest.mark.parametrize("package", ["_async", "_sync"])
def test_what_is_public_exists(package: str, name: str) -> None:
    twin = module(package, name)
    assert all(hasattr(twin, public) for public in twin.__all__)


@twins
def test_the_signatures_are_the_same(name: str) -> None:
    twin = module("_sync", name)
    ours = heads(f"dreamlake/_async/{name}", twin.__all__)
    assert ours == heads(f"dreamlake/_sync/{name}", twin.__all__)
    public = {name: getattr(twin, name) for name in twin.__all__}
    assert {name for name, _ in ours} == {
        name for name in public if inspect.isroutine(public[name]) or inspect.isclass(public[name])
    }


def test_the_constants() -> None:
    assert (async_runtime.ASYNC, sync_runtime.ASYNC) == (True, False)
    assert async_runtime.BinaryMode == sync_runtime.BinaryMode
