"""The baselines say what can be reckoned by hand."""

import numpy as np

from components.intent.sessions import baselines, visits
from tests.session_worlds import BUY, LEAVE, table

MANY = 4000  # visits of each kind, so that what the chains assume beforehand hardly counts


def asked():
    """Half of the visits view and buy, a quarter view and leave, a quarter view twice and leave."""
    rows = []
    for n in range(MANY):
        kinds = [["view", "purchase"], ["view"], ["view", "purchase"], ["view", "view"]][n % 4]
        rows += [(f"u{n}", 10 * at, f"s{n}", "i1", kind) for at, kind in enumerate(kinds)]
    found, _ = visits.cut(visits.history(table(rows), timezone="UTC"), gap_s=None)
    every = visits.rows(found, (BUY, LEAVE))
    return found, every, baselines.predictions(found, every, every, (BUY, LEAVE))


def test_the_last_event_gives_the_rate_at_its_place_in_the_visit():
    _, rows, said = asked()
    assert np.allclose(said["last_event"][rows.position == 1, 0], 0.5, atol=0.01)
    first = rows.position == 1
    assert np.allclose(said["last_event"][first, 1], 0.25, atol=0.01)


def test_a_chain_of_one_follows_views_to_a_purchase_or_the_end():
    found, rows, said = asked()
    # After a view: of 5 views 2 are followed by a purchase, 1 by a view, 2 by the end. h = 2/5 + h/5.
    views = np.asarray(found.kinds)[found.kind[rows.event]] == "view"
    assert np.allclose(said["markov_1"][views, 0], 0.5, atol=0.01)
    assert np.allclose(said["markov_1"][views, 1], 0.4, atol=0.01)
    assert np.allclose(said["markov_1"][~views, 0], 0.0, atol=0.02)


def test_a_chain_of_two_tells_a_first_view_from_a_second():
    found, rows, said = asked()
    views = np.asarray(found.kinds)[found.kind[rows.event]] == "view"
    assert np.allclose(said["markov_2"][views & (rows.position == 2), 0], 0.0, atol=0.02)
    assert np.allclose(said["markov_2"][rows.position == 1, 0], 0.5, atol=0.01)
    assert np.allclose(said["markov_2"][rows.position == 1, 1], 0.25, atol=0.01)
