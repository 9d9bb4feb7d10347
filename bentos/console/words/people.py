"""Words of the page `people`. Keys begin with `people.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
