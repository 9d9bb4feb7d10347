"""Coverage-guided fuzzing of what reads other people's bytes: `python -m tests.fuzz --minutes 10` (or `make fuzz`).

Atheris (libFuzzer) feeds each reader of targets.py bytes that it changes towards lines not yet run. A reader may take
what it gets or refuse it as it documents; any other exception, a broken promise, a hang or 2 GiB of memory is a crash.
Every file of corpus/<target> is a seed, and a test of the default suite (test_corpus.py): a crash that was found and
mended is kept there under a name that says what it was.
"""
