"""Causes of an intent: effects sum up, a planted cause is found, and one that is taken away is gone."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from components.intent import attribution, cause_picture, cause_words, causes
from components.intent.attribution import Cause, attribute
from components.intent.encode import FREQUENCY, Encoded, encode
from components.intent.examples import Examples, load
from components.intent.forest import Forest
from components.intent.model import Batch
from components.intent.networks import NETWORKS
from components.intent.numpy_net import NumpyNet, drawn
from components.intent.score import IntentScorer
from components.intent.train import train
from feature_repo.clock import Pace
from tests.intent.conftest import (
    CALENDAR,
    CATEGORIES,
    INTENTS,
    VISIT,
    WEEKS,
    checkerboard,
    context,
    known_row,
    user_rows,
    write_rows,
)
from tests.intent.test_numpy_net import SMALL, numpy_of, random_net

NAMES = ("events_7d", "tenure", "value_total", "days_idle")
EVERY = pytest.mark.parametrize("architecture", [name for name in NETWORKS if name != "text"])
BREAD, CHEESE = CATEGORIES.index("BREAD"), CATEGORIES.index("CHEESE")


def users(net: NumpyNet, *, seed: int = 1) -> tuple[Encoded, Encoded]:
    """Return a user and nobody, as training's rows were."""
    every = drawn(net.shape, net.weights)
    return every.take(np.array([1 + seed])), every.take(np.array([0]))


def planted(**weights: Any) -> NumpyNet:
    """Return a network all of whose weights are zero but those given: by tensor, places and value."""
    made = numpy_of(random_net(SMALL))
    zero = {name: np.zeros_like(values) for name, values in made.weights.items()}
    zero |= {f"{of}_scale": np.ones_like(made.weights[f"{of}_scale"]) for of in ("frequency", "profile")}
    for name, (place, value) in weights.items():
        zero[name.replace("__", ".")][place] = value
    return NumpyNet.of(made.shape, zero)


def effects(found: attribution.Attribution) -> dict[tuple[str, str], float]:
    return {(cause.kind, cause.name): cause.effect for cause in found.causes}


@EVERY
@pytest.mark.parametrize("components", [None, 3])
def test_the_effects_sum_up_to_the_difference_of_the_log_odds(architecture: str, components: int | None) -> None:
    net = numpy_of(random_net(replace(SMALL, architecture=architecture, components=components)))
    for seed in range(2):
        user, nobody = users(net, seed=seed)
        for target in (0, 6):
            found = attribute(net, user, nobody, target, names=NAMES)
            said, least = (net.logits(one)[0, target] for one in (user, nobody))
            assert found.said - found.nobody == pytest.approx(float(said - least), abs=1e-4)
            assert abs(found.unexplained) <= 1e-3
            assert abs(found.said - found.nobody) > 0.01
            assert [abs(c.effect) for c in found.causes] == sorted((abs(c.effect) for c in found.causes), reverse=True)


@EVERY
def test_each_event_is_a_cause_by_what_its_absence_takes(architecture: str) -> None:
    sizes = {"events": 6, "kinds": 2, "bands": 3, "event_numbers": 7}
    net = numpy_of(random_net(replace(SMALL, architecture=architecture, **sizes)))
    user, nobody = users(net, seed=12)
    there = np.flatnonzero(user.event_codes[0, :, 0])
    assert 1 < len(there) < sizes["events"]
    found = attribute(net, user, nobody, 2, names=NAMES)
    assert found.method == "occlusion"
    told = {int(name): effect for (kind, name), effect in effects(found).items() if kind == "event"}
    assert set(told) <= {sizes["events"] - int(place) for place in there}
    place = int(there[-2])  # the last but one, by hand: those before it move up
    bare = {name: user.arrays()[name].copy() for name in ("event_codes", "event_numbers")}
    for values in bare.values():
        values[0] = np.concatenate([np.zeros_like(values[0, :1]), np.delete(values[0], place, axis=0)])
    without = float(net.logits(replace(user, **bare))[0, 2])
    assert told[sizes["events"] - place] == pytest.approx(found.said - without, abs=1e-4)
    assert abs(told[sizes["events"] - place]) > 1e-3


@EVERY
def test_the_parts_of_a_logit_are_the_networks_own(architecture: str) -> None:
    net = numpy_of(random_net(replace(SMALL, architecture=architecture)))
    asked = drawn(net.shape, net.weights)
    user, rates = net._user(asked), asked.frequency[:, :, 0]
    for target in range(SMALL.targets):
        own = net.logit_of(target, asked.frequency[:, target], asked.sequence[:, :, target], user)
        whole = own + net.from_rates(target, rates).sum(axis=1)
        np.testing.assert_allclose(whole, net.logits(asked)[:, target], atol=2e-5)


def test_a_step_that_causes_an_intent_is_found_and_gone_where_it_did_not_happen() -> None:
    last = len(FREQUENCY) + SMALL.weeks - 1
    net = planted(own_out=((2, last), 1.5))
    user, nobody = users(net)
    for happened, want in ((1, {("step", "1"): 1.5}), (0, {})):
        sequence = user.sequence.copy()
        sequence[0, -1, 2] = happened
        found = attribute(net, replace(user, sequence=sequence), nobody, 2, names=NAMES)
        assert effects(found) == pytest.approx(want, abs=1e-5)
    assert effects(attribute(net, user, nobody, 3, names=NAMES)) == {}  # of another intent it says nothing


def test_a_number_of_the_profile_that_causes_an_intent_is_found_and_gone_without_it() -> None:
    net = planted(user__weight=((0, 1), 1.0), user_out=((4, 0), -2.0))
    user, nobody = users(net)
    for tenure, want in ((0.75, {("profile", "tenure"): -1.5}), (0.0, {})):
        profile = user.profile.copy()
        profile[0, 1] = tenure
        found = attribute(net, replace(user, profile=profile), nobody, 4, names=NAMES)
        assert effects(found) == pytest.approx(want, abs=1e-4)


def test_the_rate_of_another_target_and_the_own_one_are_told_apart() -> None:
    net = planted(across=((5, 2), 3.0), skip=(2, 1.0))
    user, nobody = users(net)
    root = np.sqrt(1 / (1 + np.exp(-np.array([user.frequency[0, 5, 0], nobody.frequency[0, 5, 0]]))))
    found = effects(attribute(net, user, nobody, 2, names=NAMES))
    assert found == pytest.approx(
        {("rate", "5"): 3.0 * (root[0] - root[1]), ("number", "slow_logit"): float(user.frequency[0, 2, 0])}, abs=1e-4
    )


def test_a_segment_is_a_cause_of_its_own() -> None:
    net = planted(segment__weight=((2, 0), 1.0), user__weight=((0, len(NAMES)), 1.0), user_out=((0, 0), 0.5))
    user, nobody = users(net)
    found = attribute(net, replace(user, segment=np.array([2])), nobody, 0, names=NAMES)
    assert effects(found) == pytest.approx({("segment", "segment"): 0.5}, abs=1e-5)


def test_of_nobody_there_is_nothing_to_say() -> None:
    net = numpy_of(random_net(SMALL))
    _, nobody = users(net)
    found = attribute(net, nobody, nobody, 1, names=NAMES)
    assert (found.causes, found.unexplained) == ((), 0.0)


@EVERY
def test_the_pieces_of_a_door_are_fine_enough(architecture: str) -> None:
    net = numpy_of(random_net(replace(SMALL, architecture=architecture)))
    user, nobody = users(net)
    quick = effects(attribute(net, user, nobody, 0, names=NAMES, most=causes.QUICK))
    fine = attribute(net, user, nobody, 0, names=NAMES, close=0.0, most=512)
    assert quick == pytest.approx(effects(fine), abs=0.02 * sum(abs(cause.effect) for cause in fine.causes))


def mornings(seed: int = 0) -> dict[str, dict[int, list[int]]]:
    """Let cheese this week cause bread in the next, and nothing else; all else is a coin's throw."""
    rng = np.random.default_rng(seed)
    world: dict[str, dict[int, list[int]]] = {}
    for user in range(40):
        weeks: dict[int, list[int]] = {}
        for week in range(1, WEEKS + 1):
            bread = [BREAD] if CHEESE in weeks.get(week - 1, []) else []
            weeks[week] = [*bread, *([CHEESE] if rng.random() < 0.5 else []), 0, VISIT]
        world[f"u{user:02}"] = weeks
    return world


@pytest.mark.world
def test_a_trained_network_tells_the_planted_cause_and_not_where_it_was_taken_away(tmp_path: Any, small: Any) -> None:
    world = mornings()
    examples: Examples = load(write_rows(tmp_path / "rows", world), INTENTS)
    trained = train(examples, small("cnn").model_copy(update={"epochs": 10}), ranking_weeks=4, device="cpu")
    trained.scorer.save(tmp_path / "intent")
    scorer = IntentScorer.served(tmp_path / "intent")
    user = next(name for name, weeks in world.items() if CHEESE in weeks[WEEKS - 1])
    without = {week: [t for t in targets if (week, t) != (WEEKS - 1, CHEESE)] for week, targets in world[user].items()}
    told = []
    for weeks in (world[user], without):
        rows = user_rows([known_row(user, weeks, WEEKS)])
        (found,) = causes.explain(scorer, rows, [BREAD], most=50)
        assert abs(found.unexplained) < 2e-3
        told.append({cause.words: cause.effect for cause in found.causes})
    there, gone = told
    strongest = max(there, key=lambda words: there[words])
    assert "CHEESE" in strongest, there
    step = next(words for words in there if words.startswith("1 week ago: "))
    assert "buy:CHEESE" in step
    assert there[step] > 0.5
    assert (
        max((effect for words, effect in gone.items() if words.startswith("1 week ago")), default=0.0) < there[step] / 3
    )


@pytest.mark.world
def test_of_trees_a_cause_is_what_its_absence_takes(training: Any) -> None:
    scorer = training("gbdt").scorer
    world = checkerboard()
    rows = user_rows([known_row("u02", world["u02"], WEEKS)])
    (found,) = causes.explain(scorer, rows, [0])
    assert isinstance(scorer.served_form, Forest)
    assert found.method == "occlusion"
    assert found.causes
    assert found.said > found.nobody  # even users buy apples
    assert sum(c.effect for c in found.causes) + found.others + found.unexplained == pytest.approx(
        found.said - found.nobody, abs=1e-4
    )


@pytest.mark.world
def test_a_network_that_torch_serves_is_not_asked(training: Any) -> None:
    rows = user_rows([known_row("u02", checkerboard()["u02"], WEEKS)])
    assert causes.explain(training("cnn").scorer, rows, [0]) == []


def test_every_number_of_a_target_has_words() -> None:
    assert set(cause_words.NUMBERS) == set(FREQUENCY)
    for name in FREQUENCY:
        assert "{" not in cause_words.words(Cause("number", name, 1.0), [], pace=Pace("day"), step="day")


def test_a_step_says_what_it_held_in_steps_of_the_clock() -> None:
    assert cause_words.words(Cause("step", "2", 1.0), [], pace=Pace("hour"), step="hour", happened=["visit"]) == (
        "2 hours ago: visit"
    )
    assert cause_words.words(Cause("step", "1", 1.0), [], pace=Pace()) == "1 week ago: nothing that is predicted"


def test_the_picture_is_one_file_with_a_bar_a_cause_and_hostile_names_as_text() -> None:
    told = (
        causes.Told("rate", "x", "how often <script>alert(1)</script>", 1.0),
        causes.Told("step", "1", "late", -0.5),
    )
    one = causes.Explained("buy:A & B", 0.2, -1.0, "integrated gradients", told, 0.25, 0.0)
    nobody = causes.Explained("visit", -1.0, -1.0, "integrated gradients", (), 0.0, 0.0)
    text = cause_picture.svg("why", [one, nobody])
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    bars = [r for r in root.iter(f"{space}rect") if r.get("class") in ("for", "against")]
    assert [(bar.get("class"), bar.get("width")) for bar in bars] == [
        ("for", "170.0"), ("against", "85.0"), ("for", "42.5")
    ]  # fmt: skip
    said = [t.text or "" for t in root.iter(f"{space}text")]
    assert "how often <script>alert(1)</script>" in said
    assert "<script" not in text
    assert any("nothing is known of the user" in words for words in said)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.world
def test_a_served_model_is_asked_about_its_own_numbers(training: Any, tmp_path: Any) -> None:
    """Nobody is encoded as the user is: the same week, the same popularity."""
    training("lstm").scorer.save(tmp_path / "intent")
    scorer = IntentScorer.served(tmp_path / "intent")
    world = checkerboard()
    rows = user_rows([known_row("u02", world["u02"], 15)])
    found = causes.explain(scorer, rows, [0, VISIT])
    assert [one.intent for one in found] == ["buy:APPLES", "visit"]
    encoded = encode(rows, context(world), calendar=CALENDAR, n_targets=VISIT + 1)
    said = scorer.said_of(encoded)[0]  # type: ignore[misc]
    for one, p in zip(found, said[[0, VISIT]], strict=True):
        assert one.said == pytest.approx(float(np.log(p / (1 - p))), abs=1e-3)
        assert not any("popular" in cause.words and "active" not in cause.words for cause in one.causes)


@pytest.mark.process
def test_torch_is_not_needed() -> None:
    modules = "components.intent.causes, components.intent.cause_picture"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_gradient_of_torch_agrees_on_a_smooth_network() -> None:
    """Integrated gradients by autograd, the textbook way, on an LSTM whose ReLUs stay open."""
    net = random_net(replace(SMALL, architecture="lstm"))
    with torch.no_grad():
        for bias in (net.user.bias, net.pair_of_target.bias, net.mix.bias):
            bias.fill_(50.0)
        for weights in (net.shared_out, net.target_out, net.user_out):
            weights.mul_(0.05)
    form = numpy_of(net)
    user, nobody = users(form)
    found = effects(attribute(form, user, nobody, 2, names=NAMES))
    ends = {name: [torch.from_numpy(np.asarray(getattr(one, name), np.float32)) for one in (nobody, user)]
            for name in ("frequency", "sequence", "active", "profile")}  # fmt: skip
    vectors = [torch.from_numpy(form.group(one.segment)) for one in (nobody, user)]
    total = {name: torch.zeros_like(first) for name, (first, _) in ends.items()}
    steps = 64
    for n in range(steps):
        share = (n + 0.5) / steps
        at = {name: (first + share * (last - first)).requires_grad_() for name, (first, last) in ends.items()}
        group = vectors[0] + share * (vectors[1] - vectors[0])
        _logit(net, at, group)[0, 2].backward()  # type: ignore[no-untyped-call]
        for name, values in at.items():
            total[name] += values.grad / steps  # type: ignore[operator]
    by = {name: (total[name] * (last - first))[0].numpy() for name, (first, last) in ends.items()}
    for p, name in enumerate(NAMES):
        assert found.get(("profile", name), 0.0) == pytest.approx(float(by["profile"][p]), abs=2e-3)
    for t in range(SMALL.weeks):
        want = float(by["sequence"][t].sum() + by["active"][t].sum())
        assert found.get(("step", str(SMALL.weeks - t)), 0.0) == pytest.approx(want, abs=2e-3)


def _logit(net: Any, at: dict[str, torch.Tensor], group: torch.Tensor) -> torch.Tensor:
    """Compute the network's logits with a segment's vector in place of its number."""
    segment = torch.zeros(1, dtype=torch.int64)
    hook = net.segment.register_forward_hook(lambda module, inputs, out: group)
    try:
        logits: torch.Tensor = net(Batch(at["frequency"], at["sequence"], at["active"], at["profile"], segment))
    finally:
        hook.remove()
    return logits
