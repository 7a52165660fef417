"""The ConfigMap that a BgpConf's `policy` names: a GoBGP policy in TOML, as advertisements.

What is honoured of a statement: conditions by prefix-set and neighbor-set; the actions route-disposition
accept-route, set-med, set-local-pref, set-community, set-large-community and set-as-path-prepend. A statement with
another condition, or one that rejects routes, is not applied at all, because without it it would say something else;
another action is left out. Each such key is named. Statements of one route are united as advertisements are; the
earlier one counts as the older.

A policy only adds attributes, unless its default-export-policy is reject-route: then a route goes where a statement
accepts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import NamedTuple, TypeVar

from porter.events.observed import AdvertisedPrefixes, AdvertisementObserved
from porter.kube.facts.advertisement import MAX_ATTRIBUTE, MAX_PREPEND, communities
from porter.kube.facts.fields import Fields, quoted
from porter.kube.facts.old_maps import parse_toml, stopping_nothing
from porter.model.address import MAX_PREFIX_LENGTH, Address, Prefix, family_of, parse_address, parse_prefix
from porter.model.community import parse_community, parse_large_community
from porter.model.reasons import Problem

MAP_KEY = "gobgp.conf"
PATH = f"spec.policy[{MAP_KEY}]"
NAME_PREFIX = "policy-"
MAX_STATEMENTS = 256
MAX_SET_ENTRIES = 1024
_ACCEPT_ROUTE, _REJECT_ROUTE = "accept-route", "reject-route"
_ACCEPT = ("", "none", _ACCEPT_ROUTE)
_ADDING = ("", "add", "replace")
_T = TypeVar("_T")


class _Sets(NamedTuple):
    """The defined sets by name; None stands for one that is not understood."""

    prefixes: dict[str, tuple[AdvertisedPrefixes, ...] | None]
    neighbors: dict[str, tuple[Address, ...] | None]


class PolicyFacts(NamedTuple):
    """What a policy came to: advertisements without objects of their own, and the problems of the BgpConf.

    `accepts_rest` says whether what no statement is about is announced all the same.
    """

    advertisements: tuple[AdvertisementObserved, ...]
    problems: tuple[Problem, ...]
    accepts_rest: bool


class Origin(NamedTuple):
    """Where the statements come from: the conf's AS number, and the map's version and age."""

    as_number: int
    version: str
    created_ms: int


def policy_facts(text: str, origin: Origin) -> PolicyFacts:
    """Convert a policy to advertisements; no problem keeps the BgpConf from being used."""
    problems: list[Problem] = []
    root = Fields(parse_toml(text, PATH, problems), PATH, problems)
    applied, rejecting = _applied(root)
    sets = _defined_sets(root.below("defined-sets"))
    made: dict[str, AdvertisementObserved] = {}
    known: set[str] = set()
    for index, entry in enumerate(root.each("policy-definitions")):
        policy = root.entry("policy-definitions", index, entry)
        name = policy.text("name")
        known.add(name)
        statements = policy.each("statements")
        policy.finish()
        for number, statement in enumerate(statements if name in applied else []):
            fields = policy.entry("statements", number, statement)
            fact = _statement(fields, sets, origin, rejecting=rejecting, fallback=f"{name}-{number}")
            if fact is None:
                continue
            if fact.name in made or len(made) == MAX_STATEMENTS:
                fields.unsupported("name", f"is {quoted(fact.name)}; name at most {MAX_STATEMENTS}, each once")
                continue
            made[fact.name] = fact._replace(created_ms=origin.created_ms + len(made))
    if rejecting and not made:
        root.unsupported("global.apply-policy.config", "accepts no route at all, and every one is announced; mend it")
    for missing in sorted(applied - known):
        root.unsupported("global.apply-policy.config", f"applies {quoted(missing)}, which is not defined; define it")
    root.finish()
    return PolicyFacts(tuple(made.values()), tuple(stopping_nothing(one) for one in problems), not rejecting)


def _applied(root: Fields) -> tuple[set[str], bool]:
    """The policies in use, and whether what they do not accept is rejected.

    GoBGP applied the import policies to its own routes as well.
    """
    world = root.below("global")
    apply = world.below("apply-policy")
    config = apply.below("config")
    names = {*config.each("import-policy-list"), *config.each("export-policy-list")}
    export, imported = config.text("default-export-policy"), config.text("default-import-policy")
    if export not in (*_ACCEPT, _REJECT_ROUTE):
        config.unsupported("default-export-policy", f"is {quoted(export)}; write {_ACCEPT_ROUTE} or {_REJECT_ROUTE}")
    if imported not in _ACCEPT:
        config.unsupported("default-import-policy", f"is {quoted(imported)}, but Porter takes no routes; remove it")
    for level in (config, apply, world):
        level.finish()
    return {name for name in names if isinstance(name, str)}, export == _REJECT_ROUTE


def _defined_sets(level: Fields) -> _Sets:
    prefixes: dict[str, tuple[AdvertisedPrefixes, ...] | None] = {}
    for index, entry in enumerate(level.each("prefix-sets")):
        one = level.entry("prefix-sets", index, entry)
        prefixes[one.text("prefix-set-name")] = _prefix_list(one)
        one.finish()
    neighbors: dict[str, tuple[Address, ...] | None] = {}
    for index, entry in enumerate(level.each("neighbor-sets")):
        one = level.entry("neighbor-sets", index, entry)
        neighbors[one.text("neighbor-set-name")] = _neighbor_list(one)
        one.finish()
    level.finish()
    return _Sets(prefixes, neighbors)


def _prefix_list(level: Fields) -> tuple[AdvertisedPrefixes, ...] | None:
    entries = level.each("prefix-list")
    if len(entries) > MAX_SET_ENTRIES:
        level.unsupported("prefix-list", f"holds {len(entries)} entries; at most {MAX_SET_ENTRIES} are allowed")
        return None
    found = set()
    for index, entry in enumerate(entries):
        one = level.entry("prefix-list", index, entry)
        prefix, lengths = Prefix(one.parsed("ip-prefix", parse_prefix)), one.text("masklength-range")
        one.finish()
        bounds = _lengths(prefix, lengths) if prefix else None
        if bounds is None:
            one.unsupported("masklength-range", f"is {quoted(lengths)} of {quoted(prefix)}; write one like 24..32")
            return None
        found.add(AdvertisedPrefixes(prefix, *bounds))
    return tuple(sorted(found))


def _lengths(prefix: Prefix, text: str) -> tuple[int, int] | None:
    """Read a masklength-range; without one only the prefix itself is meant."""
    length = ip_network(prefix).prefixlen
    if not text:
        return length, length
    low, dots, high = text.partition("..")
    if not dots or not (low.strip().isdigit() and high.strip().isdigit()) or len(text) > 16:
        return None
    least, most = int(low), int(high)
    return (least, most) if least <= most <= MAX_PREFIX_LENGTH[family_of(prefix)] else None


def _neighbor_list(level: Fields) -> tuple[Address, ...] | None:
    entries = level.each("neighbor-info-list")
    found = set()
    for index, entry in enumerate(entries[:MAX_SET_ENTRIES]):
        try:
            found.add(parse_address(str(entry).removesuffix("/128" if ":" in str(entry) else "/32")))
        except ValueError:
            level.unsupported(f"neighbor-info-list[{index}]", f"is {quoted(entry)}; write the address of one router")
            return None
    return tuple(sorted(found))


def _statement(
    fields: Fields, sets: _Sets, origin: Origin, *, rejecting: bool, fallback: str
) -> AdvertisementObserved | None:
    """Convert one statement; None where it is not applied, which a problem says."""
    name = fields.text("name", limit=200) or fallback[:200]
    before = len(fields.problems)
    conditions, actions = fields.below("conditions"), fields.below("actions")
    prefixes = _matched(conditions, "match-prefix-set", "prefix-set", sets.prefixes)
    neighbors = _matched(conditions, "match-neighbor-set", "neighbor-set", sets.neighbors)
    conditions.finish()
    disposition = actions.text("route-disposition")
    if disposition not in _ACCEPT:
        actions.unsupported("route-disposition", f"is {quoted(disposition)}; only {_ACCEPT_ROUTE} is honoured")
    if rejecting and disposition != _ACCEPT_ROUTE:
        actions.unsupported(
            "route-disposition", f"accepts nothing, and the default is {_REJECT_ROUTE}; accept or reject"
        )
    if prefixes is None or neighbors is None or len(fields.problems) > before:
        fields.unsupported("", "is not applied, because a part of it is not honoured; write a BgpAdvertisement")
        return None
    fact = AdvertisementObserved(
        name=NAME_PREFIX + name,
        uid="",
        resource_version=origin.version,
        generation=0,
        created_ms=origin.created_ms,
        prefixes=prefixes,
        neighbors=neighbors,
    )
    fact = _with_actions(fact, actions.below("bgp-actions"), origin.as_number)
    actions.finish()
    fields.finish()
    return fact


def _matched(
    conditions: Fields, name: str, key: str, sets: Mapping[str, tuple[_T, ...] | None]
) -> tuple[_T, ...] | None:
    """Look a condition's set up: an empty one restricts nothing, as with GoBGP; None where it is not understood."""
    if not conditions.has(name):
        conditions.taken(name)
        return ()
    match = conditions.below(name)
    wanted, options = match.text(key), match.text("match-set-options") or "any"
    match.finish()
    if options.lower() != "any":
        match.unsupported("match-set-options", f"is {quoted(options)}; only any is honoured")
        return None
    if not wanted:
        return ()
    if wanted not in sets:
        match.unsupported(key, f"names {quoted(wanted)}, which is not defined; define it under defined-sets")
    return sets.get(wanted)


def _with_actions(fact: AdvertisementObserved, actions: Fields, as_number: int) -> AdvertisementObserved:
    fact = fact._replace(
        med=_number(actions, "set-med"),
        local_pref=_number(actions, "set-local-pref"),
        communities=_communities(actions, "set-community", "communities-list"),
        large_communities=_communities(actions, "set-large-community", "communities-list"),
        as_path_prepend=_prepend(actions, as_number),
    )
    actions.finish()
    return fact


def _number(actions: Fields, name: str) -> int | None:
    """Take an absolute value; GoBGP's +10 and -10 change what a route has, and ours has nothing."""
    if not actions.has(name):
        return None
    value = actions.integer(name, -1, 0, MAX_ATTRIBUTE)
    return None if value < 0 else value


def _communities(actions: Fields, name: str, key: str) -> tuple[str, ...]:
    action = actions.below(name)
    options = action.text("options")
    method = action.below(f"{name}-method")
    large = name == "set-large-community"
    listed = communities(method, key, parse_large_community if large else parse_community)
    method.finish()
    action.finish()
    if options.lower() not in _ADDING:
        action.unsupported("options", f"is {quoted(options)}; only add and replace are honoured")
        return ()
    return listed


def _prepend(actions: Fields, as_number: int) -> int:
    prepend = actions.below("set-as-path-prepend")
    wanted = prepend.taken("as")
    times = prepend.integer("repeat-n", 0, 0, MAX_PREPEND, unit="times")
    prepend.finish()
    if times and str(wanted) not in ("last-as", str(as_number)):
        prepend.unsupported("as", f"is {quoted(wanted)}; only the speaker's own AS number {as_number} can be prepended")
        return 0
    return times
