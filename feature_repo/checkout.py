"""Where our code lies: the one folder that files of the checkout are named from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
K8S = ROOT / "k8s"
LOCK = ROOT / "requirements.lock"
CLIENTS = ROOT / "bentos" / "clients"
TYPESCRIPT = CLIENTS / "typescript"
BUILT_CLIENT = ROOT / "build" / "typescript"  # by `make client`; beside bentos/, all of which a Bento packs
