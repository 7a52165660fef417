"""MetalLB: its custom resources, the annotations of its Services, and its ConfigMap of before 0.13."""

from __future__ import annotations

from porter.app.migrate.metallb.convert import convert
from porter.app.migrate.metallb.services import Options

__all__ = ["Options", "convert"]
