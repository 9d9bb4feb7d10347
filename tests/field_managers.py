"""Who owns which field of an object, as the API server keeps it: managedFields, conflicts of server-side apply. Pure.

Lists are owned whole: a real server owns the elements of some lists one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Path = tuple[str, ...]
NOT_OWNED = ("name", "namespace", "uid", "generation", "resourceVersion", "managedFields", "creationTimestamp")


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every field that holds no fields itself, with its value."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif path:
        yield path, value


def owned(body: Object) -> dict[Path, Any]:
    """Return the fields of a body that somebody may own."""
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in NOT_OWNED}
    rest = {key: value for key, value in body.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return dict(leaves(rest | ({"metadata": metadata} if metadata else {})))


@dataclass
class Owners:
    """The field managers of one object."""

    fields: dict[tuple[str, str], set[Path]] = field(default_factory=dict)  # by manager and operation
    at: dict[tuple[str, str], int] = field(default_factory=dict)

    def updated(self, manager: str, before: Object, after: Object, *, now: int) -> None:
        """Give what an update changed to its manager, and take it from the others."""
        old, new = owned(before), owned(after)
        changed = {path for path, value in new.items() if path not in old or old[path] != value}
        for fields in self.fields.values():
            fields -= changed | (set(old) - set(new))
        if changed:
            self.fields.setdefault((manager, "Update"), set()).update(changed)
            self.at[manager, "Update"] = now

    def conflicts(self, manager: str, wanted: Object, there: Object) -> list[tuple[str, Path]]:
        """Return the fields that an apply would change and that others own."""
        live = owned(there)
        return [
            (other, path)
            for path, value in owned(wanted).items()
            for (other, operation), fields in self.fields.items()
            if (other, operation) != (manager, "Apply") and path in fields and live.get(path) != value
        ]

    def applied(self, manager: str, wanted: Object, *, now: int) -> set[Path]:
        """Give an apply's fields to its manager; return those that it gave up and nobody else owns."""
        key = (manager, "Apply")
        fields = set(owned(wanted))
        given_up = self.fields.get(key, set()) - fields
        self.fields[key], self.at[key] = fields, now
        return {path for path in given_up if not any(path in others for others in self.fields.values())}

    def taken(self, conflicts: list[tuple[str, Path]]) -> None:
        """Take fields from others, by force."""
        for other, path in conflicts:
            for (manager, _), fields in self.fields.items():
                if manager == other:
                    fields.discard(path)

    def managed(self) -> list[Object]:
        """Return metadata.managedFields."""
        return [
            {
                **{"manager": manager, "operation": operation, "fieldsType": "FieldsV1"},
                "time": f"2026-11-01T{self.at[manager, operation] // 3600 % 24:02d}:"
                f"{self.at[manager, operation] // 60 % 60:02d}:{self.at[manager, operation] % 60:02d}Z",
                "fieldsV1": _nested(fields),
            }
            for (manager, operation), fields in self.fields.items()
            if fields
        ]


def _nested(fields: set[Path]) -> Object:
    found: Object = {}
    for path in sorted(fields):
        at = found
        for key in path:
            at = at.setdefault(f"f:{key}", {})
    return found
