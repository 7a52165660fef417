"""Which option of a session is tested against which router, read from the tests themselves.

`scripts/reference` writes docs/reference/session-options.md from it, and a test compares the two.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ROUTERS = {"frr": "FRR 8.4", "bird": "BIRD 2.0", "gobgp": "GoBGP 3.10"}
ENGINES = {"exabgp": "ExaBGP", "gobgp": "GoBGP"}
WITH_BOTH_ENGINES = {"engine_lab", "watched"}
"""Fixtures that run a test with each engine in turn."""
BGP, LAB = "tests.integration.bgp.", "tests.lab."
HEAD = """# Options of a session, and the routers that they are tested with

Written by `scripts/reference` from the tests. **yes** means with both engines; where one is named, it is with that one
alone. Every option is one of `BgpPeer` (`kubectl explain bgpp.spec`) or of its `BgpConf`.

| option | {routers} | tests |
|---|{lines}
"""


class Option(NamedTuple):
    """One option, the tests that prove it, and why a router is in none of them."""

    name: str
    tests: tuple[str, ...]
    untested: Mapping[str, str] = {}


NO_MATTER = "it concerns our side alone, and FRR and BIRD stand for it"
OPTIONS = (
    Option(
        "MD5 password, inline and from a Secret, rotated",
        (
            f"{BGP}test_passwords.test_a_rotated_password_restarts_its_own_session_alone",
            f"{LAB}test_changes.test_a_peer_comes_changes_its_password_and_goes",
        ),
        {"gobgp": "GoBGP takes another password of a neighbour only by ending its session"},
    ),
    Option("MD5 password, over IPv6", (f"{BGP}test_both_engines.test_a_password_over_ipv6",)),
    Option(
        "eBGP multihop",
        (f"{BGP}test_both_engines.test_both_families_over_ipv6", f"{BGP}test_ttl.test_how_far_packets_go"),
    ),
    Option(
        "TTL security (RFC 5082), over IPv4 and IPv6",
        (
            f"{BGP}test_both_engines.test_ttl_security",
            f"{BGP}test_ttl.test_how_far_packets_go",
            f"{BGP}test_ttl.test_with_ttl_security_no_packet_of_a_far_router_counts",
        ),
    ),
    Option(
        "TTL security with a passive session",
        (
            f"{BGP}test_ttl.test_bird_calls_with_ttl_security",
            f"{BGP}test_gobgp.test_frr_calls_with_ttl_security",
        ),
        {"gobgp": NO_MATTER},
    ),
    Option(
        "passive: the router connects",
        (
            f"{BGP}test_session_options.test_a_passive_session_waits_for_the_router",
            f"{BGP}test_gobgp.test_a_session_that_waits_with_a_key_comes_up_when_it_is_called",
            f"{BGP}test_gobgp.test_frr_calls_with_ttl_security",
        ),
    ),
    Option(
        "port and local address",
        (f"{BGP}test_both_engines.test_large_as_numbers_three_seconds_and_another_local_address",),
    ),
    Option(
        "router id",
        (
            f"{BGP}test_routers.test_three_routers_hold_every_path",
            f"{BGP}test_gobgp.test_two_routers_hold_every_path",
        ),
    ),
    Option(
        "hold time from 3 s on",
        (f"{BGP}test_both_engines.test_large_as_numbers_three_seconds_and_another_local_address",),
    ),
    Option(
        "connect retry: a change restarts no session",
        (f"{BGP}test_both_engines.test_another_time_between_attempts_restarts_no_session",),
        dict.fromkeys(("frr", "gobgp"), "it concerns our side alone, and BIRD stands for it"),
    ),
    Option(
        "IPv4 and IPv6 unicast over IPv4",
        (
            f"{BGP}test_routers.test_three_routers_hold_every_path",
            f"{BGP}test_gobgp.test_two_routers_hold_every_path",
        ),
    ),
    Option("IPv4 and IPv6 unicast over IPv6", (f"{BGP}test_both_engines.test_both_families_over_ipv6",)),
    Option(
        "extended next hop (RFC 8950)",
        (f"{BGP}test_extended_next_hop.test_a_node_without_an_ipv4_address_is_a_next_hop_of_ipv4_routes",),
    ),
    Option("ADD-PATH (RFC 7911)", (f"{BGP}test_both_engines.test_both_families_over_ipv6",)),
    Option(
        "a router without ADD-PATH",
        (
            f"{BGP}test_routers.test_a_peer_without_add_path_has_its_path_replaced_in_place",
            f"{BGP}test_gobgp.test_a_peer_without_add_path_has_its_path_replaced_in_place",
            f"{LAB}test_peers.test_without_add_path_one_next_hop_is_replaced_in_place",
        ),
    ),
    Option(
        "graceful restart: no route is lost by the engine's end",
        (
            f"{BGP}test_gobgp.test_no_prefix_is_lost_when_a_process_is_killed",
            f"{BGP}test_routers.test_no_route_is_lost_when_a_process_is_killed",
            f"{LAB}test_faults.test_fault",
        ),
        {"gobgp": "FRR and BIRD, whose kernels can be watched, stand for it"},
    ),
    Option(
        "graceful restart time 0",
        (f"{BGP}test_session_options.test_without_graceful_restart",),
    ),
    Option(
        "a router that restarts gracefully",
        (f"{LAB}test_faults.test_fault",),
        {"gobgp": "GoBGP as a router keeps no kernel routes of its own over a restart"},
    ),
    Option(
        "large AS numbers, internal and external",
        (
            f"{BGP}test_session_options.test_as_numbers",
            f"{BGP}test_both_engines.test_large_as_numbers_three_seconds_and_another_local_address",
        ),
    ),
    Option(
        "local AS of a rack (`asPerRack`)",
        (
            f"{BGP}test_session_options.test_as_numbers",
            f"{LAB}test_session_options.test_the_session_of_a_rack_has_the_racks_as_number_and_nodes",
        ),
    ),
    Option(
        "admin down; description; limit of next hops",
        (
            f"{LAB}test_peer_conditions.test_limits_timers_and_what_has_no_effect",
            f"{LAB}test_session_options.test_admin_down_ends_one_session_until_it_is_taken_back",
        ),
        {"gobgp": NO_MATTER},
    ),
    Option(
        "communities, large communities, well-known names, GRACEFUL_SHUTDOWN, MED, prepending",
        (f"{BGP}test_advertisements.test_an_external_router_receives_what_the_advertisements_say",),
    ),
    Option(
        "local preference",
        (f"{BGP}test_advertisements.test_an_internal_router_receives_the_local_preference_and_no_prepending",),
    ),
    Option(
        "aggregation",
        (f"{BGP}test_advertisements.test_an_aggregate_comes_with_its_first_member_and_goes_with_the_last",),
    ),
    Option(
        "`bfd`",
        (
            f"{BGP}test_bfd.test_a_path_that_goes_down_takes_the_session_with_it_and_brings_it_back",
            f"{LAB}test_bfd.test_a_dead_path_costs_a_second_and_no_other_router_notices",
            f"{LAB}test_gobgp.test_a_dead_path_costs_a_second_and_no_other_session",
        ),
        {"gobgp": "GoBGP 3.10 has no BFD"},
    ),
)


class Coverage(NamedTuple):
    """The routers that a test runs against, and the engines that it runs with."""

    routers: frozenset[str]
    engines: frozenset[str]


def coverage_of(test: str) -> Coverage:
    """Read off a test, named by module and function, what it covers.

    Raises:
        AttributeError, ModuleNotFoundError: there is no such test.
    """
    module, _, name = test.rpartition(".")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    fixtures = set(inspect.signature(function).parameters)
    if module.endswith(".test_gobgp"):
        engines = {"gobgp"}
    else:
        engines = set(ENGINES) if fixtures & WITH_BOTH_ENGINES else {"exabgp"}
    return Coverage(frozenset(_routers_of(module, function)), frozenset(engines))


def _routers_of(module: str, function: Callable[..., Any]) -> set[str]:
    if module.startswith(LAB):
        return {"frr", "bird"}
    for mark in getattr(function, "pytestmark", ()):
        if mark.name == "parametrize" and mark.args[0] == "kind":
            return set(mark.args[1])
    return set(re.findall(r"\.(bird|frr|gobgp)\(", inspect.getsource(function)))


def cell(option: Option, router: str) -> str:
    """What the table says of one option and one router."""
    covering = [coverage for coverage in map(coverage_of, option.tests) if router in coverage.routers]
    reason = option.untested.get(router)
    if not covering:
        assert reason, f"no test of {option.name} with {router}: write one, or say why there is none"
        return f"no: {reason}"
    assert reason is None, f"{option.name} is tested with {router}"
    engines = frozenset[str]().union(*(coverage.engines for coverage in covering))
    return "**yes**" if engines == set(ENGINES) else " and ".join(ENGINES[engine] for engine in sorted(engines))


def page() -> str:
    """The page of the reference."""
    lines = [HEAD.format(routers=" | ".join(ROUTERS.values()), lines="---|" * (len(ROUTERS) + 1))]
    for option in OPTIONS:
        tests = ", ".join(
            f"`{test.removeprefix('tests.').replace('.', '/', test.count('.') - 2)}`" for test in option.tests
        )
        lines.append(f"| {option.name} | {' | '.join(cell(option, router) for router in ROUTERS)} | {tests} |\n")
    return "".join(lines)
