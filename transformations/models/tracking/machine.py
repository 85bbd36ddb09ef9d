"""What a training costs this process: sampled every second, with peak and totals at the end."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

Sample = Callable[[Mapping[str, float], int], None]
_PERIOD_SECONDS = 1.0


@dataclass
class Usage:
    """Wall and processor seconds, and the most memory in MB that the process ever held; filled in at the end."""

    totals: dict[str, float] = field(default_factory=dict)


@contextmanager
def observed(record: Sample) -> Iterator[Usage]:
    """Call `record` with memory and processor use every second; leave the totals behind. It also gets the second."""
    usage = Usage()
    began, used = time.monotonic(), _processor_seconds()
    stop = threading.Event()
    sampler = threading.Thread(target=_sample, args=(record, stop), daemon=True)
    sampler.start()
    try:
        yield usage
    finally:
        stop.set()
        sampler.join()
        usage.totals |= {
            "system/wall_seconds": time.monotonic() - began,
            "system/cpu_seconds": _processor_seconds() - used,
            "system/peak_memory_mb": _peak_megabytes(),
        }


def _sample(record: Sample, stop: threading.Event) -> None:
    import psutil

    process = psutil.Process()
    process.cpu_percent()
    second = 0
    while not stop.wait(_PERIOD_SECONDS):
        second += 1
        memory = process.memory_info().rss / 1e6
        record({"system/memory_mb": memory, "system/cpu_percent": process.cpu_percent()}, second)


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # macOS counts bytes, other systems kB
