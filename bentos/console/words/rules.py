"""Words of the page `rules`. Keys begin with `rules.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
