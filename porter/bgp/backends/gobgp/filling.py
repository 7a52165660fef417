"""What a daemon's table should hold before its neighbour is added; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from porter.model.address import Family, family_of
from porter.model.bgp import PathAttributes, RouteKey

Routes = Mapping[RouteKey, PathAttributes]


class Filling(NamedTuple):
    """The changes that fill a table."""

    additions: list[tuple[RouteKey, PathAttributes]]
    removals: list[RouteKey]


def filling(
    *,
    held: Routes,
    wanted: Routes,
    inherited: Routes,
    families: Collection[Family],
    canonical: Callable[[PathAttributes], PathAttributes],
    certain: bool,
    kept: bool,
) -> Filling:
    """Compute how a table comes from what it holds to what is wanted.

    Args:
        inherited: what a former daemon held.
        certain: whether absence counts.
        kept: whether the peer may still keep the routes of its last session. What is unwanted of them then goes out
            once more, to be withdrawn by name. End-of-RIB should do for that, but FRR 8.4 purges only one stale path of
            each prefix at it, and GoBGP withdraws nothing that it has not announced itself. Without ADD-PATH there is
            only one.
    """
    lasting = {key: attributes for key, attributes in inherited.items() if kept and key.path_id}
    # GoBGP numbers the paths of a prefix as they come: in the order of before, each keeps its number, and the peer has
    # nothing to replace.
    additions = {
        key: canonical(attributes)
        for key, attributes in {**lasting, **dict(sorted(wanted.items()))}.items()
        if family_of(key.prefix) in families and held.get(key) != canonical(attributes)
    }
    removals = [key for key in held if key not in wanted and not (kept and key.path_id)] if certain else []
    return Filling(list(additions.items()), removals)
