"""Words of the page `experiments`. Keys begin with `experiments.`."""

EN: dict[str, str] = {}

ZH: dict[str, str] = {}
