"""Ports that services choose before any of them listens."""

from __future__ import annotations

from infra.cluster.ports import free_port


def test_no_port_is_given_twice() -> None:
    """Of 500 drawn at random from twelve thousand some ten would be the same."""
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)
