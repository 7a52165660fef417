"""The ConfigMaps `bgp-cfg` and `policy` of old installations."""

import pytest
from structlog.testing import capture_logs

from porter.kube.facts import FactSettings
from porter.kube.facts.gobgp_config import seeds
from porter.kube.facts.gobgp_policy import Origin, policy_facts
from porter.kube.inventory import Inventory
from porter.kube.objects import KINDS
from porter.model.reasons import Reason
from porter.ports import FactKey
from tests.unit.kube.objects import raw

BGP_CFG = """
[global.config]
  as = 65000
  router-id = "192.0.2.2"
  port = 17900
[global.use-multiple-paths.config]
  enabled = true
[porter-config]
  using-port-forward = false
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.0.2.254"
    peer-as = 65001
  [neighbors.add-paths.config]
    send-max = 8
  [neighbors.ebgp-multihop.config]
    enabled = true
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = 60
  [neighbors.timers.config]
    hold-time = 30
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
[[neighbors]]
  [neighbors.config]
    neighbor-address = "2001:db8::1"
    peer-as = 65002
"""
POLICY = """
[global.apply-policy.config]
  export-policy-list = ["edge"]
  default-export-policy = "accept-route"
[[defined-sets.prefix-sets]]
  prefix-set-name = "public"
  [[defined-sets.prefix-sets.prefix-list]]
    ip-prefix = "192.0.2.0/24"
    masklength-range = "24..32"
  [[defined-sets.prefix-sets.prefix-list]]
    ip-prefix = "198.51.100.7/32"
[[defined-sets.neighbor-sets]]
  neighbor-set-name = "tors"
  neighbor-info-list = ["192.0.2.254", "192.0.2.253/32"]
[[policy-definitions]]
  name = "edge"
  [[policy-definitions.statements]]
    name = "mark"
    [policy-definitions.statements.conditions.match-prefix-set]
      prefix-set = "public"
      match-set-options = "any"
    [policy-definitions.statements.conditions.match-neighbor-set]
      neighbor-set = "tors"
    [policy-definitions.statements.actions]
      route-disposition = "accept-route"
      [policy-definitions.statements.actions.bgp-actions]
        set-med = "50"
        set-local-pref = 200
        [policy-definitions.statements.actions.bgp-actions.set-community]
          options = "add"
          [policy-definitions.statements.actions.bgp-actions.set-community.set-community-method]
            communities-list = ["65000:1", "no-export"]
        [policy-definitions.statements.actions.bgp-actions.set-large-community]
          options = "add"
          [policy-definitions.statements.actions.bgp-actions.set-large-community.set-large-community-method]
            communities-list = ["65000:1:2"]
        [policy-definitions.statements.actions.bgp-actions.set-as-path-prepend]
          as = "last-as"
          repeat-n = 3
  [[policy-definitions.statements]]
    [policy-definitions.statements.actions.bgp-actions]
      set-med = 10
[[policy-definitions]]
  name = "unused"
  [[policy-definitions.statements]]
    name = "never"
    [policy-definitions.statements.actions]
      route-disposition = "reject-route"
"""
ORIGIN = Origin(65000, "7", 1000)


def test_every_key_of_bgp_cfg_that_has_a_counterpart_is_taken():
    conf, (first, second) = seeds(BGP_CFG, "7", 1000)
    assert (conf.name, conf.uid, conf.as_number, conf.router_id, conf.listen_port) == (
        "default", "", 65000, "192.0.2.2", 17900,
    )  # fmt: skip
    assert (conf.problems, first.problems, second.problems) == ((), (), ())
    assert (first.name, first.address, first.peer_as) == ("bgp-cfg-192-0-2-254", "192.0.2.254", 65001)
    assert (first.max_next_hops, first.multihop_ttl, first.restart_time_s, first.hold_time_s) == (8, 255, 60, 30)
    assert (first.families, first.uid, first.created_ms) == (("IPv4",), "", 1000)
    assert (second.name, second.families) == ("bgp-cfg-2001-db8--1", ("IPv4", "IPv6"))


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ("[zebra.config]\nenabled = true", "bgp-cfg[config.toml].zebra"),
        ("[global.confederation.config]\nenabled = true", "bgp-cfg[config.toml].global.confederation"),
        ("[porter-config]\nusing-port-forward = true", "bgp-cfg[config.toml].porter-config.using-port-forward"),
        (
            "[global.config]\nas = 1\nlocal-address-list = ['192.0.2.1']",
            "bgp-cfg[config.toml].global.config.local-address-list",
        ),
        ("[[neighbors]]\nconfig.peer-as = 1", "bgp-cfg[config.toml].neighbors[0].config.neighbor-address"),
    ],
)  # fmt: skip
def test_an_unknown_key_of_bgp_cfg_is_named_and_stops_nothing(extra, field):
    text = extra if "[global.config]" in extra else "[global.config]\nas = 1\n" + extra
    conf, _ = seeds(text, "7", 0)
    assert [(p.reason, p.field) for p in conf.problems] == [(Reason.FIELD_UNSUPPORTED, field)]
    assert conf.as_number == 1


@pytest.mark.parametrize(
    ("keys", "field", "reason"),
    [
        ("config.auth-password = 'hunter2'", "config.auth-password", Reason.FIELD_UNSUPPORTED),
        ("addAaths.config.send-max = 8", "addAaths", Reason.FIELD_UNSUPPORTED),
        ("config.peer-as = 'many'", "config.peer-as", Reason.FIELD_INVALID),
        ("timers.config.hold-time = 2", "timers.config.hold-time", Reason.FIELD_INVALID),
        ("afi-safis = [{config = {afi-safi-name = 'l2vpn-evpn'}}]", "afi-safis", Reason.FIELD_INVALID),
    ],
)
def test_a_neighbor_says_itself_what_of_it_is_not_honoured(keys, field, reason):
    own = "" if "peer-as" in keys else "config.peer-as = 65001\n"
    text = f"[global.config]\nas = 1\n[[neighbors]]\nconfig.neighbor-address = '192.0.2.1'\n{own}{keys}"
    conf, (peer,) = seeds(text, "7", 0)
    assert conf.problems == ()
    assert (reason, f"bgp-cfg[config.toml].neighbors[0].{field}") in {(p.reason, p.field) for p in peer.problems}
    assert "hunter2" not in repr(peer)


def test_a_map_that_is_no_toml_says_so():
    conf, peers = seeds("as: 65000", "7", 0)
    assert conf.problems[0].field in {"bgp-cfg[config.toml]", "bgp-cfg[config.toml].global.config.as"}
    assert any("no TOML" in problem.message for problem in conf.problems)
    assert peers == ()


def test_a_policy_becomes_advertisements():
    (mark, unnamed), problems, accepts_rest = policy_facts(POLICY, ORIGIN)
    assert accepts_rest
    assert problems == ()
    assert (mark.name, mark.uid, mark.created_ms) == ("policy-mark", "", 1000)
    assert mark.prefixes == (("192.0.2.0/24", 24, 32), ("198.51.100.7/32", 32, 32))
    assert mark.neighbors == ("192.0.2.253", "192.0.2.254")
    assert (mark.med, mark.local_pref, mark.as_path_prepend) == (50, 200, 3)
    assert (mark.communities, mark.large_communities) == (("65000:1", "65535:65281"), ("65000:1:2",))
    # An earlier statement counts as the older one.
    assert (unnamed.name, unnamed.prefixes, unnamed.med, unnamed.created_ms) == ("policy-edge-1", (), 10, 1001)


def statement(conditions="", actions="", sets=""):
    return f"""
[global.apply-policy.config]
  import-policy-list = ["p"]
{sets}
[[policy-definitions]]
  name = "p"
  [[policy-definitions.statements]]
    name = "s"
    conditions = {{ {conditions} }}
    actions = {{ {actions} }}
"""


def rejecting(text):
    key = "default-export-policy = 'reject-route'"
    return text.replace("import-policy-list", f"{key}\nimport-policy-list") or f"[global.apply-policy.config]\n{key}"


ROOT = "spec.policy[gobgp.conf]"
STATEMENT = f"{ROOT}.policy-definitions[0].statements[0]"


@pytest.mark.parametrize(
    ("text", "field", "applied"),
    [
        (statement("bgp-conditions = {route-type = 'local'}"), f"{STATEMENT}.conditions.bgp-conditions", False),
        (
            statement("match-prefix-set = {prefix-set = 'x'}"),
            f"{STATEMENT}.conditions.match-prefix-set.prefix-set",
            False,
        ),
        (
            statement("match-neighbor-set = {neighbor-set = 'x', match-set-options = 'invert'}"),
            f"{STATEMENT}.conditions.match-neighbor-set.match-set-options",
            False,
        ),
        (statement(actions="route-disposition = 'reject-route'"), f"{STATEMENT}.actions.route-disposition", False),
        (
            statement(actions="bgp-actions = {set-med = 1, set-next-hop = 'self'}"),
            f"{STATEMENT}.actions.bgp-actions.set-next-hop",
            True,
        ),
        (statement(actions="bgp-actions = {set-med = '+10'}"), f"{STATEMENT}.actions.bgp-actions.set-med", True),
        (
            statement(actions="bgp-actions = {set-community = {options = 'remove'}}"),
            f"{STATEMENT}.actions.bgp-actions.set-community.options",
            True,
        ),
        (
            statement(actions="bgp-actions = {set-as-path-prepend = {as = '65009', repeat-n = 2}}"),
            f"{STATEMENT}.actions.bgp-actions.set-as-path-prepend.as",
            True,
        ),
        (statement(sets="[[defined-sets.tag-sets]]\nx = 1"), f"{ROOT}.defined-sets.tag-sets", True),
        (
            statement(
                sets="[[defined-sets.prefix-sets]]\n"
                "prefix-list = [{ip-prefix = '192.0.2.0/24', masklength-range = '32'}]"
            ),
            f"{ROOT}.defined-sets.prefix-sets[0].prefix-list[0].masklength-range",
            True,
        ),
        (statement(sets="[rpki]\na = 1"), f"{ROOT}.rpki", True),
        ("[global.apply-policy.config]\nexport-policy-list = ['gone']", f"{ROOT}.global.apply-policy.config", False),
        (
            statement().replace("import-policy-list", "default-import-policy = 'reject-route'\nimport-policy-list"),
            f"{ROOT}.global.apply-policy.config.default-import-policy",
            True,
        ),
        (rejecting(statement()), f"{STATEMENT}.actions.route-disposition", False),
        (rejecting(""), f"{ROOT}.global.apply-policy.config", False),
        ("policy", ROOT, False),
    ],
)  # fmt: skip
def test_what_of_a_policy_is_not_honoured_is_named_and_stops_nothing_else(text, field, applied):
    made, problems, _ = policy_facts(text, ORIGIN)
    assert field in {problem.field for problem in problems}
    assert {problem.reason for problem in problems} == {Reason.FIELD_UNSUPPORTED}
    # A statement without its condition would say something else, so that it is not applied at all.
    assert [one.name for one in made] == (["policy-s"] if applied else [])


def test_a_policy_that_rejects_by_default_announces_what_a_statement_accepts():
    accepting = statement(actions="route-disposition = 'accept-route'")
    (only,), problems, accepts_rest = policy_facts(rejecting(accepting), ORIGIN)
    assert (only.name, problems, accepts_rest) == ("policy-s", (), False)


# --------------------------------------------------------------------------------------- beside the API's objects

CONF_KEY, PEER_KEY = FactKey("Conf", "default"), FactKey("Peer", "bgp-cfg-192-0-2-254")


@pytest.fixture
def inventory():
    filled = Inventory(FactSettings())
    for kind in KINDS:
        filled.begin_listing(kind)
        filled.end_listing(kind)
    return filled


def config_map(name, data, namespace="porter-system", **metadata):
    return raw("ConfigMap", name, namespace=namespace, metadata={"namespace": namespace} | metadata, data=data)


SEED = config_map("bgp-cfg", {"config.toml": BGP_CFG})


def conf(**spec):
    return raw("BgpConf", "default", spec={"as": 64512} | spec)


def peer(address, name="tor"):
    return raw("BgpPeer", name, spec={"conf": {"neighborAddress": address, "peerAs": 64513}})


async def test_bgp_cfg_counts_until_an_object_of_the_api_says_otherwise(inventory):
    inventory.put("ConfigMap", SEED)
    assert inventory.facts[CONF_KEY].as_number == 65000
    assert inventory.facts[PEER_KEY].peer_as == 65001
    await inventory.changed()
    inventory.put("BgpConf", conf())
    assert inventory.facts[CONF_KEY].as_number == 64512
    inventory.put("BgpPeer", peer("192.0.2.254"))
    assert PEER_KEY not in inventory.facts
    assert FactKey("Peer", "bgp-cfg-2001-db8--1") in inventory.facts
    assert await inventory.changed() == {CONF_KEY, PEER_KEY, FactKey("Peer", "tor")}
    inventory.remove("BgpConf", conf())
    inventory.put("BgpPeer", peer("192.0.2.9"))
    assert inventory.facts[CONF_KEY].as_number == 65000
    assert inventory.facts[PEER_KEY].peer_as == 65001
    inventory.remove("ConfigMap", SEED)
    assert [key for key in inventory.facts if key.kind in {"Conf", "Peer"}] == [FactKey("Peer", "tor")]


async def test_an_object_of_the_same_name_is_never_overwritten(inventory):
    inventory.put("ConfigMap", SEED)
    inventory.put("BgpPeer", peer("192.0.2.77", name=PEER_KEY.name))
    assert inventory.facts[PEER_KEY].peer_as == 64513
    inventory.put("ConfigMap", SEED)
    assert inventory.facts[PEER_KEY].peer_as == 64513
    inventory.remove("BgpPeer", peer("192.0.2.77", name=PEER_KEY.name))
    assert inventory.facts[PEER_KEY].peer_as == 65001


async def test_maps_of_other_namespaces_are_nobody(inventory):
    inventory.put("ConfigMap", config_map("bgp-cfg", {"config.toml": BGP_CFG}, namespace="shop"))
    assert inventory.facts == {}


async def test_the_policy_that_a_conf_names_comes_and_goes_with_both(inventory):
    key = FactKey("Advertisement", "policy-mark")
    inventory.put("BgpConf", conf(policy="my-policy"))
    (problem,) = inventory.facts[CONF_KEY].problems
    assert (problem.reason, problem.field) == (Reason.FIELD_UNSUPPORTED, "spec.policy")
    assert "create it" in problem.message
    inventory.put("ConfigMap", config_map("my-policy", {"gobgp.conf": POLICY}))
    assert inventory.facts[CONF_KEY].problems == ()
    assert inventory.facts[key].med == 50
    # A policy restricts nothing: what no statement is about still goes to every peer, unless advertisements say more.
    rest = FactKey("Advertisement", "default-export-policy")
    assert (inventory.facts[rest].prefixes, inventory.facts[rest].peers) == ((), ())
    inventory.put("BgpAdvertisement", raw("BgpAdvertisement", "own", spec={}))
    assert rest not in inventory.facts
    inventory.remove("BgpAdvertisement", raw("BgpAdvertisement", "own", spec={}))
    assert rest in inventory.facts
    inventory.put("ConfigMap", config_map("my-policy", {"gobgp.conf": POLICY + "[zebra]\na = 1"}, resourceVersion="8"))
    assert [p.field for p in inventory.facts[CONF_KEY].problems] == ["spec.policy[gobgp.conf].zebra"]
    assert key in inventory.facts
    inventory.put("BgpConf", conf())
    assert key not in inventory.facts
    assert inventory.facts[CONF_KEY].problems == ()


async def test_a_policy_is_not_missed_before_the_maps_are_listed():
    inventory = Inventory(FactSettings())
    inventory.begin_listing("BgpConf")
    inventory.put("BgpConf", conf(policy="my-policy"))
    assert inventory.facts[CONF_KEY].problems == ()
    inventory.begin_listing("ConfigMap")
    inventory.end_listing("ConfigMap")
    assert [p.field for p in inventory.facts[CONF_KEY].problems] == ["spec.policy"]


def test_what_is_not_honoured_is_logged_once_for_each_defect():
    inventory = Inventory(FactSettings())
    broken = {"config.toml": "[global.config]\nas = 65000\n[zebra.config]\nenabled = true"}
    worse = {"config.toml": broken["config.toml"] + "\n[[neighbors]]\nconfig.peer-as = 1"}
    with capture_logs() as logged:
        for data in (broken, broken, worse):
            inventory.put("ConfigMap", config_map("bgp-cfg", data))
    fields = [one["field"] for one in logged if one["log_level"] == "warning"]
    assert fields == [
        "bgp-cfg[config.toml].zebra",
        "bgp-cfg[config.toml].neighbors[0].config.neighbor-address",
    ]
