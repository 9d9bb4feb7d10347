"""RecTools' SASRec on sequences of an npz file. Runs in its own environment; prints JSON, writes lists to another npz.

`python with_rectools.py SEQUENCES.npz LISTS.npz EPOCHS SEED CPU_S`; files and words are those of with_recbole.py. Its
defaults, but for width and length, which are RecBole's, so that the two differ by what they are.
"""

import json
import logging
import sys
import tempfile
import time
import warnings
from typing import Any

import numpy as np

K = 10
WIDTH, LENGTH, PATIENCE = 64, 50, 3


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    import pandas as pd
    import torch
    from pytorch_lightning import Trainer, seed_everything
    from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel
    from rectools.models.nn.transformers.utils import leave_one_out_mask

    source, lists, epochs, seed, cpu_s = sys.argv[1:]
    with np.load(source) as file:
        items, offsets = file["items"], file["offsets"]
    length = np.diff(offsets)
    frame = pd.DataFrame({Columns.User: np.repeat(np.arange(len(length)), length), Columns.Item: items})
    place = np.arange(len(items)) - offsets[:-1].repeat(length)
    frame[Columns.Weight], frame[Columns.Datetime] = 1.0, pd.Timestamp("2000-01-01") + pd.to_timedelta(place, "D")
    known = frame[place < length.repeat(length) - 1]  # all but the last, which is to be predicted
    seed_everything(int(seed))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:

        class Budget(Callback):  # type: ignore[misc]  # a class of the peer's environment
            """Ends a training that has had what it was given."""

            spent = False

            def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
                if time.process_time() - start > float(cpu_s):
                    self.spent = trainer.should_stop = True

        budget = Budget()

        def trainer() -> Trainer:
            return Trainer(
                max_epochs=int(epochs), accelerator="cpu", logger=False, enable_progress_bar=False,
                enable_model_summary=False, default_root_dir=folder,
                callbacks=[EarlyStopping("val_loss", patience=PATIENCE),
                           ModelCheckpoint(folder, monitor="val_loss", save_top_k=1), budget],
            )  # fmt: skip

        model = SASRecModel(n_factors=WIDTH, session_max_len=LENGTH, get_trainer_func=trainer,
                            get_val_mask_func=leave_one_out_mask, recommend_torch_device="cpu")  # fmt: skip
        dataset, start = Dataset.construct(known), time.process_time()
        model.fit(dataset)
        spent, fitted = time.process_time() - start, model.fit_trainer
        kept: Any = next(one for one in fitted.callbacks if isinstance(one, ModelCheckpoint))
        load, torch.load = torch.load, lambda *a, **o: load(*a, **o | {"weights_only": False})
        model.load_weights_from_checkpoint(kept.best_model_path)
        ran = int(fitted.current_epoch)
    found = {}
    for name, masks in (("masked", True), ("unmasked", False)):
        told = model.recommend(np.arange(len(length)), dataset, k=K, filter_viewed=masks)
        found[name] = np.full((len(length), K), -1)
        found[name][told[Columns.User].to_numpy(), told[Columns.Rank].to_numpy() - 1] = told[Columns.Item].to_numpy()
    np.savez(lists, masked=found["masked"], unmasked=found["unmasked"])
    ended_by = "budget" if budget.spent else "epochs" if ran == int(epochs) else "validation"
    print(json.dumps({"fit_cpu_s": spent, "epochs": ran, "ended_by": ended_by}))


if __name__ == "__main__":
    main()
