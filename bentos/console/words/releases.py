"""Words of the page `releases`. Keys begin with `releases.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
