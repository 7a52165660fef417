"""Checks of settings that are made before anything is started, so that a mistake ends a program at once."""

from __future__ import annotations

import ipaddress
import re

from porter.app.settings import InvalidSettings, Settings
from porter.model.address import InvalidAddress, parse_address
from porter.model.bgp import AGENT_PREFIX, node_of

MAX_NODE_NAME_CHARACTERS = 253 - len(AGENT_PREFIX)
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""RFC 1123, as Kubernetes has it."""


def check_sources(settings: Settings) -> None:
    """Refuse a controller that has no objects to read, or two places to read them from.

    Raises:
        InvalidSettings: the message names the option and the mend.
    """
    sources = (settings.kubeconfig is not None, settings.manifests is not None, settings.in_cluster)
    if sum(sources) != 1:
        raise InvalidSettings(
            "give exactly one of --kubeconfig FILE and --manifests DIR: where Porter finds its objects"
        )
    if settings.kubeconfig is not None and not settings.kubeconfig.is_file():
        raise InvalidSettings(f"--kubeconfig {settings.kubeconfig} is no file")
    if settings.manifests is not None and not settings.manifests.is_dir():
        raise InvalidSettings(f"--manifests {settings.manifests} is no folder; create it, files may come later")


def check_http(settings: Settings) -> None:
    """Refuse to answer other machines outside of a cluster: nobody is authenticated there.

    Raises:
        InvalidSettings: `--http` does not parse, or is no loopback address where it must be one.
    """
    host, _ = settings.http_address()
    if not settings.in_cluster and not is_loopback(host):
        raise InvalidSettings(
            f"--http {settings.http} is open to other machines, and clients are not authenticated outside of a "
            "cluster; bind a loopback address such as 127.0.0.1:9179"
        )


def check_archive_peers(settings: Settings) -> None:
    """Refuse names of other controllers that cannot be asked.

    Raises:
        InvalidSettings: one is no HOST:PORT.
    """
    for peer in settings.archive_peers:
        host, _, port = peer.rpartition(":")
        if not host or "/" in peer or not port.isdecimal() or not 0 < int(port) <= 65535:
            raise InvalidSettings(
                f"--archive-peer {peer} is no HOST:PORT of a controller; write one like 10.0.0.2:9179"
            )


def check_local_address(settings: Settings) -> None:
    """Refuse a speaker's own address that is none.

    Raises:
        InvalidSettings: `--local-address` is given and does not parse.
    """
    if not settings.local_address:
        return
    try:
        parse_address(settings.local_address)
    except InvalidAddress as error:
        raise InvalidSettings(f"--local-address: {error}, or leave the option out") from error


def check_name(settings: Settings) -> None:
    """Refuse a name that only an agent may have, or that no stream can have.

    Raises:
        InvalidSettings: the message names the option and the mend.
    """
    if node_of(settings.name):
        raise InvalidSettings(f"--name {settings.name} is the name of an agent; choose one without {AGENT_PREFIX}")


def check_node_name(settings: Settings) -> None:
    """Refuse an agent without a node's name.

    Raises:
        InvalidSettings: the message names the option and the mend.
    """
    if not _NODE_NAME.fullmatch(settings.node_name) or len(settings.node_name) > MAX_NODE_NAME_CHARACTERS:
        raise InvalidSettings(
            f"--node-name {settings.node_name!r} is no node's name; give the one that `kubectl get nodes` shows, or "
            "set the variable NODE_NAME to it (the field spec.nodeName of the Pod)"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host, by its address or as `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
