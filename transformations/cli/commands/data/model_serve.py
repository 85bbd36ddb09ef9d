"""`features model serve`: the model server."""

from __future__ import annotations

import click

from transformations.cli.model_place import model_place
from transformations.cli.output import remark, say

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(
    epilog="""\b
Any server of ASGI apps can run it instead, with the models in a variable:
  FEATURES_PREDICT_MODELS=NAME uvicorn --factory transformations.models.serving.api.app:create_app
"""
)
@click.argument("names", metavar="NAME", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_080, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
def serve(names: tuple[str, ...], host: str, port: int, workers: int) -> None:
    """Answer requests for predictions of each NAME by HTTP, by the versions that its log names."""
    settings, repository, log = model_place()
    from transformations.models.serving.api.running import run

    if host not in _LOOPBACK and settings.predict_tokens is None:
        remark(f"warning: whoever reaches {host} may ask: FEATURES_PREDICT_TOKENS names no token.")
    say(f"{', '.join(names)} at http://{host}:{port}/v1/models; the form of requests at http://{host}:{port}/docs")
    run(names, repository, log, host=host, port=port, workers=workers)
