"""RecBole's SASRec on sequences of an npz file. Runs in its own environment; prints JSON, writes lists to another npz.

`python with_recbole.py SEQUENCES.npz LISTS.npz EPOCHS SEED CPU_S`. The first file holds `items`, the sequences end to
end, and `offsets`; each ends with the item that is to be predicted. LISTS gets the best ten of every sequence, `masked`
without what the sequence holds and `unmasked` with it, [U, 10]. The item before the last stops the training and is
known when the last is predicted. A training that has spent CPU_S of the processor ends with its epoch; its best one
counts. `ended_by` says which it was: validation, epochs or budget.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

K = 10
SETTINGS = {
    "model": "SASRec",
    "loss_type": "CE",
    "train_neg_sample_args": None,
    "MAX_ITEM_LIST_LENGTH": 50,
    "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "metrics": ["Recall", "NDCG"],
    "valid_metric": "NDCG@10",
    "stopping_step": 3,
    "use_gpu": False,
    "show_progress": False,
}


class Spent(Exception):
    """The training has had what it was given."""


def best(scores: np.ndarray, had: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best items of one sequence, without what it holds and with it."""
    unmasked = np.argsort(-scores, kind="stable")[:K]
    scores[had] = -np.inf
    return np.argsort(-scores, kind="stable")[:K], unmasked


def main() -> None:
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    source, lists, epochs, seed, cpu_s = sys.argv[1:]
    with np.load(source) as file:
        items, offsets = file["items"], file["offsets"]
    sequences = np.split(items, offsets[1:-1])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "films"
        data.mkdir()
        lines = ["user_id:token\titem_id:token\ttimestamp:float"]
        lines += [f"{u}\t{i}\t{place}" for u, mine in enumerate(sequences) for place, i in enumerate(mine)]
        (data / "films.inter").write_text("\n".join(lines) + "\n")
        asked = SETTINGS | {"data_path": folder, "checkpoint_dir": f"{folder}/kept", "epochs": int(epochs)}
        sys.argv = sys.argv[:1]  # RecBole reads the command line too
        config = Config(model="SASRec", dataset="films", config_dict=asked | {"seed": int(seed)})
        init_seed(config["seed"], True)
        torch.set_num_threads(1)
        dataset = create_dataset(config)
        train, check, test = data_preparation(config, dataset)
        model = SASRec(config, train.dataset)
        trainer = Trainer(config, model)
        start = time.process_time()
        ran, ended_by = 0, "validation"

        def look(epoch: int, _score: float) -> None:
            nonlocal ran
            ran = epoch + 1
            if time.process_time() - start > float(cpu_s):
                raise Spent

        try:
            trainer.fit(train, check, verbose=False, saved=True, show_progress=False, callback_fn=look)
            ended_by = "epochs" if ran == int(epochs) else ended_by
        except Spent:
            ended_by = "budget"
        spent = time.process_time() - start
        kept = torch.load(trainer.saved_model_file, weights_only=False)  # its own call fails on today's torch
        model.load_state_dict(kept["state_dict"])
        told: dict[str, Any] = {"fit_cpu_s": spent, "epochs": ran, "ended_by": ended_by}
        answers = _lists(model, dataset, test, sequences)
    np.savez(lists, masked=answers[0], unmasked=answers[1])
    print(json.dumps(told))


def _lists(model: Any, dataset: Any, test: Any, sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    import torch

    masked, unmasked = (np.full((len(sequences), K), -1) for _ in range(2))
    names = np.asarray(dataset.id2token("item_id", np.arange(1, dataset.item_num)), dtype=np.int64)
    model.eval()
    with torch.no_grad():
        for interaction, *_ in test:
            scores = model.full_sort_predict(interaction).numpy()[:, 1:]
            users = np.asarray(dataset.id2token("user_id", interaction["user_id"].numpy()), dtype=np.int64)
            for row, u in enumerate(users):
                dense = np.full(int(names.max()) + 1, -np.inf)
                dense[names] = scores[row]
                masked[u], unmasked[u] = best(dense, sequences[u][:-1])
    return masked, unmasked


if __name__ == "__main__":
    main()
