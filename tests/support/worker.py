"""A worker in a process of its own, with Cassandra views: to be killed, held, and started again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread

from infra.cassandra.connection import Connection, Contact
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.group import POSITION_DELAY_S
from infra.cassandra.keyspace import Keyspace
from infra.kafka.log import KafkaLog
from infra.worker import folding, run
from streams.faust_worker.worker import Membership

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Setting:
    """What all workers of a test share."""

    bootstrap: str
    topic: str
    dead_letters: str
    partitions: int
    hosts: list[str]
    port: int
    keyspace: str
    session_timeout_s: float = 6.0


class Worker:
    def __init__(self, folder: Path, setting: Setting, member: str) -> None:
        self.member = member
        self.output = folder / f"{member}.output"
        self._setting = setting
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        arguments = json.dumps({**asdict(self._setting), "member": self.member})
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.worker", arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def kill(self) -> None:
        """kill -9. Quiet if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def pause(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def stop(self, patience_s: float = 30) -> int:
        """SIGTERM; gives the exit status."""
        self._running().terminate()
        return self.wait_ended(patience_s)

    def wait_ended(self, patience_s: float = 60) -> int:
        """Gives the exit status. Raises TimeoutExpired."""
        status = self._running().wait(patience_s)
        self._forget()
        return status

    def printed(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def _forget(self) -> None:
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.member} does not run"
        return self._process


def end_with_the_test() -> None:
    """The other end of stdin closes when the test's process ends, however it does."""
    sys.stdin.read()
    os._exit(3)


async def main(setting: Setting, member: str) -> None:
    connection = Connection(Contact(tuple(setting.hosts), setting.port, timeout_s=20))
    membership = Membership(
        setting.bootstrap, f"fold-{setting.topic}", member, setting.topic, setting.session_timeout_s
    )

    async def work() -> None:
        async with AsyncExitStack() as stack:
            log = await KafkaLog.open(setting.bootstrap, setting.partitions, topic=setting.topic)
            stack.push_async_callback(log.close)
            keyspace = Keyspace(connection, setting.keyspace)
            store = CassandraFoldStore(keyspace, log.incarnation, log.end, position_delay_s=POSITION_DELAY_S)
            stack.push_async_callback(store.settle)
            worker = await folding(membership, log, store, None, stack, dead_letters=setting.dead_letters)
            await worker.run()

    working = asyncio.create_task(work())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    try:
        await working
    except asyncio.CancelledError:
        logging.info("ended as asked")
    finally:
        connection.close()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    logging.basicConfig(
        level=os.environ.get("TIDINGS_LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    own_member = given.pop("member")
    Thread(target=end_with_the_test, daemon=True).start()
    run(main(Setting(**given), own_member))
