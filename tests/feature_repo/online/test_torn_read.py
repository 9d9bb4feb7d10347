"""A row that is written while it is read is read again, until its views are of one time, and at most four times."""

import datetime as dt
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from feature_repo.online.profiles import READ_VIEWS, READS, OnlineProfiles

OLD, NEW = (dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2))


@dataclass
class Written:
    """A store whose rows a batch writes, view by view, while somebody reads: `torn` reads meet the middle of it."""

    torn: int
    reads: list[str] = field(default_factory=list)

    def read_timed(self, view, users):
        looks = self.reads.count(READ_VIEWS[0])
        self.reads.append(view)
        turn = looks - (view != READ_VIEWS[0])
        late = view in READ_VIEWS[1:] if turn < self.torn else True
        at = NEW + dt.timedelta(seconds=0 if turn >= self.torn else turn) if late else OLD
        return [(at, SimpleNamespace(view=view, at=at)) for _ in users]


def whole(store):
    plain = SimpleNamespace(vocabulary=SimpleNamespace(people=False))  # reading needs no more of the folding
    profiles = OnlineProfiles(store, folding=plain)
    rows = profiles._whole(["ann"])
    return {view: row[0].at for view, row in rows.items()}


@pytest.mark.parametrize("torn", [0, 1, 2, 3])
def test_a_torn_row_is_read_again_until_its_views_are_of_one_time(torn):
    store = Written(torn)
    assert whole(store) == dict.fromkeys(READ_VIEWS, NEW)
    assert len(store.reads) == (torn + 1) * len(READ_VIEWS)


def test_a_writer_that_never_rests_does_not_hold_a_reader_for_ever():
    store = Written(torn=99)
    assert len(set(whole(store).values())) == 2
    assert len(store.reads) == READS * len(READ_VIEWS)


def test_a_row_whose_views_differ_for_good_is_read_twice():
    @dataclass
    class Apart:
        reads: int = 0

        def read_timed(self, view, users):
            self.reads += 1
            at = OLD if view == READ_VIEWS[0] else NEW
            return [(at, SimpleNamespace(at=at)) for _ in users]

    store = Apart()
    assert set(whole(store).values()) == {OLD, NEW}
    assert store.reads == 2 * len(READ_VIEWS)
