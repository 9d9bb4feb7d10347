"""Words of the page `home`. Keys begin with `home.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
