"""`features redis`: the project's own Redis server, where no other is configured."""

from dataclasses import asdict

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_bytes, human_duration, plural, show_address
from transformations.local import redis as embedded


@click.group(
    epilog="""\b
Examples:
  features redis start
  features redis status --json
  features redis stop
"""
)
def redis() -> None:
    """Start, stop and find the project's own Redis.

    It starts by itself on first use, listens on a private unix socket only, keeps its data in the data folder, and is
    not used at all where FEATURES_REDIS_URL is set.
    """


@redis.command()
def start() -> None:
    """Start the server, unless it runs, and print its URL."""
    if configured := _configured_url():
        say(f"FEATURES_REDIS_URL is set: {show_address(configured)} is used, nothing to start.")
        return
    say(embedded.start())


@redis.command()
def stop() -> None:
    """Save the data, stop the server and wait until it is gone."""
    process_id = embedded.stop()
    say("Redis does not run." if process_id is None else f"Redis is stopped (process {process_id}).")


@redis.command()
@click.option("--reveal", is_flag=True, help="Print a configured password too, in place of ***.")
def url(reveal: bool) -> None:
    """Print the URL of the Redis that is used, configured or our own; starts nothing."""
    address = _configured_url() or embedded.embedded_url()
    say(address if reveal else show_address(address))


@redis.command()
@json_option
def status(as_json: bool) -> None:
    """Show whether the project's own server runs, and what it holds."""
    server = embedded.status()
    if as_json:
        print_json({"running": server is not None, **(asdict(server) if server else {})})
    elif server is None:
        say("Redis does not run; it starts on first use, or by `features redis start`.")
    else:
        say(
            f"Redis {server.version} runs as process {server.process_id} for {human_duration(server.uptime_seconds)}: "
            f"{plural(server.keys, 'key')}, {human_bytes(server.used_memory_bytes)}.\n{server.url}"
        )


def _configured_url() -> str | None:
    configured = get_settings().redis_url
    return configured.get_secret_value() if configured else None
