"""Train the intent model from a command line: what torchrun starts on every rank, here or in a TrainJob.

`torchrun --nproc-per-node 2 -m components.intent --intents JSON --model JSON --rows FOLDER --intent FOLDER`
is the step `train_intent` on two processes; without torchrun it is the step on one.
"""

import argparse

from components.distributed import entry
from components.intent.steps import run_train_intent


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(prog="components.intent", description="Train the intent model.")
    parser.add_argument("--intents", required=True, help="the spec's slice `intents`, as JSON")
    parser.add_argument("--model", required=True, help="the spec's slice `models.intent`, as JSON")
    parser.add_argument("--ranking-weeks", type=int, required=True, help="weeks that are scored out of time")
    parser.add_argument("--code", default="", help="digest of the code that trains, for a refit to compare with")
    parser.add_argument("--rows", required=True, help="folder that the step training_set wrote")
    parser.add_argument("--intent", required=True, help="model folder to write")
    asked = parser.parse_args()
    entry.run(
        lambda: run_train_intent(
            asked.intents,
            asked.model,
            ranking_weeks=asked.ranking_weeks,
            rows=asked.rows,
            intent=asked.intent,
            code=asked.code,
        )
    )


if __name__ == "__main__":
    main()
