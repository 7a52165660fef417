"""OpenELB, and Porter of every generation: what stays, what is converted, and the defects that were there."""

from __future__ import annotations

from porter.app.migrate.openelb.convert import convert

__all__ = ["convert"]
