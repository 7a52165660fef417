"""What the ConfigMaps of Porter's own namespace add to the facts; an object of the API wins over them.

`bgp-cfg` is a seed: its conf counts while there is no BgpConf `default`, and each of its neighbors while no BgpPeer has
the same address. The map that the BgpConf's `policy` names becomes advertisements; while there is no BgpAdvertisement,
one more says that every other route goes everywhere, as with OpenELB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import structlog

from porter.events.catalogue import Event
from porter.events.observed import AdvertisementObserved, ConfObserved, PeerObserved
from porter.kube.facts import gobgp_config, gobgp_policy
from porter.kube.facts.bgp import CONF_NAME
from porter.kube.facts.fields import closed, milliseconds
from porter.kube.objects import ConfigMap
from porter.model.reasons import Problem, Reason
from porter.ports import FactKey, FactKind

_log = structlog.get_logger(__name__)

CONF_KEY = FactKey("Conf", CONF_NAME)
POLICY_FIELD = "spec.policy"
_KEYS = frozenset({gobgp_config.MAP_KEY, gobgp_policy.MAP_KEY})
"""A map without one of these keys is not kept."""


REST_NAME = "default-export-policy"
"""The advertisement of what no statement of a policy is about; GoBGP's key gives it its name."""


class _Policy(NamedTuple):
    """A policy that was read for one AS number from one version of its map."""

    of: tuple[str, str, int]
    facts: gobgp_policy.PolicyFacts


class OldConfiguration:
    """The maps that count, and the BgpConf that names one of them."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._maps: dict[str, ConfigMap] = {}
        self._conf: ConfObserved | None = None
        self._policy_name = ""
        self._seeds: tuple[ConfObserved, tuple[PeerObserved, ...]] | None = None
        self._policy: _Policy | None = None

    def put_map(self, name: str, item: ConfigMap | None) -> None:
        """Take a ConfigMap as it is now, or its deletion."""
        counts = (
            item is not None
            and item.metadata.namespace == self.namespace
            and not item.metadata.deletion_timestamp
            and not _KEYS.isdisjoint(item.data or ())
        )
        if item is not None and counts:
            self._maps[name] = item
        else:
            self._maps.pop(name, None)
        if name == f"{self.namespace}/{gobgp_config.MAP_NAME}":
            before = _problems_of(self._seeds)
            self._seeds = self._read_seeds(self._maps.get(name))
            # There is no object whose status could tell them.
            for problem in _problems_of(self._seeds):
                if problem not in before:
                    _log.warning("ConfigMap not honoured", name=name, field=problem.field, why=problem.message)

    def put_conf(self, conf: ConfObserved | None, policy: str) -> None:
        """Take the fact of the BgpConf `default` as it is now, None where there is none, and the map that it names."""
        self._conf, self._policy_name = conf, policy

    def facts(
        self, peers: Iterable[PeerObserved], names: Mapping[FactKind, Collection[str]], *, complete: bool
    ) -> dict[FactKey, Event]:
        """The facts that follow; `complete` says whether a map that is not known is not there.

        Args:
            peers: the facts of the BgpPeers.
            names: the names of the API's objects by kind of fact: what has one of them is no fact of ours.
            complete: whether every ConfigMap was listed.
        """
        facts: dict[FactKey, Event] = {}
        seeded, neighbors = self._seeds or (None, ())
        conf = self._conf or seeded
        if self._conf is not None and self._policy_name:
            policy = self._read_policy(self._conf, complete=complete)
            conf = self._conf._replace(problems=closed([*self._conf.problems, *policy.problems]))
            facts |= {FactKey("Advertisement", one.name): one for one in policy.advertisements}
            if policy.advertisements and policy.accepts_rest and not names.get("Advertisement"):
                facts[FactKey("Advertisement", REST_NAME)] = _everything(policy.advertisements[0])
        if conf is not None:
            facts[CONF_KEY] = conf
        taken = {peer.address for peer in peers}
        facts |= {FactKey("Peer", one.name): one for one in neighbors if one.address not in taken}
        return {key: fact for key, fact in facts.items() if key.name not in names.get(key.kind, ())}

    def _read_seeds(self, item: ConfigMap | None) -> tuple[ConfObserved, tuple[PeerObserved, ...]] | None:
        text = (item.data or {}).get(gobgp_config.MAP_KEY) if item else None
        if item is None or text is None:
            return None
        metadata = item.metadata
        return gobgp_config.seeds(text, metadata.resource_version, milliseconds(metadata.creation_timestamp))

    def _read_policy(self, conf: ConfObserved, *, complete: bool) -> gobgp_policy.PolicyFacts:
        name = self._policy_name
        item = self._maps.get(f"{self.namespace}/{name}")
        text = (item.data or {}).get(gobgp_policy.MAP_KEY) if item else None
        if item is None or text is None:
            missing = f"names the ConfigMap {name}, but {self.namespace} has none with the key {gobgp_policy.MAP_KEY}"
            message = f"{POLICY_FIELD} {missing}; create it, or remove the field"
            problems = (Problem(Reason.FIELD_UNSUPPORTED, POLICY_FIELD, message),) if complete else ()
            return gobgp_policy.PolicyFacts((), problems, accepts_rest=True)
        of = (text, item.metadata.resource_version, conf.as_number)
        if self._policy is None or self._policy.of != of:
            created_ms = milliseconds(item.metadata.creation_timestamp)
            origin = gobgp_policy.Origin(conf.as_number, item.metadata.resource_version, created_ms)
            self._policy = _Policy(of, gobgp_policy.policy_facts(text, origin))
        return self._policy.facts


def _problems_of(seeds: tuple[ConfObserved, tuple[PeerObserved, ...]] | None) -> list[Problem]:
    conf, peers = seeds or (None, ())
    return [problem for fact in (conf, *peers) if fact is not None for problem in fact.problems]


def _everything(statement: AdvertisementObserved) -> AdvertisementObserved:
    """An advertisement that restricts and sets nothing, from the same map as a statement."""
    return AdvertisementObserved(
        name=REST_NAME,
        uid="",
        resource_version=statement.resource_version,
        generation=0,
        created_ms=statement.created_ms,
    )
