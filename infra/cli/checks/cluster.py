"""Checks of what a cluster stands on: its settings and its four services, each asked for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from commands.errors import TidingsError
from infra.cli.checks import Check
from infra.settings import PREFIX, BadSettings, Settings, host_port
from infra.wanted import for_gateway

PATIENCE_S = 10.0


def settings_of(settings: Settings) -> list[Check]:
    """One line for each variable that a gateway lacks."""
    try:
        for_gateway(settings)
    except BadSettings as error:
        return [Check(each.field, "fail", each.message, f"set {each.field}") for each in error.errors]
    return [Check("settings", "ok", "all that a gateway needs is set")]


def services(settings: Settings) -> list[Check]:
    """Whether those that are named answer."""
    asked: list[tuple[str, object, Callable[[Settings], Awaitable[str]]]] = [
        ("kafka", settings.kafka, _kafka),
        ("cassandra", settings.cassandra, _cassandra),
        ("redis", settings.redis, _redis),
    ]
    return asyncio.run(_all([(name, ask(settings)) for name, value, ask in asked if value]))


async def _all(asked: list[tuple[str, Awaitable[str]]]) -> list[Check]:
    return list(await asyncio.gather(*(_one(name, answer) for name, answer in asked)))


async def _one(name: str, answer: Awaitable[str]) -> Check:
    mend = f"start it, or check {PREFIX}{name.upper()} and the network between"
    try:
        return Check(name, "ok", await asyncio.wait_for(answer, PATIENCE_S))
    except TimeoutError:
        return Check(name, "fail", f"no answer within {PATIENCE_S:.0f} s", mend)
    except TidingsError as error:
        return Check(name, "fail", str(error), mend)
    except ModuleNotFoundError as error:
        return Check(name, "fail", f"{error.name} is not installed", "pip install 'tidings[cluster]'")


async def _kafka(settings: Settings) -> str:
    from infra.kafka.inspection import look_at

    return await look_at(",".join(settings.kafka))


async def _cassandra(settings: Settings) -> str:
    from infra.cassandra.connection import Connection, Contact
    from infra.cassandra.generations import Generations

    hosts = [host_port(node) for node in settings.cassandra]
    connection = Connection(Contact(tuple(host for host, _ in hosts), hosts[0][1], settings.cassandra_dc))
    try:
        nodes = len((await connection.link()).cluster.metadata.all_hosts())
        there = f"{nodes} node{'' if nodes == 1 else 's'}"
        try:
            served = await Generations(connection, settings.cassandra_keyspace).served()
        except TidingsError:
            served = None
        return f"{there}; " + ("no views yet, a worker makes them" if served is None else f"generation {served} served")
    finally:
        await asyncio.to_thread(connection.close)


async def _redis(settings: Settings) -> str:
    from infra.redis.address import parse
    from infra.redis.connection import Connection

    address = parse(settings.redis or "")
    connection = Connection(address, name="doctor")
    await connection.start()
    try:
        await connection.ping()
        return f"{address.name} answers"
    finally:
        await connection.stop()
