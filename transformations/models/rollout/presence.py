"""Which servers are there and which event each follows, and whose turn it is to decide."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.models.rollout.tables import LEASES, SERVERS, RolloutTables, is_of, moment_of, put

SECONDS_TO_FOLLOW = 10.0
"""How long a command waits for servers to follow an event that counts at once."""
_SECONDS_OF_SILENCE = 60.0
"""A server that has said nothing for so long is gone: it was killed, or its machine was."""
_LOOK_EVERY = 0.1


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server process. name: `host:process:token`. event: the last that it follows. silent: seconds since it spoke."""

    name: str
    event: int
    silent: float
    trouble: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended for certain: it ran on this machine, and is not there any more."""
        host, process, _ = self.name.rsplit(":", 2)
        return host == socket.gethostname() and not _is_running(int(process))


def server_name() -> str:
    """A name for this process that no other has or will have."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class Presence:
    """The servers of a model, and the lease of deciding about it; both by the clock of the database."""

    def __init__(self, tables: RolloutTables) -> None:
        self._tables = tables

    def beat(self, model: str, server: str, event: int, trouble: str = "") -> None:
        """Say that a server is there, and which event it follows."""
        row = {**self._tables.of_model(model), "server": server}
        with self._tables.engine.begin() as connection:
            row |= {"event": event, "seen_at": moment_of(connection), "trouble": trouble}
            put(connection, SERVERS, row)

    def leave(self, model: str, server: str) -> None:
        """Say that a server has ended."""
        with self._tables.engine.begin() as connection:
            connection.execute(
                delete(SERVERS).where(is_of(SERVERS, {**self._tables.of_model(model), "server": server}))
            )

    def servers(self, model: str) -> list[Server]:
        """The servers that are there, by name; those that ended without a word are removed after a minute."""
        columns = (SERVERS.c.server, SERVERS.c.event, SERVERS.c.seen_at, SERVERS.c.trouble)
        with self._tables.engine.connect() as connection:
            now = moment_of(connection)
            rows = connection.execute(select(*columns).where(is_of(SERVERS, self._tables.of_model(model)))).all()
        found = [
            Server(name=row.server, event=row.event, silent=max(0.0, now - row.seen_at), trouble=row.trouble)
            for row in rows
        ]
        gone = [each for each in found if each.is_gone or each.silent > _SECONDS_OF_SILENCE]
        for each in gone:
            self.leave(model, each.name)
        return sorted((each for each in found if each not in gone), key=lambda each: each.name)

    def behind(self, model: str, event: int) -> list[Server]:
        """The servers that do not follow an event yet."""
        return [each for each in self.servers(model) if each.event < event]

    def wait(self, model: str, event: int, seconds: float = SECONDS_TO_FOLLOW) -> float:
        """Return when every server follows an event, with the seconds that took.

        ServiceUnavailableError, naming them, where some do not after so many seconds.
        """
        began = time.monotonic()
        while behind := self.behind(model, event):
            if time.monotonic() - began > seconds:
                names = "; ".join(map(_described, behind))
                raise ServiceUnavailableError(
                    f"model {model}: event {event} is written and counts, and {len(behind)} servers do not follow it "
                    f"after {seconds:g} s: {names}. They answer as before: stop them, or mend what keeps them."
                )
            time.sleep(_LOOK_EVERY)
        return time.monotonic() - began

    def take_lease(self, model: str, holder: str, seconds: float) -> bool:
        """Whether this holder decides for so many seconds from now; nobody else does meanwhile."""
        base = self._tables.of_model(model)
        with self._tables.engine.begin() as connection:
            now = moment_of(connection)
            is_free = or_(LEASES.c.until < now, LEASES.c.holder == holder)
            taken = update(LEASES).where(is_of(LEASES, base), is_free).values(holder=holder, until=now + seconds)
            if connection.execute(taken).rowcount:
                return True
            if connection.execute(select(LEASES.c.holder).where(is_of(LEASES, base))).first() is not None:
                return False
        try:
            with self._tables.engine.begin() as connection:
                connection.execute(insert(LEASES).values(**base, holder=holder, until=now + seconds))
        except IntegrityError:  # another has inserted it meanwhile
            return False
        return True


def _described(server: Server) -> str:
    said = f"{server.name} is at event {server.event}"
    if server.trouble:
        return f"{said}, because {server.trouble}"
    return said if server.silent < 5 else f"{said} and silent for {server.silent:.0f} s"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
