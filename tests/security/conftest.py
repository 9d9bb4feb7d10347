"""What the attacks share: a registered result of a toy recommender in MLflow's own database."""

from tests.registry.conftest import database as database
from tests.registry.conftest import kept as kept
from tests.registry.conftest import shared as shared
from tests.registry.conftest import sqlite as sqlite
from tests.registry.conftest import store as store
