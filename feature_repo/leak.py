"""One leak: a cell that knew of its own future. Checks of several components return it, `doctor --leaks` prints it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["leak", "warning"]


@dataclass(frozen=True)
class Leak:
    """What a check found in one column of one table at one week; `row` is an example."""

    table: str
    column: str
    week: int | None  # None: it is about no one week
    row: str  # "user 3f2a91…" (a pseudonym), "item 17", or "" for the column as a whole
    how: str  # which check found it
    what: str  # what it saw
    cells: int = 1  # how many like it
    severity: Severity = "leak"

    def line(self) -> str:
        """Say it in one line.

        >>> Leak("user_profile", "value_total", 12, "user 3f2a", "permuted future", "9.5 is stored, 7 now").line()
        'user_profile.value_total, week 12, user 3f2a: permuted future: 9.5 is stored, 7 now'
        """
        place = [f"{self.table}.{self.column}", f"week {self.week}" if self.week is not None else "", self.row]
        more = f" (and {self.cells - 1} more)" if self.cells > 1 else ""
        return f"{', '.join(filter(None, place))}: {self.how}: {self.what}{more}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)
