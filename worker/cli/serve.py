"""`neuronym-worker serve`: serve clamps on the models of the current label file."""

import click

from neuronym.access import exposure_refusal
from neuronym.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535))
def serve(host: str, port: int) -> None:
    """Serve clamps on the models of the current label file."""
    import uvicorn  # only here: mapping needs no web server

    from worker.library.checkpoints import PublishedCheckpoints
    from worker.serving.service import create_service

    settings = Settings()
    if refusal := exposure_refusal(host, settings.worker_secret, "NEURONYM_WORKER_SECRET", guarded=settings.open):
        raise click.ClickException(refusal)
    try:
        service = create_service(settings, PublishedCheckpoints(settings.data))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    uvicorn.run(service, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5)
