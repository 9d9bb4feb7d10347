"""Train the ranker from a command line: what torchrun starts on every rank, here or in a TrainJob.

`torchrun --nproc-per-node 2 -m components.ranking --ranking JSON --rows FOLDER --intent FOLDER --ranker FOLDER`
is the step `train_ranking` on two processes; without torchrun it is the step on one.
"""

import argparse

from components.distributed import entry
from components.ranking.steps import run_train_ranking


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(prog="components.ranking", description="Train the ranker.")
    parser.add_argument("--ranking", required=True, help="the spec's slice `models.ranking`, as JSON")
    parser.add_argument("--code", default="", help="digest of the code that trains, for a refit to compare with")
    parser.add_argument("--rows", required=True, help="folder that the step training_set wrote")
    parser.add_argument("--intent", required=True, help="folder of the intent model")
    parser.add_argument("--ranker", required=True, help="model folder to write")
    asked = parser.parse_args()
    entry.run(
        lambda: run_train_ranking(
            asked.ranking, rows=asked.rows, intent=asked.intent, ranker=asked.ranker, code=asked.code
        )
    )


if __name__ == "__main__":
    main()
