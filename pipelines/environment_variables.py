"""What an environment tells its processes by variables, secrets too; a key that is absent is made, or refused."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from components.distributed.settings import VARIABLE as TRAINER
from feature_repo import env_names, signing
from feature_repo.errors import SpecError
from feature_repo.privacy import sealing
from feature_repo.privacy.pseudonyms import KEY, PREVIOUS
from feature_repo.privacy.tombstones import ELSEWHERE
from pipelines.environment_spec import Environment, Privacy, Pseudonyms, Signing

SHADOW_TOKEN = env_names.SHADOW_TOKEN  # marks the router's copies of requests; the router and the doors share it


def variables(settings: Environment, home: Path, spec_path: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """Return what steps, services and jobs of an environment are told, secrets included, by name of the variable."""
    feast = {"registry": settings.feast.registry, "online_store": settings.feast.online_store}
    return {
        env_names.HOME: str(home),
        env_names.SPEC_DIR: str(spec_path.absolute().parent),
        env_names.SPEC_FILE: str(spec_path.absolute()),
        env_names.CLOCK: settings.clock,
        env_names.FEAST: json.dumps(feast),
        env_names.EVIDENTLY: settings.evidently,
        KEY: _key(settings.pseudonyms, outside),
        PREVIOUS: _previous(settings.pseudonyms, outside),
        env_names.DATA_KEYS: _data_keys(settings.privacy, outside),
        **signing_keys(settings.signing, outside),
        SHADOW_TOKEN: outside.get(SHADOW_TOKEN) or _shared(settings, home),
        ELSEWHERE: outside.get(ELSEWHERE, ""),
        env_names.REQUESTS_URL: settings.requests.url,
        env_names.OTLP: settings.telemetry.otlp,
        env_names.OTLP_SHARE: f"{settings.telemetry.share:g}",
        env_names.LINKS: settings.links.model_dump_json(exclude_defaults=True),
        env_names.SERVING: settings.serving.model_dump_json(exclude_defaults=True),
        env_names.LIMITS_STORE: settings.limits_store,
        env_names.INTENT_URL: settings.services.intent_url,
        env_names.RANKING_URL: settings.services.ranking_url,
        env_names.PROFILES_ENGINE: settings.profiles.engine,
        env_names.SPARK: json.dumps(settings.profiles.spark),
        TRAINER: settings.kubeflow.trainer.model_dump_json() if settings.kubeflow and settings.kubeflow.trainer else "",
        "MLFLOW_TRACKING_URI": settings.mlflow.tracking_uri,
        env_names.MLFLOW_ARTIFACTS: settings.mlflow.artifacts,
    }


def _key(pseudonyms: Pseudonyms, outside: Mapping[str, str]) -> str:
    """Read the key; a key file that is absent is made, readable by its owner only."""
    if pseudonyms.key_env is not None:
        if pseudonyms.key_env not in outside:
            raise SpecError(f"pseudonyms.key_env: {pseudonyms.key_env} is not set; export the key as hex digits")
        return outside[pseudonyms.key_env]
    return _secret(Path(str(pseudonyms.key_file)))


def _data_keys(privacy: Privacy, outside: Mapping[str, str]) -> str:
    """Read the keys that encrypt at rest: a name without a key must not mean that nothing is encrypted."""
    if privacy.key_env is None:
        return outside.get(env_names.DATA_KEYS, "")  # as a Secret gives it to pods
    found = outside.get(privacy.key_env, "")
    try:
        keys = sealing.keys_of(found)
    except SpecError as error:
        raise SpecError(f"privacy.key_env: {privacy.key_env}: {str(error).partition(': ')[2]}") from None
    if not keys.newest:
        raise SpecError(f"privacy.key_env: {privacy.key_env} is not set; export {sealing.FORM}, or leave the field out")
    return found


def signing_keys(given: Signing, outside: Mapping[str, str]) -> dict[str, str]:
    """Read the keys of releases: a name without a key must not mean that signatures are not asked for."""
    if given.key_env is None and not given.public_keys:
        return {name: outside.get(name, "") for name in (env_names.SIGNING_KEY, env_names.VERIFY_KEYS)}
    private = outside.get(given.key_env or "", "")
    if not private and not given.public_keys:
        raise SpecError(
            f"signing.key_env: {given.key_env} is not set; export the key, or give signing.public_keys where releases "
            "are only loaded"
        )
    found = {env_names.SIGNING_KEY: private, env_names.VERIFY_KEYS: ",".join(given.public_keys)}
    signing.trusted(found)  # a key of another form is one line now
    if private:
        signing.require_signer(found)
    return found


def _shared(settings: Environment, home: Path) -> str:
    """Return this machine's own shadow token; an environment of servers elsewhere has it in their Secret."""
    here = settings.pseudonyms.key_file is not None or home.is_dir()
    return _secret(home / "secrets" / "shadow.token") if here else ""


def _secret(path: Path) -> str:
    """Read a secret; a file that is absent is made, readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
        os.replace(aside, path)
    return path.read_text(encoding="ascii").strip()


def _previous(pseudonyms: Pseudonyms, outside: Mapping[str, str]) -> str:
    """Read the key before; unlike the key in use it is never made."""
    if (name := pseudonyms.previous_key_env) is not None:
        if name not in outside:
            raise SpecError(f"pseudonyms.previous_key_env: {name} is not set; export it, or leave the field out")
        return outside[name]
    if pseudonyms.previous_key_file is None:
        return ""
    path = Path(pseudonyms.previous_key_file)
    if not path.is_file():
        raise SpecError(f"pseudonyms.previous_key_file: no file {path}; once a rotation is complete, leave it out")
    return ",".join(path.read_text(encoding="ascii").split())
