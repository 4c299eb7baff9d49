"""The real servers: found, else installed with apt where that is allowed, else named."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "postgres": "postgresql",
    "initdb": "postgresql",
    "cc": "gcc",
    "nginx": "nginx-light",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "prometheus-pushgateway": "prometheus-pushgateway",
    "chromium": "chromium",
    "redis-server": "redis-server",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
"""Programs, and the Debian packages that bring them."""

Say = Callable[[str], None]


class ProgramMissing(Exception):
    """A server is not here and cannot be installed. The message says what to install."""


def find(program: str) -> Path | None:
    """Find a program on PATH, or where Debian keeps servers."""
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    kept = [*sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}")), *Path("/usr/sbin").glob(program)]
    return kept[-1] if kept else None


def need(programs: Sequence[str], say: Say) -> dict[str, Path]:
    """Give the paths of programs, installing what is missing if that is possible. Raises `ProgramMissing`."""
    missing = [program for program in programs if find(program) is None]
    if missing:
        _install(sorted({PACKAGES[program] for program in missing}), say)
    found = {program: find(program) for program in programs}
    still = [program for program, path in found.items() if path is None]
    if still:
        raise ProgramMissing(_how(still))
    return {program: path for program, path in found.items() if path is not None}


def _install(packages: list[str], say: Say) -> None:
    apt = shutil.which("apt-get")
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    allowed = apt and (not root or _quietly([*root, "true"]))
    if not allowed:
        return
    say(f"installing {', '.join(packages)} with apt-get")
    # RUNLEVEL=1 keeps Debian's packages from starting the servers that they bring
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            [*root, "apt-get", "-qq", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            say(f"apt-get {command[0]} failed: {last}")
            return


def _quietly(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _how(programs: list[str]) -> str:
    packages = " ".join(sorted({PACKAGES[program] for program in programs}))
    return (
        f"{', '.join(programs)} cannot be found, and cannot be installed from here. On Debian or Ubuntu: "
        f"apt-get install {packages}. Elsewhere, put the programs on PATH."
    )


def main(arguments: Sequence[str]) -> int:
    """Make sure that packages are here: `python -m relay.demo.programs prometheus postgresql`."""
    programs = [program for program, package in PACKAGES.items() if package in arguments]
    try:
        for program, path in need(programs, print).items():
            print(f"{program}: {path}")
    except ProgramMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
