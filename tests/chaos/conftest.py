"""One small world for all of these tests; each leaves it serving."""

from collections.abc import Iterator

import pytest

from pipelines.releases import processes
from tests.chaos import servers
from tests.chaos.stage import Stage, environment, trained


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The shop's first release serves; the loop runs."""
    folder = tmp_path_factory.mktemp("chaos")
    redis, mlflow = servers.redis(folder / "redis"), servers.mlflow(folder / "mlflow")
    try:
        redis.start()
        mlflow.start()
        (folder / "shop").mkdir()
        shop = trained(folder / "shop", environment(redis, mlflow))
        found = Stage(shop, "", folder / "loop.log", redis=redis, mlflow=mlflow)
        try:
            found.reconcile()
            found.route()
            found.watch()
            yield found
        finally:
            found.kill()
            processes.down(found.place.home)
    finally:
        redis.kill()
        mlflow.kill()
