"""The two hand-written runtime modules are twins: what the generator makes of one fits the other."""

import ast
import importlib.util
import inspect
import sys
from pathlib import Path

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


def heads(path: str) -> list[tuple[str, str]]:
    """The heads of public functions and methods, as blocking code would have them, with the public name."""

    def head(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        text = f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns or ast.Constant(None))}: ..."
        # Types in quotes, for what is imported late, are refused everywhere but in these modules.
        return unasync.convert(text.replace("'", ""), path, NAMES).splitlines()[1]

    return sorted(
        (node.name, head(part))
        for node in ast.parse((ROOT / path).read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if node.name in sync_runtime.__all__
        for part in (node.body if isinstance(node, ast.ClassDef) else [node])
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_the_same_names_are_public() -> None:
    assert [name for name in async_runtime.__all__ if name not in ASYNC_ONLY] == sync_runtime.__all__
    assert set(async_runtime.__all__) >= ASYNC_ONLY
    assert ASYNC_ONLY == unasync.ASYNC_ONLY


@pytest.mark.parametrize("runtime", [async_runtime, sync_runtime])
def test_what_is_public_exists(runtime: object) -> None:
    assert all(hasattr(runtime, name) for name in runtime.__all__)  # type: ignore[attr-defined]


def test_the_signatures_are_the_same() -> None:
    ours = heads("dreamlake/_async/_runtime.py")
    assert ours == heads("dreamlake/_sync/_runtime.py")
    public = {name: getattr(sync_runtime, name) for name in sync_runtime.__all__}
    assert {name for name, _ in ours} == {
        name for name in public if inspect.isroutine(public[name]) or inspect.isclass(public[name])
    }


def test_the_constants() -> None:
    assert (async_runtime.ASYNC, sync_runtime.ASYNC) == (True, False)
    assert async_runtime.BinaryMode == sync_runtime.BinaryMode
