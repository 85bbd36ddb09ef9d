"""Where events go: a line in one append-only file, or a POST that neither fails nor holds up a command.

An endpoint has two seconds to answer. One that does not is not asked again by this process, and its events go into the
file, from which they can be sent later.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.request import Request, urlopen

from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import FILE_MODE, make_folder
from transformations.engine.base.words import show_address

SECONDS = 2.0
_LOG = logging.getLogger(__name__)
SILENT: set[str] = set()


def events_file(settings: Settings) -> Path:
    """The file of events, a JSON document a line."""
    return settings.data / "lineage" / "events.jsonl"


def send(event: Mapping[str, object], settings: Settings) -> None:
    """Send one event where the settings say."""
    if settings.lineage == "file" or not _posted(event, settings):
        _append(event, events_file(settings))


def _append(event: Mapping[str, object], path: Path) -> None:
    """One write of a whole line: lines of processes that write at once do not mix."""
    line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"
    try:
        make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:  # the work is done, and its own record has its lineage
        _LOG.warning("no lineage event was written to %s: %s", path, error.strerror)


def _posted(event: Mapping[str, object], settings: Settings) -> bool:
    """Whether the endpoint has taken the event, in time."""
    address = settings.lineage
    if address in SILENT:
        return False
    failures: list[str] = []
    body = json.dumps(event, default=str).encode()
    headers = {"Content-Type": "application/json"}
    if settings.lineage_key is not None:
        headers["Authorization"] = f"Bearer {settings.lineage_key.get_secret_value()}"

    def post() -> None:
        try:
            with urlopen(Request(address, body, headers, method="POST"), timeout=SECONDS):
                failures.append("")
        except Exception as error:  # whatever goes wrong here must not fail the command
            failures.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=post, name="lineage", daemon=True)
    thread.start()
    thread.join(SECONDS)  # no timeout covers a name lookup, or a server that answers byte by byte
    said = failures[0] if failures else f"no answer within {SECONDS:.0f} s"
    if said:
        SILENT.add(address)
        _LOG.warning("lineage events go to the file from here on, for %s says: %s", show_address(address), said)
    return not said
