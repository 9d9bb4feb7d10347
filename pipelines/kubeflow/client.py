"""The connection to Kubeflow's pipelines API: credentials, timeouts, and one line where it does not answer.

All calls go through kfp's own `Client` and the generated API inside it, from `connected()`. Two habits of kfp are
changed: it writes its namespace to the user's home, and it asks for health five times, five seconds apart. The token
is read by reference and appears in no message.
"""

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from feature_repo.errors import ServerError, SpecError, shortened
from pipelines.environment import Installation
from pipelines.environment_spec import Kubeflow

PATIENCE_S = 30.0  # for a server that is away
ANSWER_S = (5, 60)  # to connect, and for an answer
PAGE = 100
PASSING = (408, 425, 429, 502, 503, 504)  # answers of a server, or of a door before it, that may mend themselves
LINE = 300  # characters of the server's words that are shown
IN_CLUSTER = "/var/run/secrets/kubeflow/pipelines/token"  # where a pod gets a token made for the API
IN_CLUSTER_ENV = "KF_PIPELINES_SA_TOKEN_PATH"
T = TypeVar("T")


class Absent(ServerError):
    """The server has no such thing."""


@dataclass(frozen=True)
class Api:
    """The API, and how it is asked."""

    kfp: Any  # kfp.Client
    at: Kubeflow
    namespace: str  # '' in a single-user installation
    bearer: "Bearer"
    patience_s: float = PATIENCE_S

    def ask(self, what: str, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a function of kfp's client, again while the server is away; what it prints goes nowhere."""
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            for attempt in retrying(self.patience_s):
                with attempt, contextlib.redirect_stdout(io.StringIO()):
                    return function(*arguments, **named)
        except ApiException as error:
            raise self._refused(what, error) from None
        except HTTPError as error:
            raise ServerError(f"{what}: {self.at.host} does not answer ({_cause(error)}); {_MEND}") from None
        raise AssertionError("an attempt returns or raises")

    def pages(self, what: str, function: Callable[..., Any], field: str, **named: Any) -> Iterator[Any]:
        """Yield what a list call returns, page after page."""
        token = ""
        while True:
            found = self.ask(what, function, page_size=PAGE, page_token=token, **named)
            yield from getattr(found, field) or []
            token = found.next_page_token or ""
            if not token:
                return

    def page_of(self, run_id: str) -> str:
        """Return the address at which people see a run."""
        return f"{(self.at.ui or self.at.host).rstrip('/')}/#/runs/details/{run_id}"

    def _refused(self, what: str, error: Any) -> Exception:
        """Say in one line why the API refused."""
        words = self.bearer.hidden(_words(error))
        if error.status == 401:
            return SpecError(f"kubeflow: {self.at.host} does not know who asks (401); {self.bearer.advice()}")
        if error.status == 403:
            inside = f" in namespace '{self.namespace}'" if self.namespace else ""
            return SpecError(f"{what}: {self.at.host} does not allow it{inside} (403: {words}); ask for the right to")
        if error.status == 404 and "namespace" in words.lower():
            return SpecError(f"kubeflow.namespace: '{self.namespace}' is not known to {self.at.host} (404: {words})")
        kind = Absent if error.status == 404 else ServerError
        return kind(f"{what}: {self.at.host} refused ({error.status}: {words})")


_MEND = "correct kubeflow.host or wait for the server, then run again"


@dataclass(frozen=True)
class Bearer:
    """Where the bearer token comes from; the token itself is read when it is needed."""

    origin: str  # of the environment file: token_env, token_file, or '' for none
    name: str = ""
    value: str = ""  # of a variable; a file's is read on every request

    @classmethod
    def of(cls, at: Kubeflow, variables: Any) -> "Bearer":
        """Find it; what is named and absent is a mistake."""
        if at.token_env:
            if not (value := variables.get(at.token_env, "").strip()):
                raise SpecError(f"kubeflow.token_env: {at.token_env} is not set; export a bearer token under that name")
            return cls("kubeflow.token_env", at.token_env, value)
        inside = os.environ.get(IN_CLUSTER_ENV, IN_CLUSTER)
        path = at.token_file or (inside if Path(inside).is_file() else "")
        if not path:
            return cls("")
        found = cls("kubeflow.token_file", path)
        found.now()
        return found

    def now(self) -> str:
        """Return the token as it is now, '' for none."""
        if self.value or not self.origin:
            return self.value
        try:
            return Path(self.name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SpecError(f"{self.origin}: {self.name} cannot be read ({error.strerror})") from None

    def arguments(self) -> dict[str, Any]:
        """Return it as kfp's client takes it: a file is read again before every request, since it is renewed."""
        if not self.origin:
            return {}
        if self.value:
            return {"existing_token": self.value}
        from kfp.client import ServiceAccountTokenVolumeCredentials

        return {"credentials": ServiceAccountTokenVolumeCredentials(path=self.name)}

    def hidden(self, text: str) -> str:
        """Return a text without the token."""
        token = self.now()
        return text.replace(token, "***") if token else text

    def advice(self) -> str:
        """Say what to do about a token that is not taken."""
        if not self.origin:
            return "name a bearer token with kubeflow.token_env or kubeflow.token_file"
        if ended := _expired(self.now()):
            return f"the token of {self.origin} ({self.name}) expired at {ended}: get a new one"
        return f"the token of {self.origin} ({self.name}) is not one of its own: get a new one"


@contextlib.contextmanager
def connected(place: Installation, *, patience_s: float = PATIENCE_S) -> Iterator[Api]:
    """Yield the API of a place that names one, after a first answer of it."""
    at = settings(place)
    bearer = Bearer.of(at, place.outside)
    with _quiet():
        kfp = _client(at, bearer)
        first = Api(kfp, at, at.namespace, bearer, patience_s)
        health = first.ask("health", kfp.get_kfp_healthz)
        _require_api(at, kfp, bearer)
        kfp.set_user_namespace(_namespace(at, many_users=bool(health.multi_user)))
        yield Api(kfp, at, kfp.get_user_namespace(), bearer, patience_s)


def settings(place: Installation) -> Kubeflow:
    """Return the place's Kubeflow; a place without one runs here."""
    if (found := place.environment.kubeflow) is None:
        raise SpecError(f"--env: '{place.environment.name}' names no kubeflow.host; its pipelines run on this machine")
    if not found.host:
        raise SpecError(
            f"kubeflow.host: empty in environment '{place.environment.name}', or its variable is not set; export "
            "KF_PIPELINES_ENDPOINT, or leave `kubeflow` out: pipelines then run on this machine"
        )
    return found


def retrying(patience_s: float) -> Any:
    """Return attempts at something that a server may be away for."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

    return Retrying(
        retry=retry_if_exception(passing),
        stop=stop_after_delay(patience_s),
        wait=wait_exponential_jitter(initial=0.2, max=5.0, jitter=0.2),
        reraise=True,
    )


def passing(error: BaseException) -> bool:
    """Tell whether an error may be gone a moment later."""
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, SSLError

    if isinstance(error, MaxRetryError) and isinstance(error.reason, SSLError):
        return False
    if isinstance(error, ApiException):
        return error.status in PASSING
    return isinstance(error, HTTPError) and not isinstance(error, LocationValueError)


def named(name: str, *, key: str = "display_name") -> str:
    """Return the filter that finds things of one name."""
    return json.dumps({"predicates": [{"operation": 1, "key": key, "stringValue": name}]})


def _client(at: Kubeflow, bearer: Bearer) -> Any:
    import kfp

    class Client(kfp.Client):  # type: ignore[misc]
        """kfp's client with limits of time, that asks for health once and leaves the user's home alone."""

        _LOCAL_KFP_CONTEXT = os.path.join(os.devnull, "none")

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            return self._healthz_api.healthz_service_get_healthz(_request_timeout=ANSWER_S)

        def set_user_namespace(self, namespace: str) -> None:
            self._context_setting["namespace"] = namespace.strip()

    ca = {"ssl_ca_cert": at.ca_file} if at.ca_file else {}
    # A namespace that is said keeps the constructor from asking for health, which has no one to try again.
    client = Client(host=at.host, namespace=at.namespace or "unsaid", **bearer.arguments(), **ca)
    client.set_user_namespace(at.namespace)
    api = client._run_api.api_client
    request = api.request

    def limited(*arguments: Any, **keywords: Any) -> Any:
        return request(*arguments, **keywords | {"_request_timeout": keywords.get("_request_timeout") or ANSWER_S})

    api.request = limited  # kfp's client hands no limit on, and has none of its own
    return client


def _namespace(at: Kubeflow, *, many_users: bool) -> str:
    """Return the namespace that runs belong to: none in a single-user installation; a pod knows its own."""
    if not many_users:
        if at.namespace:
            raise SpecError(f"kubeflow.namespace: {at.host} is a single-user installation; leave the field out")
        return ""
    own = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    found = at.namespace or (own.read_text(encoding="utf-8").strip() if own.is_file() else "")
    if not found:
        raise SpecError(f"kubeflow.namespace: {at.host} has many users; name the namespace that runs belong to")
    return found


def _require_api(at: Kubeflow, kfp: Any, bearer: Bearer) -> None:
    """Refuse an address that answers with a page, as a door with a log-in form does."""
    kind = kfp._run_api.api_client.last_response.getheader("content-type") or ""
    if "html" in kind:
        raise SpecError(f"kubeflow.host: {at.host} answers with a page, not with the API: a log-in? {bearer.advice()}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what kfp and urllib3 warn of from the terminal; failures are said in one line."""
    log = logging.getLogger("urllib3.connectionpool")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _words(error: Any) -> str:
    """Return what the server said, in one line."""
    body = error.body if isinstance(error.body, str) else ""
    try:
        found = json.loads(body)
        text = str(found.get("message") or found.get("error") or body) if isinstance(found, dict) else body
    except ValueError:
        text = body
    return line(text or str(error.reason))


def line(text: str) -> str:
    """Return the server's words in one line."""
    return shortened(" ".join(text.split()), LINE)


def _cause(error: BaseException) -> str:
    """Name what went wrong on the way, without addresses of objects."""
    reason = getattr(error, "reason", None) or error
    text = str(reason).rpartition(": ")[2] or str(reason)
    return " ".join(text.split())[:LINE]


def _expired(token: str) -> str:
    """Return when a token that is a JWT ended, '' where that is not why it is refused."""
    import datetime as dt

    import jwt

    try:
        ends = jwt.decode(token, options={"verify_signature": False, "verify_exp": False}).get("exp")
    except jwt.PyJWTError:
        return ""
    now = dt.datetime.now(dt.UTC)
    if not isinstance(ends, int | float) or ends > now.timestamp():
        return ""
    return dt.datetime.fromtimestamp(ends, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
