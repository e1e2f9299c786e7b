"""Errors that travel between processes."""

import inspect
import pickle

import pytest

from app import errors
from app.errors import FacetError, Overloaded, TooManyBytes, UnknownModel
from app.runtime.timing import Postponed

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FacetError)]


def example(kind: type[FacetError]) -> FacetError:
    if kind is UnknownModel:
        return UnknownModel("nobody", "detect", ["cascade", "mtcnn"])
    return kind("It was wrong.", "image")


@pytest.mark.parametrize("kind", [*KINDS, Postponed], ids=lambda kind: kind.__name__)
def test_a_pickled_error_is_the_same(kind: type[FacetError]) -> None:
    error = example(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.__dict__ == error.__dict__
    assert (str(again), again.args) == (str(error), error.args) or kind is UnknownModel
    assert (again.detail, again.field, again.retry_after_s) == (
        error.detail,
        error.field,
        error.retry_after_s,
    )


def test_pickled_attributes() -> None:
    overloaded = pickle.loads(pickle.dumps(Overloaded("It is full.", retry_after_s=2.5)))
    assert overloaded.retry_after_s == 2.5
    too_many = pickle.loads(pickle.dumps(TooManyBytes("It is long.", "image", limit=9)))
    assert (too_many.field, too_many.limit) == ("image", 9)
    unknown = pickle.loads(pickle.dumps(example(UnknownModel)))
    assert (unknown.known, unknown.field) == (["cascade", "mtcnn"], "model")
    assert str(unknown) == unknown.detail
