"""Where a controller's objects are: an API server, or a folder of manifests. Both give the same four parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, NamedTuple

from porter.app.settings import InvalidSettings, Settings
from porter.kube.facts import FactSettings
from porter.ports import Access, Clock, Election, EventRecorder, Instrumentation, Source, StatusWriter

if TYPE_CHECKING:
    from porter.kube.manifests import ManifestSource
    from porter.kube.source import KubeSource


class Edge(NamedTuple):
    """Source, election, status writer and recorder of one place, and what else runs there, by name.

    `passwords` are those that its BgpPeers hold, None while not all of them were seen.
    """

    source: Source
    election: Election
    writer: StatusWriter
    recorder: EventRecorder
    passwords: Callable[[], Mapping[str, str] | None]
    beside: tuple[tuple[str, Callable[[], Coroutine[None, None, None]]], ...] = ()
    access: Access | None = None
    """Who may ask from other machines; None where nobody may."""


async def connect(
    settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, instrumentation: Instrumentation
) -> Edge:
    """Make the edge that the settings name; what must be closed is left on the stack.

    Raises:
        InvalidSettings: none or several places are named, or the kubeconfig cannot be used.
    """
    named = [settings.kubeconfig is not None, settings.in_cluster, settings.manifests is not None]
    if sum(named) != 1:
        raise InvalidSettings("give exactly one of --kubeconfig FILE, --in-cluster and --manifests DIR")
    if settings.manifests is not None:
        return _manifests(settings, clock)
    return await _cluster(settings, clock, stack, instrumentation)


def _fact_settings(settings: Settings) -> FactSettings:
    return FactSettings(
        settings.load_balancer_class, settings.claim_unclassified, settings.namespace, settings.drain_cordoned
    )


def _manifests(settings: Settings, clock: Clock) -> Edge:
    from porter.kube.file_election import FileElection  # noqa: PLC0415
    from porter.kube.manifest_events import LogEventRecorder  # noqa: PLC0415
    from porter.kube.manifest_status import STATUS_FOLDER, ManifestStatusWriter  # noqa: PLC0415
    from porter.kube.manifests import ManifestSource  # noqa: PLC0415

    assert settings.manifests is not None
    # The lock stands beside the objects: controllers of several state directories share these, and nothing else.
    lock_dir = settings.manifests / STATUS_FOLDER
    election = FileElection(settings.directory, clock, lock_dir=lock_dir)
    source = ManifestSource(settings.manifests, _fact_settings(settings))
    writer = ManifestStatusWriter(settings.manifests, source.inventory, election.leads, clock)
    return Edge(source, election, writer, LogEventRecorder(), _passwords_of(source))


async def _cluster(
    settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, instrumentation: Instrumentation
) -> Edge:
    # The client's import costs tens of megabytes, which a controller over manifests does without.
    from porter.kube.access import KubeAccess  # noqa: PLC0415
    from porter.kube.client import ApiError, InvalidKubeconfig, KubeClient  # noqa: PLC0415
    from porter.kube.events import KubeEventRecorder  # noqa: PLC0415
    from porter.kube.finalizers import FinalizerWriter  # noqa: PLC0415
    from porter.kube.lease import LeaseElection  # noqa: PLC0415
    from porter.kube.source import KubeSource  # noqa: PLC0415
    from porter.kube.status import KubeStatusWriter  # noqa: PLC0415

    try:
        client = await KubeClient.connect(settings.kubeconfig)
    except InvalidKubeconfig as error:
        raise InvalidSettings(f"--kubeconfig: {error}") from error
    stack.push_async_callback(client.close)
    election = LeaseElection(client, settings.namespace, settings.name, clock)
    if not settings.in_cluster:
        # In a cluster the installation made the namespace. Where this fails the campaign says why.
        with contextlib.suppress(ApiError):
            await election.ensure_namespace()
    source = KubeSource(client, _fact_settings(settings), instrumentation=instrumentation)
    writer = KubeStatusWriter(client, source.inventory, election.leads, clock)
    recorder = KubeEventRecorder(client, election.leads, settings.name)
    finalizers = FinalizerWriter(client, source.inventory, election.leads)
    beside = (("OpenELB's finalizers", finalizers.run),)
    return Edge(source, election, writer, recorder, _passwords_of(source), beside, KubeAccess(client))


def _passwords_of(source: KubeSource | ManifestSource) -> Callable[[], Mapping[str, str] | None]:
    return lambda: source.inventory.passwords if source.synced else None
