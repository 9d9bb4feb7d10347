"""`intentflow rewards`: what users did with what they were shown, as a table, by the KPIs of `policy.rewards`.

Reads the logs of this machine's state folder, or what doors shipped to `requests.url`, and makes the table anew
(components/policy/reward_table.py). Safe to repeat: a table is whole or not there, and says which rewards came late.
Between a change of the pseudonyms' key and `rotate` both names of a person are one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from feature_repo import columns
from feature_repo.errors import DataError, SpecError
from pipelines.environment import Installation
from pipelines.releases.release import variables
from pipelines.runs import local

if TYPE_CHECKING:
    from components.policy.rewards import Found, Kpi, Rewarded


@dataclass(frozen=True)
class RewardsReport:
    """What the table holds."""

    path: str
    rows: int
    answers: int
    explored: int  # answers that were drawn
    ripe: int  # answers whose rewards are all known
    events: int  # that were read, each once; 0: every reward that is known is 0
    late: int  # events that came after their time and count all the same
    corrected: int  # rows whose reward the table before this one had otherwise
    kept_out: dict[str, int]
    kpis: dict[str, dict[str, float]]  # by KPI: its mean over shown items whose time is over, and how many these are

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    def text(self) -> str:
        """Return it as a person reads it."""
        lines = [
            f"Table      {self.path}: {self.rows:,} items of {self.answers:,} answers, {self.explored:,} explored",
            f"Ripe       {self.ripe:,} answers; {self.late:,} events came late, {self.corrected:,} rewards corrected",
            f"Events     {self.events:,}" + ("" if self.events else ": none was read, so each known reward is 0"),
            *(f"{name:<10} {said['mean']:.5g} an item, over {said['items']:,.0f}" for name, said in self.kpis.items()),
        ]
        if self.kept_out:
            out = ", ".join(f"{count:,} {why}" for why, count in sorted(self.kept_out.items()))
            lines.append(f"Kept out   {out}")
        return "\n".join(lines)


def rewards(place: Installation) -> RewardsReport:
    """Make the rewards table of a recommender."""
    from components.data import new_names
    from components.policy import reward_table
    from components.policy.rewards import Found, attributed, require_carried

    declared = place.spec.policy.rewards
    if not declared:
        raise SpecError(
            f"{place.spec_path}: policy.rewards: none is declared, so nothing is a reward; add one, such as "
            "policy: {rewards: [{name: purchase, event: [purchase], within: 24h}]}"
        )
    kpis, found = [one.kpi() for one in declared], Found()
    with local.alone(place.home), variables(place):  # `forget` has the lock too: no row of its people comes back
        names = new_names.known(place.spec.data, place.spec_path.absolute().parent, place.variables)
        answers = list(names.lines(_answers(place)))
        if not answers:
            raise DataError(
                f"{_where(place)}: no answer of /recommend is logged yet, so there is nothing to reward; serve the "
                "release first, and send what users do to /events"
            )
        made = attributed(
            answers,
            names.lines(_events(place)),
            kpis,
            now_s=_known_until(place),
            bots=place.spec.policy.bots.rule(),
            found=found,
        )
        require_carried(kpis, found)
        written = reward_table.write(place.home, made, kpis)
    return _report(str(reward_table.path(place.home)), written.rows, written.corrected, made, kpis, found)


def _known_until(place: Installation) -> float:
    """Return up to when the logs are whole, epoch seconds: what doors ship is there some time later."""
    from feature_repo.logs.shipped_log import SHIPPED_S

    return time.time() - (SHIPPED_S if place.environment.requests.url else 0.0)


def _report(
    path: str, rows: int, corrected: int, made: Sequence["Rewarded"], kpis: Sequence["Kpi"], found: "Found"
) -> RewardsReport:
    return RewardsReport(
        path=path,
        rows=rows,
        answers=found.answers,
        explored=sum(bool(((one.answer.get("asked") or {}).get("choice") or {}).get("explored")) for one in made),
        ripe=found.ripe,
        events=sum(found.kinds.values()),
        late=found.late,
        corrected=corrected,
        kept_out=dict(found.kept_out),
        kpis={kpi.name: _mean(kpi.name, made) for kpi in kpis},
    )


def _mean(name: str, made: Sequence["Rewarded"]) -> dict[str, float]:
    """Return a KPI's mean over items whose time is over; 0 of 0 where there are none."""
    known = [value for one in made for value in one.rewards[name] if value is not None]
    return {"mean": sum(known) / len(known) if known else 0.0, "items": float(len(known))}


def _where(place: Installation) -> str:
    return place.environment.requests.url or str(place.home / columns.REQUESTS_FOLDER)


def _answers(place: Installation) -> Iterator[Mapping[str, Any]]:
    """Yield the logged answers of /recommend, without their user rows."""
    from components.policy.rewards import READ
    from feature_repo.logs import object_store, request_log, shipped_log

    if place.environment.requests.url:
        with object_store.reached(place.environment.requests.url) as store:
            yield from (line for line in shipped_log.read(store, names=READ) if line["endpoint"] == "recommend")
        return
    for line in request_log.read(place.home / columns.REQUESTS_FOLDER):
        if line["endpoint"] == "recommend":
            yield {name: line.get(name) for name in READ}


def _events(place: Installation) -> Iterator[Mapping[str, Any]]:
    """Yield the events that users' clients sent, notes of what was folded left out."""
    from bentos.recommender.logs import json_lines
    from feature_repo.logs import object_store, shipped_log

    if place.environment.requests.url:
        with object_store.reached(place.environment.requests.url) as store:
            yield from shipped_log.read_events(store)
        return
    for path in json_lines.files(place.home / columns.EVENTS_FOLDER):
        yield from json_lines.read(path)
