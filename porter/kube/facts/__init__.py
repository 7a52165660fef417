"""Pure conversions from decoded Kubernetes objects to facts of `porter.events.observed`.

One module per kind. An object that cannot be honoured becomes a fact with `problems`, so that the status can say so;
it never stops the others. `FieldUnsupported` leaves the object in use without that field; every other reason means
that the object must not be acted on until it is mended.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LOAD_BALANCER_CLASS = "porter.io/porter"
DEFAULT_NAMESPACE = "porter-system"


@dataclass(frozen=True, slots=True)
class FactSettings:
    """Which Services are ours beside the annotated ones, which namespace is Porter's own, and what counts as a drain.

    `claim_unclassified` also takes Services of type LoadBalancer that name no class. Only the ConfigMaps of
    `namespace` are read. With `drain_cordoned` a node that is unschedulable is told as cordoned.
    """

    load_balancer_class: str = DEFAULT_LOAD_BALANCER_CLASS
    claim_unclassified: bool = False
    namespace: str = DEFAULT_NAMESPACE
    drain_cordoned: bool = False
