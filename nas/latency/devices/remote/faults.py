"""What went wrong on the way to another machine, in one line with the cure; and what passes by itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from nas.latency.devices.remote.address import LEAST_PYTHON, TOO_OLD, Address
from nas.latency.runtimes.base import Package

SSH_FAILED = 255


class Lost(Exception):
    """The connection broke, or cannot be made at the moment; what runs on the other machine goes on."""


def ended(address: Address, status: int, errors: str) -> Exception:
    """Why ssh ended with exit `status` before it was told to, having written `errors`.

    `Lost` for what may pass by itself, `ValueError` for what needs the user.
    """
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    host, by_hand = address.host, address.by_hand()
    if status == SSH_FAILED:
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in errors:
            return ValueError(
                f"{host} has another host key than your known_hosts has for it; if you know why (a new system on it), "
                f"remove the old one with ssh-keygen -R and connect once by hand: {by_hand}"
            )
        if "Host key verification failed" in errors:
            return ValueError(
                f"the host key of {host} is not known here yet; connect once by hand, compare and accept it: {by_hand}"
            )
        if "Permission denied" in errors or "Too many authentication failures" in errors:
            return ValueError(
                f"{host} lets nobody in by your keys ({last}); put your key there, {_copy_id(address)}, load it into "
                "the agent, ssh-add, if it has a passphrase, or name it: "
                """'device.options=["IdentityFile=~/.ssh/KEY"]'"""
            )
        if "onfiguration option" in errors or "command-line" in errors or "no argument after keyword" in errors:
            return ValueError(f"ssh refuses a setting: {last}; see ssh_config(5), device.options and ~/.ssh/config")
        return Lost(last or f"the connection to {host} broke")
    if TOO_OLD in errors:
        return ValueError(
            f"{address.python} on {host} is Python {last.removeprefix(TOO_OLD).strip()}, measuring needs "
            f"{'.'.join(map(str, LEAST_PYTHON))} or later; install one there and give it: device.python=python3.11"
        )
    if status in (126, 127) or re.search(r"not found|No such file|ermission denied", last):
        return ValueError(
            f"there is no interpreter {address.python} on {host} ({last}); install it there "
            f"({address.by_hand('sudo apt install python3')}), or name another: device.python=/path/to/python3"
        )
    if status < 0:
        return Lost(f"ssh was ended by signal {-status}")
    return ValueError(
        f"{host} answers, but {address.python} does not work there (exit status {status}"
        f"{f': {last}' if last else ''}); try it by hand: {address.by_hand(f'{address.python} --version')}"
    )


def unreachable(address: Address, reason: str) -> ValueError:
    """What to do where nothing of `address` was reached yet, ssh saying `reason`."""
    host = address.host
    if "Could not resolve" in reason:
        cure = "check device.host=, or give the machine's address (pi@192.168.1.7) or a Host of ~/.ssh/config"
    elif "refused" in reason:
        cure = "start its ssh server (sudo systemctl enable --now ssh), or give its port: device.port=22"
    else:
        cure = f"is it on, and in this network? try it by hand: {address.by_hand()}"
    return ValueError(f"{host} cannot be reached: {reason}; {cure}")


def reported(address: Address, folder: str, fault: str, text: str) -> ValueError:
    """The words for a `fault` that the program there reports about its `folder`."""
    host = address.host
    if fault == "full":
        return ValueError(
            f"the disk of {host} is full ({text}); free some space there, or give a folder on another disk: "
            "device.folder=/path/to/folder"
        )
    if fault == "locks":
        return ValueError(
            f"the file system of {folder} on {host} has no file locks ({text}), so that two runs could disturb each "
            "other; give a folder on a local disk there: device.folder=/tmp/nas"
        )
    if fault == "file":
        return ValueError(
            f"{folder} on {host} cannot be used ({text}); give a folder there that you may write: "
            "device.folder=/tmp/nas"
        )
    if fault == "refused":
        return ValueError(f"{host} refuses to measure: {text}")
    return ValueError(
        f"measuring on {host} ended twice without getting further ({text}); see run.log in {folder}/kits there"
    )


def lacks(
    address: Address, packages: Mapping[Package, Mapping[str, str]], all_of_them: Sequence[Package]
) -> str | None:
    """What of `packages` {package: version, missing or error} the machine lacks, with the line that installs it.

    `all_of_them`: what a new environment there needs.
    """
    missing = [package.pip for package, state in packages.items() if "missing" in state]
    broken = {package.pip: state["error"] for package, state in packages.items() if "error" in state}
    if not missing and not broken:
        return None
    python = address.python if address.python.startswith("~/") else shlex.quote(address.python)
    install = address.by_hand(f"{python} -m pip install {' '.join([*missing, *broken])}")
    everything = " ".join(package.pip for package in all_of_them)
    what = [f"has no {' and no '.join(missing)}"] if missing else []
    what += [f"cannot use its {name} ({why})" for name, why in broken.items()]
    return (
        f"{address.python} on {address.host} {', and '.join(what)}; install it there: {install} (where pip refuses, "
        f"make an environment there, python3 -m venv ~/nas && ~/nas/bin/pip install {everything}, and give it: "
        "device.python=~/nas/bin/python)"
    )


def _copy_id(address: Address) -> str:
    port: list[Any] = ["-p", str(address.port)] if address.port else []
    return shlex.join(["ssh-copy-id", *port, address.host])
