"""The names of the spec's clock under which most modules import it; its home is `clock.py`."""

from feature_repo.clock import WEEKDAYS, Calendar, epoch

__all__ = ["WEEKDAYS", "Calendar", "epoch"]
