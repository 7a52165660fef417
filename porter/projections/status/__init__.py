"""What the objects' statuses should say: plain trees of JSON values, one module per kind.

A condition carries no time of its last transition: whoever writes it knows what stood there before.
"""

from porter.projections.status.advertisements import advertisement_status, advertisement_statuses
from porter.projections.status.confs import conf_status
from porter.projections.status.peers import bfd_gap, peer_status
from porter.projections.status.pools import pool_status
from porter.projections.status.services import (
    DECISION_ANNOTATION,
    POOL_LABEL,
    decision_hash,
    service_annotations,
    service_conditions,
    service_labels,
    service_status,
)

__all__ = [
    "DECISION_ANNOTATION",
    "POOL_LABEL",
    "advertisement_status",
    "advertisement_statuses",
    "bfd_gap",
    "conf_status",
    "decision_hash",
    "peer_status",
    "pool_status",
    "service_annotations",
    "service_conditions",
    "service_labels",
    "service_status",
]
