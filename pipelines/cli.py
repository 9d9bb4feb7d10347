"""The `intentflow` command. Every verb takes a spec and `--env`; `--json` prints one document on stdout.

Exit codes: 0 done, 2 the user's mistake, 3 a gate or contract said no, 1 a fault of ours or of a server.
Imports stay inside the verbs, so that help and plan are fast.
"""

import errno
import sys

import click

from feature_repo import files
from feature_repo.errors import Refused, ServerError, UserError
from pipelines.verbs import (
    changing,
    checking,
    declaring,
    finding,
    people,
    releasing,
    running,
    showing,
    watching,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, a limit on files
# In the order in which help lists them.
MODULES = (declaring, running, releasing, watching, changing, people, checking, showing, finding)


class Verbs(click.Group):
    """Lists verbs in the order they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of definition."""
        return list(self.commands)


@click.group(cls=Verbs)
@click.version_option(package_name="intentflow", prog_name="intentflow")
def cli() -> None:
    """Build, promote, serve and watch the recommender that a spec declares."""


for module in MODULES:
    for command in module.VERBS:
        cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    files.private_from_now()
    try:
        cli.main(args=arguments, standalone_mode=False)
    except (UserError, Refused, ServerError) as error:
        click.echo(f"intentflow: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"intentflow: {error.format_message()}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in FULL:
            raise
        click.echo(f"intentflow: no room to write: {error}; free some, then run it again", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("intentflow: interrupted; a re-run goes on from the last finished step", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
