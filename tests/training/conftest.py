"""The checkerboards of intent and ranking, and torch on one thread."""

from tests.intent import conftest as intent

one_thread, rows_folder, examples = intent.one_thread, intent.rows_folder, intent.examples  # fixtures
