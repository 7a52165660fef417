"""Which pools may serve a Service, and in which order.

Without a request: the pools bound to the Service, then the default pool of each family, then the pools that are
assigned automatically; each rule by priority, then name. A plain pool serves requests only. The old bindings
(`namespaces`, `namespaceSelector`) only steer this choice; `serviceSelector` and `namespaceLabelSelector` also fence:
whom they do not match is refused even on request. Nobody loses an address to either.
"""

from __future__ import annotations

from typing import NamedTuple

from porter.events.observed import PoolObserved, ServiceObserved
from porter.model.reasons import Candidate, Reason
from porter.model.selector import Pairs
from porter.policy.pool_choice import Pool, Pools
from porter.policy.selectors import matches, matches_any

NO_LIMIT = -1
MAX_REMEMBERED = 4096
"""Most orders that are kept for the next Service of the same namespace and labels."""


class Rule(NamedTuple):
    """One step of the order: the reason that an address is given for, and the pools of the step, in order."""

    reason: Reason
    pools: tuple[Pool, ...]


Order = tuple[tuple[Rule, ...], tuple[Candidate, ...]]
"""The rules for a Service, and the pools that no rule names, each with the reason."""


def is_bound(fact: PoolObserved) -> bool:
    """Whether a pool is bound to namespaces or Services at all."""
    return bool(fact.namespaces or fact.namespace_selector or fact.namespace_label_selector or fact.service_selector)


def is_bound_to(fact: PoolObserved, namespace: str, namespace_labels: Pairs, service_labels: Pairs = ()) -> bool:
    """Whether a pool is bound to a Service: to its namespace, if it is bound to any, and to its labels likewise."""
    if not is_bound(fact) or not _selects_service(fact, service_labels):
        return False
    anywhere = not (fact.namespaces or fact.namespace_selector or fact.namespace_label_selector)
    return anywhere or _selects_namespace(fact, namespace, namespace_labels)


def _selects_namespace(fact: PoolObserved, namespace: str, labels: Pairs) -> bool:
    return (
        namespace in fact.namespaces
        or (bool(fact.namespace_selector) and set(fact.namespace_selector).issubset(labels))
        or matches_any(fact.namespace_label_selector, labels)
    )


def _selects_service(fact: PoolObserved, labels: Pairs) -> bool:
    return not fact.service_selector or matches_any(fact.service_selector, labels)


def fenced(pool: Pool, namespace: str, namespace_labels: Pairs, service_labels: Pairs) -> Candidate | None:
    """Why a pool gives nothing to a Service whatever it requests, or None."""
    fact = pool.fact
    if not _selects_service(fact, service_labels):
        message = f"Eip {pool.name} serves other Services; give this one labels that spec.serviceSelector matches"
        return Candidate(pool.name, Reason.NOT_SELECTED, message)
    if fact.namespace_label_selector and not _selects_namespace(fact, namespace, namespace_labels):
        message = (
            f"Eip {pool.name} serves other namespaces; give {namespace} labels that spec.namespaceLabelSelector matches"
        )
        return Candidate(pool.name, Reason.NOT_SELECTED, message)
    return None


def unusable(pool: Pool) -> Candidate | None:
    """Why a pool gives no address to anybody, or None."""
    if pool.problem is not None:
        return Candidate(pool.name, Reason.POOL_INVALID, f"Eip {pool.name} cannot be used: {pool.problem.message}")
    if pool.fact.disabled:
        return Candidate(pool.name, Reason.POOL_DISABLED, f"Eip {pool.name} is disabled; set spec.disable to false")
    return None


def closed(pool: Pool, service: ServiceObserved, namespace_labels: Pairs) -> Candidate | None:
    """Why a pool gives a Service nothing, not even what it requests, or None."""
    return unusable(pool) or fenced(pool, service.namespace, namespace_labels, service.labels)


def quota_of(fact: PoolObserved, namespace: str) -> int:
    """The most addresses that a namespace may hold from a pool, or `NO_LIMIT`."""
    return next((limit for name, limit in fact.quota_overrides if name == namespace), fact.quota_per_namespace)


class Orders:
    """The orders of one table of pools: thousands of Services ask the same.

    Of a Service's labels only what the pools' selectors make of them tells orders apart.
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        selectors = {one: None for pool in pools.by_name.values() for one in pool.fact.service_selector}
        self._selectors = tuple(selectors)
        self._label_keys = {
            key for one in selectors for key in (*dict(one.labels), *(two.key for two in one.expressions))
        }
        self._matched: dict[Pairs, tuple[bool, ...]] = {}
        self._known: dict[tuple[str, Pairs, tuple[bool, ...]], Order] = {}

    def of(self, service: ServiceObserved, namespace_labels: Pairs) -> Order:
        """`automatic_rules` for a Service."""
        key = (service.namespace, namespace_labels, self.matched(service.labels))
        order = self._known.get(key)
        if order is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            order = automatic_rules(self._pools, service.namespace, namespace_labels, service.labels)
            self._known[key] = order
        return order

    def matched(self, labels: Pairs) -> tuple[bool, ...]:
        """Which of the pools' service selectors match labels."""
        looked_at = tuple(pair for pair in labels if pair[0] in self._label_keys)
        matched = self._matched.get(looked_at)
        if matched is None:
            if len(self._matched) >= MAX_REMEMBERED:
                self._matched.clear()
            matched = self._matched[looked_at] = tuple(matches(one, looked_at) for one in self._selectors)
        return matched


def automatic_rules(pools: Pools, namespace: str, namespace_labels: Pairs, service_labels: Pairs = ()) -> Order:
    """The rules for a Service that requests nothing, and the pools that no rule names, with the reason."""
    bound: list[Pool] = []
    default: list[Pool] = []
    automatic: list[Pool] = []
    passed: list[Candidate] = []
    for pool in pools.by_name.values():
        fact = pool.fact
        why = unusable(pool)
        if why is not None:
            passed.append(why)
        elif fact.auto_assign is False:
            passed.append(_on_request_only(pool))
        elif is_bound_to(fact, namespace, namespace_labels, service_labels):
            bound.append(pool)
        elif (fence := fenced(pool, namespace, namespace_labels, service_labels)) is not None:
            passed.append(fence)
        elif pool.default_for:
            default.append(pool)
        elif is_bound(fact):
            message = f"Eip {pool.name} is bound to other namespaces; add {namespace} to spec.namespaces"
            passed.append(Candidate(pool.name, Reason.NOT_SELECTED, message))
        elif fact.auto_assign:
            automatic.append(pool)
        else:
            passed.append(_on_request_only(pool))
    rules = (
        Rule(Reason.BOUND_POOL, _in_order(bound)),
        Rule(Reason.DEFAULT_POOL, _in_order(default)),
        Rule(Reason.AUTO_ASSIGNED, _in_order(automatic)),
    )
    # Only the first few are told: those that would serve if they were in order come first.
    passed.sort(key=lambda one: one.reason not in {Reason.POOL_DISABLED, Reason.POOL_INVALID})
    return tuple(rule for rule in rules if rule.pools), tuple(passed)


def _in_order(pools: list[Pool]) -> tuple[Pool, ...]:
    return tuple(sorted(pools, key=lambda pool: (pool.fact.priority, pool.name)))


def _on_request_only(pool: Pool) -> Candidate:
    message = f"Eip {pool.name} is used on request only; name it, mark it as default, or set spec.autoAssign"
    return Candidate(pool.name, Reason.ON_REQUEST_ONLY, message)
