"""The command line. Exit codes: 0 all is well, 1 something was found, 2 wrong usage, 3 a server failed."""

import sys
from importlib import import_module

import click

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
