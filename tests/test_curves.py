"""The page of a training: each figure over epochs, drawn without a script or an address outside."""

import re

from components.curves import Chart, page

LOSS = Chart("Loss <of x>", lower_is_better=True, series={"train": [2.0, 1.0, 0.5], "check": [2.5, 1.5, 1.5]}, chosen=1)


def _drawn(text: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'<polyline class="s\d" points="([^"]*)"', text)
    return [[tuple(map(float, p.split(","))) for p in points.split()] for points in found]  # type: ignore[misc]


def test_series_share_a_scale_and_lower_values_are_drawn_lower() -> None:
    train, check, *_legend = _drawn(page("Training", [LOSS]))
    assert [x for x, _ in train] == [0.0, 150.0, 300.0]
    assert train[0][1] < train[1][1] < train[2][1]  # y grows downwards
    assert check[0][1] < train[0][1]
    assert check[1][1] == check[2][1]


def test_the_kept_epoch_is_marked_and_every_value_is_in_the_table() -> None:
    text = page("Training", [LOSS])
    assert "lower is better; epoch 2 of 3 was kept" in text
    assert '<line class="kept" x1="150.0"' in text
    assert '<tr class="chosen"><td>2</td><td>1</td><td>1.5</td></tr>' in text


def test_one_epoch_and_equal_values_are_a_level_line() -> None:
    (line, _legend) = _drawn(page("Training", [Chart("NDCG", lower_is_better=False, series={"check": [0.5]})]))
    assert line == [(0.0, 55.0), (300.0, 55.0)]


def test_the_page_is_whole_by_itself() -> None:
    text = page("Training of <b>", [LOSS])
    assert "Loss &lt;of x&gt;" in text
    assert "Training of &lt;b&gt;" in text
    assert not re.search(r"<script|https?://|url\(|@import|src=", text)
