"""The step `item_vectors` in its frame: training rows in, the same rows with the items' vectors beside them out.

The rows' files are linked where the file system can, those of the intent model too: where it reads titles it is trained
on what this step writes, and so it is where a pipeline that was compiled so runs a form without. A spec without vectors
gets its rows back as they are.
"""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.step import step
from components.vectors.build import Work, build
from components.vectors.spec import Vectors
from components.vectors.text import Report
from feature_repo import columns, env_names, files
from feature_repo.item_vectors import FOLDER

KEY = "vectors"  # of the slice `models.ranking`
MADE_BY = "made_by"  # beside the spec's own fields there: another encoder, and the step runs again


def run_item_vectors(ranking: str, *, rows: str, vector_rows: str) -> None:
    """Write the rows again, with vectors of the items as the slice `models.ranking` (JSON) asks for them."""
    with step("item_vectors") as progress:
        source, asked = Path(rows), json.loads(ranking).get(KEY)
        with files.written_folder(Path(vector_rows)) as folder:
            link(source, folder)
            if asked is None:
                progress.count(asked=False)
                return
            spec = Vectors.model_validate({name: value for name, value in asked.items() if name != MADE_BY})
            items = pq.read_table(source / "vocabulary" / "items.parquet")
            state = pq.read_table(source / "item_state.parquet")
            found = build(items, popularity(state, items.num_rows), spec, _work(progress.at))
            found.save(folder / FOLDER, [str(one) for one in items[columns.ITEM_ID].to_pylist()])
        counts = found.about["counts"]
        said = {"reused" if name == "cached" else name: number for name, number in counts.items()}
        progress.count(rows_in=items.num_rows, rows_out=items.num_rows - counts["without"], **said)
        progress.tell(**counts)


def _work(report: Report) -> Work:
    """Return what encoding takes from this process: folders of the environment, the clock."""
    home = os.environ.get(env_names.HOME)
    return Work(Path(os.environ.get(env_names.SPEC_DIR, ".")), Path(home) if home else None, time.monotonic, report)


def popularity(state: pa.Table, n_items: int) -> np.ndarray:
    """Return each item's share of the active users of four weeks as known last, float64 [I]."""
    result = np.zeros(n_items)
    if state.num_rows:
        last = state.filter(pc.equal(state[columns.WEEK], pc.max(state[columns.WEEK])))
        result[last[columns.ITEM_INDEX].to_numpy()] = last[columns.SHARES[1]].to_numpy()
    return np.nan_to_num(result)


def link(source: Path, target: Path) -> None:
    """Link a folder's files into another one, or copy them: artifacts are never changed in place."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        name = path.relative_to(source)
        if name.parts[0] == FOLDER:
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target / name)
        except OSError:
            shutil.copyfile(path, target / name)
