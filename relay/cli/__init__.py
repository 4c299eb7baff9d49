"""The command line. Exit codes: 0 all is well, 1 something was found, 2 wrong usage, 3 a server failed."""

import errno
import io
import sys
from importlib import import_module
from typing import Any

import click

from relay.config.trouble import Trouble

COMMANDS = {
    "serve": "relay.cli.serve:serve",
    "demo": "relay.cli.demo:demo",
    "check": "relay.cli.check:check",
    "schema": "relay.cli.schema:schema",
    "test": "relay.cli.rehearse:test",
    "simulate": "relay.cli.rehearse:simulate",
    "replay": "relay.cli.replay:replay_command",
    "explain": "relay.cli.explain:explain",
    "backtest": "relay.cli.backtest:backtest",
    "incident": "relay.cli.incident:incident",
    "window": "relay.cli.window:window",
    "who": "relay.cli.oncall:who",
    "gaps": "relay.cli.oncall:gaps",
    "report": "relay.cli.oncall:report",
    "probe": "relay.cli.probe:probe",
    "quarantine": "relay.cli.operate:quarantine",
    "outbox": "relay.cli.operate:outbox",
    "verify": "relay.cli.operate:verify",
    "backup": "relay.cli.backup:backup",
    "token": "relay.cli.operate:token",
    "openapi": "relay.cli.operate:openapi",
}
"""Every command, and where it is. Only the one that runs is loaded: the service must not carry the others' weight."""

_OF_THE_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR,
    errno.EIO,
)  # fmt: skip
"""What is wrong outside of the program: the disk, or a path that somebody gave."""
WITHOUT = {"serve": ("rich", "pygments")}
"""What a command has no use for, and libraries that it needs load where they find it: 7 MiB of the service's memory."""


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, context: click.Context) -> Any:
        """Run a command; what a person has to mend is told in words, and not by what the program was doing."""
        try:
            return super().invoke(context)
        except Trouble as trouble:
            click.echo(str(trouble), err=True)
            sys.exit(trouble.code)
        except OSError as error:
            if error.errno not in _OF_THE_MACHINE:
                raise
            click.echo(f"{error.filename or 'what is found'} cannot be written or read: {error.strerror}", err=True)
            sys.exit(Trouble.code)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        for library in WITHOUT.get(args[0], ()):
            sys.modules.setdefault(library, None)  # type: ignore[arg-type]  # to Python, it cannot be found
        return super().resolve_command(context, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="relay")
def main() -> None:
    """Carry an outage through its whole life, between Prometheus Alertmanager and the pager."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter shows the others
