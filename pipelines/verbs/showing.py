"""Let an assistant or a browser see and steer what runs here."""

from pathlib import Path

import click


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", default="local", show_default=True, help="environment, by name or file")
def mcp(spec: Path, environment: str) -> None:
    """Let an assistant read what runs here, by the Model Context Protocol on stdin and stdout; with a key, change."""
    from pipelines.assistants import server

    server.serve(spec, environment)


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", default="local", show_default=True, help="environment, by name or file")
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on; others need keys")
@click.option("--port", default=7080, show_default=True, help="port to listen on")
def console(spec: Path, environment: str, host: str, port: int) -> None:
    """Serve web pages to see and steer what runs here: people, rules, experiments, releases, drift."""
    from pipelines.console import server

    server.serve(spec, environment, host=host, port=port)


VERBS = (mcp, console)
