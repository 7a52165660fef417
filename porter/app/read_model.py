"""The folds that answers are computed from."""

from __future__ import annotations

from typing import NamedTuple

from porter.projections.cluster import ClusterState
from porter.projections.sessions import Sessions


class ReadModel(NamedTuple):
    """The folds that every answer is computed from, at one moment."""

    state: ClusterState
    sessions: Sessions
