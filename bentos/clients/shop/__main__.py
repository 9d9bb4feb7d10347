"""Serve the shop on this machine: `python -m bentos.clients.shop --user 1`."""

import os
import sys

import click
import uvicorn

from bentos.clients.shop.server import Shop, create_app
from feature_repo import env_names
from feature_repo.errors import UserError


@click.command()
@click.option("--recommender", default="http://localhost:3000", show_default=True, help="address of the service")
@click.option("--user", required=True, help="who is signed in, as in your data")
@click.option("--page-key", default="", help="of `intentflow keys SPEC create --for page`; everybody sees it")
@click.option("--port", default=8000, show_default=True)
def main(recommender: str, user: str, page_key: str, port: int) -> None:
    """Serve a page that shows recommendations which change with clicks; INTENTFLOW_SHOP_KEY holds the server's key."""
    shop = Shop(recommender.rstrip("/"), user, page_key=page_key, server_key=os.environ.get(env_names.SHOP_KEY, ""))
    try:
        app = create_app(shop)
    except UserError as error:
        click.echo(f"shop: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"http://localhost:{port}")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
