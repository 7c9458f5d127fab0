"""Every error of the driver becomes Unavailable, and no other does."""

from __future__ import annotations

import inspect

import cassandra
import pytest
from cassandra import cluster, connection, pool, protocol, query, segment

from commands.errors import Unavailable
from infra.cassandra.errors import translate, translated

NEVER_FROM_A_CALL = {
    cassandra.DependencyException,  # at import
    cluster.UserTypeDoesNotExist,  # we register none
    query.TraceUnavailable,  # we trace nothing
}
MODULES = (cassandra, cluster, connection, pool, protocol, segment)
ERRORS = sorted(
    {
        kind
        for module in MODULES
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__.split(".")[0] == "cassandra"
    }
    - NEVER_FROM_A_CALL,
    key=lambda kind: (kind.__module__, kind.__name__),
)


def made(kind: type[Exception]) -> Exception:
    error: Exception = kind.__new__(kind)
    if issubclass(kind, protocol.ErrorMessage):
        error.__init__(0, "what happened", {})  # type: ignore[misc]
    elif kind is cluster.NoHostAvailable:
        error.__init__("what happened", {})  # type: ignore[misc]
    else:
        Exception.__init__(error, "what happened")
    return error


def test_there_are_errors_to_try() -> None:
    names = {kind.__name__ for kind in ERRORS}
    assert {"NoHostAvailable", "WriteTimeout", "OperationTimedOut", "ConnectionShutdown"} <= names


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_an_error_of_the_driver_is_unavailable(kind: type[Exception]) -> None:
    error = made(kind)
    assert isinstance(translate(error), Unavailable)
    with pytest.raises(Unavailable) as caught, translated():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [TypeError("a defect"), KeyError("a defect")])
def test_a_defect_stays_what_it_is(error: Exception) -> None:
    assert translate(error) is error
    with pytest.raises(type(error)), translated():
        raise error


def test_the_sentence_names_the_hosts_and_is_no_novel() -> None:
    error = cluster.NoHostAvailable("long", {"127.0.0.1:9042": ConnectionRefusedError("refused"), "b": "x" * 5_000})
    sentence = str(translate(error))
    assert "127.0.0.1:9042: refused" in sentence
    assert len(sentence) < 600
