"""The pipelines' steps, one row each, and the words of the run form. Everything else is derived from here.

A row says which component a step runs, when it runs again, what its pod asks for and which slices of the spec it reads.
The graphs (train.py, retrain.py, batch.py) name steps and wire their artifacts; `plan`, the IR's settings and the
environment's `compute` slice follow. A new step is its function, its row, and one line of a graph. A person fills FORM;
the step `admit` checks it and makes SLICES of it, which the other steps read. No SDK is imported: components are named,
and imported where a pipeline is built.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from feature_repo.errors import SpecError, nearest

Rule = Literal[
    "pure",  # cached by its inputs
    "effects",  # runs every time, and again when a server was away for a moment
    "aside",  # runs every time and once: it only checks or tells
]

# The run form: parameters of the pipelines, in the order of their signatures; each has a default (parameters.py).
FORM = {
    "spec": "The recommender's spec, whole. The first step checks it as the command line does.",
    "mode": "Who promotes: auto, manual or dry_run. Goes before the spec's promotion.mode.",
    "which": "Version or alias of the release that scores: champion, challenger, 7.",
    "k": "Items for each user; 0 asks the release, which has the spec's serving.k.",
    "note": "Why this run; kept with what it promotes and on its last page.",
}
KINDS: dict[str, type] = {"spec": dict, "k": int}  # the others are text

# What the first step makes of the form: each step reads its own slices alone, so a change elsewhere runs it not again.
ADMIT, OUTCOME = "admit", "outcome"  # the first step of every pipeline, and the last
SLICES = {
    "name": "Name of the recommender; registered models begin with it.",
    "reading": "What of the spec's `data` slice reading the source needs, JSON.",
    "data": "The spec's `data` slice, JSON.",
    "source": "Digest of the source's state; another digest reads the source again.",
    "split": "The spec's `data.split`, JSON.",
    "profiles": "The spec's `profiles` slice, JSON.",
    "vocabulary": "What the vocabularies are fitted on: intents' levels, item thresholds; JSON.",
    "intents": "The spec's `intents`, JSON.",
    "intent_model": "The spec's `models.intent`, JSON.",
    "session": "Intents within a visit, how visits are cut and the model's settings, JSON; empty where there are none.",
    "forecast": "Intents of kind regression and multiclass, their heads' settings, JSON; empty where there are none.",
    "ranking": "The spec's `models.ranking`, JSON.",
    "ranking_rows": "Which weeks the ranker's rows come from, JSON.",
    "ranking_weeks": "Last training weeks that the ranker learns from.",
    "promotion": "The spec's `promotion`, JSON.",
    "mode": "auto promotes what passes, manual leaves that to a person, dry_run judges and changes nothing.",
    "refit": "Whether what passed its gates is trained once more, on all complete weeks, and that one serves.",
    "why": "Why a release is promoted, for the registry's record.",
    "serving": "What the release tells the services, JSON.",
    "monitoring": "The spec's `monitoring`, JSON.",
    "policy": "The spec's `policy`, JSON; empty where it has none.",
    "lineage": "Digests of spec, code, lock and feature services, JSON.",
    "which": "Version or alias of the release that scores.",
    "k": "Items for each user; 0 asks the release.",
    "data_code": "Digest of the code behind the data steps.",
    "profiles_code": "Digest of the code behind the profile steps.",
    "intent_code": "Digest of the code behind the intent steps.",
    "session_code": "Digest of the code behind the session step.",
    "forecast_code": "Digest of the code behind the forecasts' steps.",
    "ranking_code": "Digest of the code behind the ranking steps.",
    "registry_code": "Digest of the code that fetches a release.",
    "policy_code": "Digest of the code behind the policy's steps.",
}


@dataclass(frozen=True)
class Size:
    """What a step's pod requests. Memory is limited to the request; processor time to twice of it."""

    cpu: float  # cores
    memory: str  # Kubernetes quantity
    minutes: int = 60  # after which the pod is stopped
    gpu: int = 0

    @property
    def cpu_limit(self) -> float:
        """Return the most cores that the step gets."""
        return 2 * self.cpu


@dataclass(frozen=True)
class Step:
    """One step of the pipelines."""

    name: str  # as logs and `plan` have it
    component: str  # module:function, the kfp component
    rule: Rule
    size: Size  # by default; the environment's `compute` slice replaces it
    about: str
    reads: tuple[str, ...] = ()  # slices; argument=slice where the component calls it otherwise
    takes_gpu: bool = False
    planned: bool = True  # False: `plan` does not list it: it only speaks of the run, or nothing is known to need it
    only_with: str = ""  # slice without which the step hands on what it got: `plan` does not list it then

    @property
    def module(self) -> str:
        """Name the module of the component."""
        return self.component.partition(":")[0]

    @property
    def function(self) -> str:
        """Name the component's function; Kubeflow names the task after it."""
        return self.component.partition(":")[2]

    @property
    def arguments(self) -> dict[str, str]:
        """Return the slice behind each argument of the component.

        >>> Step("a", "m:a", "pure", Size(1, "1Gi"), "", ("source", "code=data_code")).arguments
        {'source': 'source', 'code': 'data_code'}
        """
        pairs = (entry.rpartition("=") for entry in self.reads)
        return {argument or name: name for argument, _, name in pairs}


# fmt: off
def _rows() -> Iterator[Step]:
    """Yield the rows. Memory: about twice the peak on the grocery data, which docs/pipelines.md lists."""
    yield Step(ADMIT, "pipelines.graphs.component:admit", "aside", Size(0.5, "1Gi", minutes=15),
               "Check the form, digest source and code, and give each step its slice", planned=False)

    part = "components.data.component"
    yield Step("ingest", f"{part}:ingest", "pure", Size(1, "2Gi"),
               "Read the source into canonical tables", ("data=reading", "source", "code=data_code"))
    yield Step("validate", f"{part}:validate", "pure", Size(1, "3Gi"),
               "Judge the tables by the contract", ("data", "code=data_code"))

    part = "components.profiles.component"
    yield Step("profiles", f"{part}:build_profiles", "pure", Size(2, "4Gi", minutes=120),
               "Compute feature tables, vocabularies and segments",
               ("profiles", "split", "vocabulary", "code=profiles_code"))
    yield Step("training_set", f"{part}:training_set", "pure", Size(1, "4Gi", minutes=120),
               "Retrieve point-in-time rows with labels", ("split", "ranking=ranking_rows", "code=profiles_code"))
    yield Step("twin_rows", f"{part}:twin_rows", "pure", Size(2, "4Gi", minutes=120),
               "Compute the test rows in the vocabulary of the champion's judged twin",
               ("split", "code=profiles_code"), planned=False)
    yield Step("materialise", f"{part}:materialise", "effects", Size(1, "2Gi", minutes=120),
               "Write the newest user rows into the online store", ("name",))
    yield Step("newest_rows", f"{part}:newest_rows", "pure", Size(2, "4Gi", minutes=120),
               "Compute every user's newest row in a release's vocabulary", ("split", "code=profiles_code"))

    part = "components.intent.component"
    yield Step("search_intent", "components.intent.search.component:search_intent", "pure",
               Size(2, "4Gi", minutes=1440), "Look for better settings of the intent model",
               ("name", "intents", "model=intent_model", "ranking_weeks", "mode", "code=intent_code"), takes_gpu=True)
    yield Step("train_intent", f"{part}:train_intent", "pure", Size(2, "4Gi", minutes=720),
               "Fit the intent model", ("intents", "model=intent_model", "ranking_weeks", "code=intent_code"),
               takes_gpu=True)
    yield Step("evaluate_intent", f"{part}:evaluate_intent", "pure", Size(1, "3Gi"),
               "Judge the intent model on the test weeks", ("intents", "code=intent_code"))
    yield Step("baseline_intent", f"{part}:baseline_intent", "pure", Size(1, "3Gi"),
               "Put a rate in the network's place where gates held it back",
               ("intents", "code=intent_code"), planned=False)
    yield Step("judge_twin_intent", f"{part}:judge_twin_intent", "pure", Size(2, "4Gi", minutes=720),
               "Judge the champion's intent model on the same test weeks", ("intents", "code=intent_code"),
               planned=False)
    yield Step("refit_intent", f"{part}:refit_intent", "pure", Size(2, "4Gi", minutes=720),
               "Fit the judged intent model on all ripe weeks",
               ("intents", "model=intent_model", "ranking_weeks", "refit", "code=intent_code"), takes_gpu=True,
               only_with="refit")
    yield Step("train_session", "components.intent.sessions.component:train_session", "pure",
               Size(2, "4Gi", minutes=240), "Fit the model of intents within a visit and judge it by position",
               ("rule=session", "code=session_code"))
    yield Step("refit_session", "components.intent.sessions.component:refit_session", "pure",
               Size(2, "4Gi", minutes=240), "Fit the judged session model on all ripe visits",
               ("rule=session", "refit", "code=session_code"), only_with="refit")
    yield Step("train_forecasts", "components.intent.forecasts.component:train_forecasts", "pure",
               Size(2, "4Gi", minutes=240), "Fit the heads of amounts and of what comes next, and judge them",
               ("rule=forecast", "code=forecast_code"))
    yield Step("refit_forecasts", "components.intent.forecasts.component:refit_forecasts", "pure",
               Size(2, "4Gi", minutes=240), "Fit the judged heads on all ripe weeks",
               ("rule=forecast", "refit", "code=forecast_code"), only_with="refit")
    yield Step("predict_intents", f"{part}:predict_intents", "pure", Size(2, "3Gi", minutes=240),
               "Predict the intents of all users", ("code=intent_code",))

    yield Step("item_vectors", "components.vectors.component:item_vectors", "pure", Size(2, "3Gi", minutes=240),
               "Encode the items' texts and images", ("ranking", "code=ranking_code"))

    part = "components.ranking.component"
    yield Step("train_ranking", f"{part}:train_ranking", "pure", Size(2, "6Gi", minutes=360),
               "Fit the ranker", ("ranking", "code=ranking_code"), takes_gpu=True)
    yield Step("evaluate_ranking", f"{part}:evaluate_ranking", "pure", Size(1, "3Gi"),
               "Judge the ranker on the test weeks", ("ranking", "code=ranking_code"))
    yield Step("baseline_ranking", f"{part}:baseline_ranking", "pure", Size(1, "3Gi"),
               "Put a baseline in the ranker's place where gates held it back",
               ("ranking", "code=ranking_code"), planned=False)
    yield Step("judge_twin_ranking", f"{part}:judge_twin_ranking", "pure", Size(2, "6Gi", minutes=360),
               "Judge the champion's ranker on the same test weeks", ("ranking", "code=ranking_code"), planned=False)
    yield Step("refit_ranking", f"{part}:refit_ranking", "pure", Size(2, "6Gi", minutes=360),
               "Fit the judged ranker on the newest ripe weeks", ("ranking", "refit", "code=ranking_code"),
               takes_gpu=True, only_with="refit")
    # The document log may have moved since an equal call: what it withdrew must be in no list.
    yield Step("recommend", f"{part}:recommend", "effects", Size(2, "3Gi", minutes=480),
               "Recommend items to all users", ("k", "code=ranking_code"))

    # The model is a server, which may be another one tomorrow under the same name.
    yield Step("judge_words", "components.content.component:judge_words", "effects", Size(0.5, "1Gi"),
               "Have the language model write a fixed set of texts, and judge them", ("serving",))

    part = "components.registry.component"
    yield Step("fetch_twin", f"{part}:fetch_twin", "effects", Size(0.5, "1Gi", minutes=30),  # an alias moves by itself
               "Fetch the release that the champion was judged as", ("name",), planned=False)
    yield Step("register", f"{part}:register", "effects", Size(1, "2Gi"),
               "Register the models and judge them by the gates", ("name", "lineage", "promotion", "serving", "mode"))
    yield Step("need_baseline", f"{part}:need_baseline", "effects", Size(0.5, "1Gi", minutes=15),
               "Tell whether a baseline may serve, and of which parts", ("name",), planned=False)
    yield Step("register_baseline", f"{part}:register_baseline", "effects", Size(1, "2Gi"),
               "Register the baselines as a release that may serve", ("name", "lineage", "serving", "why"),
               planned=False)
    yield Step("register_refit", f"{part}:register_refit", "effects", Size(1, "2Gi"),
               "Register what was refitted, with the verdict on its judged twin", ("name", "lineage", "serving"),
               only_with="refit")
    yield Step("promote", f"{part}:promote", "effects", Size(0.5, "1Gi", minutes=15),
               "Make a release the champion", ("name", "mode"))
    yield Step("champion", f"{part}:champion", "effects", Size(0.5, "1Gi", minutes=15),  # an alias moves by itself
               "Name the release that an alias means now", ("name", "which"))
    yield Step("fetch_release", f"{part}:fetch_release", "pure", Size(0.5, "1Gi", minutes=30),
               "Assemble a release's folder from the registry", ("name", "code=registry_code"))

    part = "components.policy.component"
    yield Step("policy_log", "pipelines.graphs.component:policy_log", "effects",  # the log grows by itself
               Size(1, "2Gi"), "Join what was explored with its rewards", ("policy", "data=reading"))
    yield Step("learn_policy", f"{part}:learn_policy", "pure", Size(2, "4Gi", minutes=240),
               "Learn a policy from the log and judge it on other users", ("policy", "mode", "code=policy_code"))
    yield Step("register_policy", "components.registry.component:register_policy", "effects", Size(0.5, "1Gi"),
               "Register a policy that passed with the models that serve", ("name",))

    part = "monitoring.component"
    yield Step("watch", f"{part}:watch", "effects", Size(1, "2Gi"),
               "Compare the test weeks with the training weeks", ("name", "monitoring", "mode"))
    yield Step("decide", f"{part}:decide", "pure", Size(0.25, "512Mi", minutes=15),
               "Tell whether a verdict asks for training")
    yield Step("decide_retraining", f"{part}:decide_retraining", "effects", Size(0.5, "1Gi", minutes=15),
               "Answer a reason: train, wait, hold or stop", ("name", "monitoring", "mode", "refit"), planned=False)
    yield Step("weigh", f"{part}:weigh", "effects", Size(0.5, "1Gi", minutes=15),
               "Tell whether a retrained candidate is better on the same rows", ("name", "monitoring", "mode"),
               planned=False)
    yield Step("promote_retrained", f"{part}:promote_retrained", "effects", Size(0.5, "1Gi", minutes=15),
               "Make a retrained release the champion and end the attempt", ("name", "monitoring", "mode"),
               planned=False)
    yield Step(OUTCOME, f"{part}:outcome", "aside", Size(0.5, "1Gi", minutes=15),
               "Say in sentences how the run ended, and tell of a failure", ("name",), planned=False)
# fmt: on


STEPS = {row.name: row for row in _rows()}
WITH_GPU = tuple(row.name for row in STEPS.values() if row.takes_gpu)


def step(name: str) -> Step:
    """Return a step's row."""
    if name not in STEPS:
        raise SpecError(f"pipelines/graphs: step '{name}' has no row in step_table.py{nearest(name, list(STEPS))}")
    return STEPS[name]


def step_of(task_name: str) -> str:
    """Return the step behind a task's name: Kubeflow writes names with hyphens, and numbers those that repeat.

    >>> step_of("train-intent"), step_of("watch-2"), step_of("build-profiles")
    ('train_intent', 'watch', 'profiles')
    """
    name = task_name.rstrip("0123456789").rstrip("-").replace("-", "_")
    return next((row.name for row in STEPS.values() if row.function == name), name)
