"""What the items of a period cost in the periods before it: the like of each price.

What is sold changes from day to day, and with it the mean price; what one thing costs hardly does. Prices beside those
of the same items tell of a unit, a currency or a rise long before quantiles of all prices do (a matched-model index).

Letters: N events of the period, B events before it.
"""

import numpy as np
import pandas as pd


def usual(now: pd.DataFrame, before: pd.DataFrame) -> np.ndarray:
    """Return for each event [N] the median price of its item before, float64; NaN where it had none.

    Both frames hold `item`, `value` and `quantity`. The median of some periods is not moved by one with a broken unit.

    >>> frame = lambda *prices: pd.DataFrame({"item": [0] * len(prices), "value": prices, "quantity": 1.0})
    >>> usual(frame(5.0), frame(2.0, 3.0, 300.0)).tolist()
    [3.0]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        price = before["value"].to_numpy() / before["quantity"].to_numpy()
    held = np.isfinite(price) & (price > 0)
    medians = pd.Series(price[held]).groupby(before["item"].to_numpy()[held]).median()
    return medians.reindex(now["item"].to_numpy()).to_numpy(dtype=np.float64)
