"""Words of the page `drift`. Keys begin with `drift.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
