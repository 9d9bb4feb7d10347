"""The tools of `intentflow mcp`: each a function that a protocol's library reads name, words and arguments of.

Reads say what the verbs of the command line say, in their words, and change nothing. Writes go the way of the verbs
`items` and `rules`, into the document log, under the name of the assistant's key.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.assistants import people
from pipelines.assistants.rights import Rights
from pipelines.environment import Installation

Person = Annotated[str, Field(description="A pseudonym, as `people` lists them; raw ids are not taken")]
DRIFT = "drift"  # the verdict among the artifacts of a run
ChangeId = Annotated[str, Field(description="Any text of your own: a repeated call with it changes nothing twice")]

Rules = Annotated[Sequence[dict[str, Any]], Field(description="As PUT /rules takes them; docs/rules.md")]
Names = Annotated[Sequence[str], Field(description="Names of rules, as `rules` lists them")]


@dataclass(frozen=True)
class Tool:
    """A tool: what an assistant calls, and whether it changes anything."""

    call: Callable[..., str]
    writes: bool = False

    @property
    def name(self) -> str:
        """Return what it is called."""
        return self.call.__name__

    @property
    def about(self) -> str:
        """Return what an assistant reads of it."""
        return " ".join((self.call.__doc__ or "").split())


class Reads:
    """What an assistant may always ask; the spec and the environment are read anew at each call."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place

    def tools(self) -> tuple[Tool, ...]:
        """Return them all, in the order in which an assistant would use them."""
        asked = (self.status, self.plan, self.people, self.person, self.why, self.drift, self.experiments)
        return tuple(Tool(one) for one in (*asked, self.items, self.rules, self.preview_rules))

    def status(self) -> str:
        """Say where the recommender stands: what is applied, which version serves, its gates, what runs, and why."""
        from pipelines import status

        return status.text(status.status(self._place()))

    def plan(self) -> str:
        """Say what applying and running the spec would change, layer by layer; nothing is changed."""
        from pipelines import plan

        return plan.plan(self._place()).text()

    def people(self, most: Annotated[int, Field(ge=1, le=200)] = people.LISTED) -> str:
        """List whom the service recommended something to last, by pseudonym."""
        return people.listed_text(people.listed(self._place(), most))

    def person(self, person: Person) -> str:
        """Say what the service last said of a person: intents with their probabilities, items with their reasons."""
        return people.text(people.latest(self._place(), person))

    def why(self, request_id: Annotated[str, Field(description="Of an answer, as `person` gives it")]) -> str:
        """Say what an answer rests on: release, features, events, causes of intents, scores of items."""
        from pipelines.answers import explain

        return explain.text(explain.why(self._place(), request_id=request_id))

    def drift(self) -> str:
        """Say what the last look for drift found, and when; it looks for nothing anew."""
        return drift_text(self._place())

    def experiments(self) -> str:
        """Say how experiments stand: arms, users, differences with their intervals, verdicts; none is started."""
        from pipelines import experiments

        return experiments.text(experiments.act(self._place(), experiments.STATUS))

    def items(self) -> str:
        """List what was changed live of items: documents that differ from the release's, and the newest changes."""
        from pipelines import items

        return items.text(items.listed(self._place()))

    def rules(self) -> str:
        """List the rules of what lists hold: the spec's and those that were put live, and the newest changes."""
        from pipelines import rules

        return rules.text(rules.listed(self._place()))

    def preview_rules(
        self, rules: Rules = (), remove: Names = (), placement: Annotated[str, Field(description="'': every list")] = ""
    ) -> str:
        """Measure on the last run's test weeks what putting and removing rules would cost; nothing is written."""
        from bentos.endpoints.rules import RulesRequest
        from pipelines import rules as live

        ask = _request(RulesRequest, {"rules": list(rules), "remove": list(remove)})
        return live.text(live.previewed(self._place(), ask, placement=placement or None))


class Writes:
    """What an assistant may do whose key has the scope; each looks at the key again."""

    def __init__(self, place: Callable[[], Installation], rights: Rights) -> None:
        self._place, self._rights = place, rights

    def tools(self) -> tuple[Tool, ...]:
        """Return them all."""
        of_items = (self.put_items, self.withdraw_items, self.undo_items)
        return tuple(Tool(one, writes=True) for one in (*of_items, self.put_rules, self.remove_rules, self.undo_rules))

    def put_items(
        self,
        items: Annotated[list[dict[str, Any]], Field(description="As PUT /items takes them; docs/catalogue.md")],
        change_id: ChangeId = "",
    ) -> str:
        """Add or change items, all of them or none; every door shows it within 5 s."""
        return self._changed_items({"items": items}, change_id)

    def withdraw_items(self, item_ids: list[str], change_id: ChangeId = "") -> str:
        """Show items to nobody from now on; put them with available: true to bring them back."""
        return self._changed_items({"items": [{"item_id": one, "available": False} for one in item_ids]}, change_id)

    def undo_items(
        self, version: Annotated[int, Field(description="Of the change, as `items` lists it")], change_id: ChangeId = ""
    ) -> str:
        """Take a change of items back."""
        return self._changed_items({"undo": version}, change_id)

    def put_rules(self, rules: Rules, change_id: ChangeId = "") -> str:
        """Put or change rules of what lists hold, all of them or none; look at `preview_rules` first."""
        return self._changed_rules({"rules": list(rules)}, change_id)

    def remove_rules(self, names: Names, change_id: ChangeId = "") -> str:
        """Take rules away by name, also the spec's."""
        return self._changed_rules({"remove": list(names)}, change_id)

    def undo_rules(
        self, version: Annotated[int, Field(description="Of the change, as `rules` lists it")], change_id: ChangeId = ""
    ) -> str:
        """Take a change of rules back."""
        return self._changed_rules({"undo": version}, change_id)

    def _changed_items(self, asked: dict[str, Any], change_id: str) -> str:
        from bentos.endpoints.items import ItemsRequest
        from pipelines import items

        who = self._rights.require()
        ask = _request(ItemsRequest, asked, change_id)
        return items.text(items.changed(self._place(), ask, who=who))

    def _changed_rules(self, asked: dict[str, Any], change_id: str) -> str:
        from bentos.endpoints.rules import RulesRequest
        from pipelines import rules

        who = self._rights.require()
        ask = _request(RulesRequest, asked, change_id)
        return rules.text(rules.changed(self._place(), ask, who=who))


def _request(model: Any, asked: dict[str, Any], change_id: str = "") -> Any:
    """Read a change as the endpoint's own model; a mistake is the line that the endpoint would answer with."""
    from pydantic import ValidationError

    from bentos.http.problems import rejected

    try:
        return model.model_validate_json(json.dumps(asked | ({"change_id": change_id} if change_id else {})))
    except ValidationError as error:
        raise SpecError(str(rejected(error, model))) from None


def drift_text(place: Installation) -> str:
    """Return the newest verdict that a check or a run left, in words."""
    from monitoring.drift.column import Column

    found = newest_verdict(place)
    if found is None:
        raise SpecError(f"drift: nothing was compared yet in {place.home}; `intentflow monitor` or a run does")
    at, reason = found.get("at", "an unknown time"), found.get("reason") or "no reason given"
    lines = [f"{found['verdict']} as of {at}: {reason}"]
    if kind := found.get("class"):
        lines.append(f"Class      {kind}")
    lines += [f"  {Column(**found['columns'][name]).told(name)}" for name in found.get("drifted", ())]
    return "\n".join([*lines, *_alarms((found.get("signals") or {}).get("verdicts", ()))])


def _alarms(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each signal that moved."""
    return [
        f"  {one['signal']}: {one['value']:g}, usually {one['reference']:g}; {one['direction']} since "
        f"{one['since_starts']} ({one['reason']}{', ' + one['explained_by'] if one['explained_by'] else ''})"
        for one in verdicts
    ]


def newest_verdict(place: Installation) -> dict[str, Any] | None:
    """Read drift.json of the last check, or of the last run where that is newer or the only one."""
    from pipelines.runs import local

    last = local.last_run(place.home)
    folders = [place.home / "monitoring" / "verdict"]
    if last is not None and DRIFT in last.folders:
        folders.append(last.folders[DRIFT])
    found = [folder / "drift.json" for folder in folders if (folder / "drift.json").is_file()]
    if not found:
        return None
    document: dict[str, Any] = files.read_json(max(found, key=lambda file: file.stat().st_mtime))
    return document
