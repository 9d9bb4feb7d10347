"""The work that every peer does for a request: read the profile, predict the intents, rank, name the items.

It is what the door calls, without what only the door has: checks, fallbacks, request log, metrics. A peer's process
reads the same environment variables as the door and `RELEASE`, the folder of the release.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from bentos.release import INTENT, RANKING, Release
from feature_repo import env_names

RELEASE, READS = env_names.RELEASE, "INTENTFLOW_BENCHMARK_READS"
PROCESSES = "INTENTFLOW_BENCHMARK_PROCESSES"  # that a server may have
TOP_INTENTS = 5


def processes() -> int:
    """Return how many processes a server may have: as many as our door."""
    return int(os.environ.get(PROCESSES, "1"))


class Answerer:
    """The models and the profile store of one release."""

    def __init__(self) -> None:
        from bentos import threads
        from bentos.recommender.clock import make_clock
        from bentos.recommender.service import folding
        from components.intent.score import IntentScorer
        from components.ranking.score import Ranker
        from feature_repo.online.profiles import OnlineProfiles

        release = Release.load(Path(os.environ[RELEASE]))
        self._scorer = IntentScorer.served(release.folder / INTENT)
        self._ranker = Ranker.served(release.folder / RANKING)
        threads.limit(1)
        self._profiles = OnlineProfiles.open(release.name, folding(release, self._ranker.vocabulary))
        self._key, self._k = os.environ[env_names.PSEUDONYM_KEY], release.serving.k
        self._now = make_clock(os.environ[env_names.CLOCK], release.data_end).now()
        self._titles = self._ranker.vocabulary.items["title"].to_pylist()
        # Profiles that were read, as eight bytes in a file of each process that answers.
        counted = Path(os.environ[READS])
        counted.mkdir(parents=True, exist_ok=True)
        self._reads, self._file = 0, os.open(counted / str(os.getpid()), os.O_CREAT | os.O_WRONLY)
        os.pwrite(self._file, bytes(8), 0)

    def recommend(self, user: str) -> dict[str, Any]:
        """Return the items for a user as JSON values."""
        from feature_repo.privacy.pseudonyms import pseudonym

        rows = self._profiles.read([pseudonym(user, self._key)], now=self._now)
        self._reads += int(rows.known[0])
        os.pwrite(self._file, self._reads.to_bytes(8, "little"), 0)
        probabilities = self._scorer.predict(rows)[0]
        found = self._ranker.recommend(rows, probabilities, k=self._k)
        ids, names = self._ranker.vocabulary.item_ids, self._scorer.names
        best = np.argsort(-probabilities, kind="stable")[:TOP_INTENTS].tolist()
        return {
            "items": [
                {
                    "item_id": ids[one.item_index],
                    "title": self._titles[one.item_index],
                    "score": float(one.score),
                    "source": one.source,
                    "reasons": one.reasons,
                }
                for one in found
            ],
            "intents": [{"name": names[t], "probability": float(probabilities[t])} for t in best],
        }
