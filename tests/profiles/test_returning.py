"""What the training set and the profiles say of people who never come back, or never did what is asked about."""

import pytest

from components.profiles.training.training_set import _require_returning
from feature_repo.errors import DataError


def test_nobody_who_comes_back_is_one_clear_line() -> None:
    with pytest.raises(DataError) as caught:
        _require_returning(0, 400, (3, 4, 10))
    assert str(caught.value) == (
        "data: none of 400 users came back in the weeks 3 to 10 after an earlier week, so there is no past to rank by; "
        "check that user_id names people and not sessions or orders, widen models.ranking.train_weeks, or bring more "
        "weeks"
    )
    _require_returning(1, 400, (3, 4, 10))
