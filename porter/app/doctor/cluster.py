"""The checks of a Kubernetes cluster around Porter: versions, CRDs, the Lease and its anchor, and who else is there."""

from __future__ import annotations

import re
import time
from pathlib import Path

from porter.app.doctor import Check, ok, problem, unknown, warning
from porter.kube.client import ApiUnavailable, InvalidKubeconfig, KubeClient
from porter.kube.examination import ClusterFacts, LeaseFacts, examine_cluster

API = "API server"
VERSION_MIN = (1, 31)
"""The first version whose CRDs may use the IP and CIDR functions of CEL."""
RESOURCES = frozenset({"eips", "bgpconfs", "bgppeers", "bgpadvertisements"})
LEASES_MISSED_MAX = 3
CLOCK_AHEAD_MAX_S = 2.0

OTHERS = {
    "MetalLB": re.compile(r"/(metallb-)?(controller|speaker)$"),
    "kube-vip": re.compile(r"/kube-vip"),
    "OpenELB": re.compile(r"/openelb-"),
    "PureLB": re.compile(r"/(lbnodeagent|allocator)$"),
    "ServiceLB": re.compile(r"/svclb-"),
}
"""Other controllers that give addresses to Services of type LoadBalancer, by the names of what runs them."""
OF_NAMESPACE = {"MetalLB": "metallb", "PureLB": "purelb"}
"""Names that are too common to say anything outside of these namespaces."""


async def cluster_checks(kubeconfig: Path | None, namespace: str, genesis: str, position: int) -> list[Check]:
    """Ask the API server; one that does not answer is a finding.

    Args:
        kubeconfig: the file; None is the Pod's own service account.
        namespace: Porter's own.
        genesis: the journal's, "" where it was not reached.
        position: the journal's head.
    """
    try:
        client = await KubeClient.connect(kubeconfig)
    except InvalidKubeconfig as error:
        return [problem("api", API, str(error), "name a kubeconfig that works with --kubeconfig")]
    try:
        facts = await examine_cluster(client, namespace)
    except ApiUnavailable as error:
        return [problem("api", API, str(error), "see the network, and the kubeconfig's server")]
    finally:
        await client.close()
    return judged(facts, time.time(), genesis, position)


def judged(facts: ClusterFacts, now_s: float, genesis: str, position: int) -> list[Check]:
    """What the facts say; `now_s` is this machine's time in Unix seconds."""
    checks = [
        unknown(name, API, f"it may not be read: {reason}", "grant the right, or ask with other credentials")
        for name, reason in facts.refused
    ]
    if facts.version is not None:
        checks.append(_version(facts.version))
    if facts.resources is not None:
        checks.append(_resources(facts.resources))
    if facts.lease is not None:
        checks += [_lease(facts.lease, now_s), _anchor(facts.lease, genesis, position)]
    if facts.proxy is not None:
        checks.append(_proxy(facts))
    if facts.workloads is not None:
        checks += _others(facts.workloads)
    return checks


def _version(text: str) -> Check:
    numbers = re.match(r"v?(\d+)\.(\d+)", text)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) >= VERSION_MIN:
        return ok("version", API, text)
    wanted = ".".join(map(str, VERSION_MIN))
    return problem("version", API, f"it is {text}, and Porter's CRDs need {wanted}", "upgrade the cluster")


def _resources(served: frozenset[str]) -> Check:
    missing = sorted(RESOURCES - served)
    if not missing:
        return ok("crds", API, "every kind of Porter's is served")
    mend = "`porter crds | kubectl apply --server-side -f -`"
    return problem("crds", API, f"these kinds are not served: {', '.join(missing)}", mend)


def _lease(lease: LeaseFacts, now_s: float) -> Check:
    if not lease.holder:
        return problem("lease", "Lease/porter-controller", "nobody holds it", "see that a controller runs")
    age_s = now_s - lease.renewed_s
    if age_s < -CLOCK_AHEAD_MAX_S:
        message = f"{lease.holder} renewed it {-age_s:.0f} s in the future"
        return warning("clock.lease", "Lease/porter-controller", message, "synchronise the clocks (NTP)")
    if age_s > LEASES_MISSED_MAX * max(1, lease.duration_s):
        message = f"{lease.holder} renewed it {age_s:.0f} s ago, and it stands for {lease.duration_s} s"
        mend = "runbook PorterNoLeader; or synchronise the clocks (NTP)"
        return problem("lease", "Lease/porter-controller", message, mend)
    return ok("lease", "Lease/porter-controller", f"{lease.holder} renewed it {max(0.0, age_s):.0f} s ago")


def _anchor(lease: LeaseFacts, genesis: str, position: int) -> Check:
    where, anchor = "Lease/porter-controller", lease.anchor
    if lease.anchor_problem:
        return problem("anchor", where, lease.anchor_problem, "restore the annotation; the leader writes it anew")
    if anchor is None:
        return warning("anchor", where, "it has no anchor yet", "wait for a leader; a loss could not be noticed by it")
    if not genesis:
        return unknown("anchor", where, f"it is at #{anchor.position}; no journal was reached", "see the other checks")
    if anchor.genesis != genesis:
        message = f"it is of the journal {anchor.genesis}, and the journal is {genesis}"
        return problem("anchor", where, message, "see that --redis-url and --cluster name the cluster's own journal")
    if anchor.position > position:
        message = f"it is at #{anchor.position}, and the journal ends at #{position}: what lies between is lost"
        return problem("anchor", where, message, "a leader recovers by itself; runbook PorterJournalRecovering")
    return ok("anchor", where, f"#{anchor.position}, not beyond the journal's end at #{position}")


def _proxy(facts: ClusterFacts) -> Check:
    where, settings = "ConfigMap/kube-system/kube-proxy", facts.proxy or {}
    if not settings:
        return ok("kubeProxy", where, "there is none: another implementation serves Services")
    mode = settings.get("mode") or "iptables"
    strict = bool((settings.get("ipvs") or {}).get("strictARP"))
    if mode != "ipvs" or strict:
        return ok("kubeProxy", where, f"mode {mode}" + (", strictARP" if strict else ""))
    message = "mode ipvs without strictARP: every node answers ARP for the Services' addresses"
    mend = "set ipvs.strictARP to true; needed for layer 2, and for pools inside of the nodes' own subnet"
    return warning("kubeProxy", where, message, mend)


def _others(workloads: tuple[str, ...]) -> list[Check]:
    found = []
    for name, pattern in OTHERS.items():
        mine = [one for one in workloads if pattern.search(one) and OF_NAMESPACE.get(name, "") in one]
        if mine:
            message = f"{name} runs here, too ({', '.join(mine[:3])})"
            mend = (
                f"see that one of the two claims each Service: give {name}'s a loadBalancerClass of its own, and do "
                "not set --claim-unclassified; `porter migrate` moves what it has"
            )
            found.append(warning("otherControllers", "cluster", message, mend))
    return found or [ok("otherControllers", "cluster", "no other load balancer is known to run here")]
