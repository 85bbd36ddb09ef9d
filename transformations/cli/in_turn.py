"""Command lines of `features`, performed in turn in one process: what one has started, as Spark, the next one has.

Who starts `python -m transformations.cli.in_turn FD` holds the other end of the socket FD, sends a command line as a
line of JSON, and gets its exit code as a line once all that it printed is out. The process ends with the socket.
"""

from __future__ import annotations

import json
import socket
import sys

from transformations.cli.main import keep_from_others, run
from transformations.engine.launch.quickening import quicken_feast


def perform_all(asked: socket.socket) -> None:
    """Perform what is asked until nobody is there any more to ask."""
    with asked, asked.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            code = run(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            asked.sendall(f"{code}\n".encode())


if __name__ == "__main__":
    quicken_feast()
    keep_from_others()
    perform_all(socket.socket(fileno=int(sys.argv[1])))
