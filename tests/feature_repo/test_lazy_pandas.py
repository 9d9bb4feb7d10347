"""A door imports no pandas; whoever computes with it all the same gets the real one."""

import json
import subprocess
import sys

import pytest

from feature_repo import lazy_pandas
from feature_repo.checkout import ROOT
from tests.patience import patient

pytestmark = pytest.mark.process
READS = """
import sys
from feature_repo import lazy_pandas
lazy_pandas.unknown_to_arrow()
import pyarrow as pa
import pyarrow.compute as pc
with lazy_pandas.deferred():
    from feature_repo.online.feast_store import Online
    import os
    os.environ["INTENTFLOW_FEAST"] = sys.argv[1]
    Online.open("toy", windows_days=(7, 28))
pc.equal(pa.array(["a"]), "a")
print([name for name in ("pandas", "torch", "sqlalchemy") if name in sys.modules])
from feast import utils
print(utils.pd.DataFrame({"a": [1]}).shape)
table = pa.table({"a": [1, None]})
print(table.to_pandas()["a"].isna().tolist(), pa.table(table.to_pandas())["a"].null_count)
import pandas
print(type(table.to_pandas()) is pandas.DataFrame, utils.pd.DataFrame is pandas.DataFrame)
"""


AT = {"host": "localhost", "port": 5432, "database": "d", "user": "u", "password": "p"}


@pytest.mark.parametrize("store", ["sqlite", "redis", "postgres"])
def test_feast_and_arrow_do_without_pandas_until_somebody_computes_with_it(store: str) -> None:
    online = {"type": store} | (AT if store == "postgres" else {})
    settings = json.dumps({"registry": "r.db", "online_store": online})
    done = subprocess.run(
        [sys.executable, "-c", READS, settings],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.stdout.splitlines() == ["[]", "(1, 1)", "[False, True] 1", "True True"], done.stderr[-2000:]


def test_where_pandas_is_imported_nothing_stands_in_for_it() -> None:
    import pandas

    lazy_pandas.unknown_to_arrow()
    with lazy_pandas.deferred():
        assert sys.modules["pandas"] is pandas
