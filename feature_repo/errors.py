"""The errors a user can cause, each with the exit code that the command line gives it."""


class UserError(Exception):
    """A mistake the user can mend: one line with place, value, what is allowed and the fix."""

    exit_code = 2


class SpecError(UserError):
    """The spec, the environment or a command line argument is wrong."""


class DataError(UserError):
    """The data cannot be used as declared."""


class Refused(Exception):
    """A contract or a gate said no: nothing was promoted."""

    exit_code = 3


class ServerError(Exception):
    """A server or a store outside failed, or holds something broken: one line, exit 1."""

    exit_code = 1


class StoreAway(ServerError):
    """The online store did not answer in its time: nothing is known of the user, and nothing was written."""


def of_code(code: int) -> type[Exception]:
    """Return the kind of error that a step's exit code stands for.

    >>> of_code(3), of_code(1)
    (<class 'feature_repo.errors.Refused'>, <class 'feature_repo.errors.ServerError'>)
    """
    kinds: dict[int, type[Exception]] = {DataError.exit_code: DataError, Refused.exit_code: Refused}
    return kinds.get(code, ServerError)


def shortened(text: str, limit: int) -> str:
    """Cut a text that is longer than a line of an error has room for.

    >>> shortened("transformer", 6), shortened("lstm", 6)
    ('trans…', 'lstm')
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def nearest(value: str, allowed: list[str]) -> str:
    """Name the closest allowed value, as the tail of an error message.

    >>> nearest("transfomer", ["transformer", "lstm"])
    "; did you mean 'transformer'?"
    """
    import difflib

    found = difflib.get_close_matches(value, allowed, n=1, cutoff=0.5)
    return f"; did you mean '{found[0]}'?" if found else ""
