"""Words of the page `changes`. Keys begin with `changes.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
