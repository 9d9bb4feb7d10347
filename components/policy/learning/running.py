"""Which policy serves, by the log, and which logged answers are its own: what is learnt is compared with its value.

A log holds more than that: an explorer that was rolled back, an arm of an experiment, the policy before the last one.
Their mean reward is not the running policy's. A greedy policy writes no candidates, so its value is weighted from
answers in which another one explored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.policy import policies, record
from components.policy.evaluation.logged import PLACE
from components.policy.rewards import logged_s
from feature_repo import columns, files
from feature_repo.errors import DataError


@dataclass(frozen=True)
class Running:
    """The policy of the release that serves."""

    policy: str
    settings: Mapping[str, Any]
    share: float | None  # of answers that may be drawn; None: rails lowered each that is logged

    @classmethod
    def of(cls, lines: Sequence[Mapping[str, Any]], release: str) -> "Running":
        """Read it of a release's newest answer; raises DataError where the log holds none."""
        own = sorted((x for x in lines if x.get(columns.RELEASE) == release and x.get("items")), key=logged_s)
        if not own:
            raise DataError(
                f"{PLACE}: release {release}, which serves, has logged no answer among {len(lines)}; what is learnt is "
                "compared with its policy: let it answer first, and keep its log on this machine"
            )
        name = str(own[-1].get("policy"))
        said = [choice for line in own if (choice := choice_of(line)) is not None]
        if name == policies.DEFAULT:
            return cls(policies.DEFAULT, {}, 0.0)
        if not said:
            raise DataError(
                f"{PLACE}: release {release} shows by {name}, and none of its {len(own)} answers says how it chose; "
                "leave these lines out, or mend their writer"
            )
        shares = [float(one["share"]) for one in said if one.get("why") is None]
        return cls(name, said[-1]["settings"], shares[-1] if shares else None)

    @property
    def greedy(self) -> bool:
        """Tell whether it explores nothing."""
        return self.policy == policies.DEFAULT

    def wrote(self, choice: Mapping[str, Any]) -> bool:
        """Tell whether a choice is its own; a share that rails lowered is."""
        same = choice["policy"] == self.policy and files.canonical(choice["settings"]) == files.canonical(self.settings)
        whole = choice.get("why") is None and self.share is not None
        return same and (not whole or float(choice["share"]) == self.share)

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def choice_of(line: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a line says of its choice; None of a greedy release's."""
    found: Mapping[str, Any] | None = (line.get("asked") or {}).get(record.CHOICE)
    return found
