"""One tree of errors, drawn in the docstring of its module."""

from __future__ import annotations

import pickle
import re

import pytest

from dreamlake import errors
from dreamlake.errors import DreamlakeError, LakeError, MissingExtraError

ALL = [getattr(errors, name) for name in errors.__all__]


def make(kind: type[DreamlakeError]) -> DreamlakeError:
    if kind is MissingExtraError:
        return MissingExtraError("torch", "tensor()")
    if issubclass(kind, LakeError):
        return kind("the lake said no", 404)
    return kind("what was wrong, and what to do")


def test_every_error_of_the_module_is_exported() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {error for error in classes if issubclass(error, Exception)} == set(ALL)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    branch = ["DreamlakeError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^    ([│ ]*)[├└]── (\w+)", line):
            del branch[len(match[1]) // 4 + 1 :]
            drawn[match[2]] = branch[-1]
            branch.append(match[2])
    assert drawn == {error.__name__: error.__bases__[0].__name__ for error in ALL if error is not DreamlakeError}


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UsageError", ValueError),
        ("InvalidIdError", ValueError),
        ("InvalidKeyError", ValueError),
        ("InvalidTargetError", ValueError),
        ("FrameIndexError", IndexError),
        ("MissingExtraError", ImportError),
        ("SourceNotFoundError", FileNotFoundError),
        ("NotFoundError", LookupError),
        ("LakeUnreachableError", ConnectionError),
    ],
)
def test_where_a_builtin_names_the_same_thing_the_error_is_that_too(name: str, builtin: type[Exception]) -> None:
    with pytest.raises(builtin) as caught:
        raise make(getattr(errors, name))
    assert isinstance(caught.value, DreamlakeError)


def test_a_missing_extra_names_the_command_to_run() -> None:
    assert str(MissingExtraError("torch", "tensor()")) == "tensor() needs an extra: pip install 'dreamlake[torch]'"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_errors_reach_another_process_whole(kind: type[DreamlakeError]) -> None:
    error = make(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert getattr(copy, "status", None) == getattr(error, "status", None)
