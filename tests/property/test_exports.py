"""Following changes gives each peer what computing everything anew gives, whatever is advertised."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from porter.app.speaker.adj_rib import AdjRibsOut
from porter.events import decided, observed
from porter.model.address import Address
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SpeakerName
from porter.model.reasons import Problem, Reason
from porter.model.selector import Requirement, Selector
from porter.projections import baseline
from porter.projections.adj_rib_out import adj_rib_out, exported_from
from tests.unit.projections.story import Story, endpoints, node, pool, service

PEERS = ("r1", "r2")
ADD_PATH = Negotiated(frozenset({"IPv4"}), frozenset({"IPv4"}), 90)
WRONG = (Problem(Reason.FIELD_INVALID, "spec", "is wrong"),)
SELECTORS = ((), (Selector((("t", "x"),)),), (Selector((), (Requirement("t", "Exists"),)),))
LABELS = ((), (("t", "x"),), (("t", "y"),))

labels = st.sampled_from(LABELS)
selectors = st.sampled_from(SELECTORS)
wrong = st.sampled_from(((), (), (), WRONG))
advertisements = st.fixed_dictionaries(
    {
        "created_ms": st.integers(1, 3),
        "pools": st.sampled_from(((), ("p",), ("q",))),
        "pool_selector": selectors,
        "service_selector": selectors,
        "peers": st.sampled_from(((), ("r1",))),
        "node_selectors": selectors,
        "communities": st.sampled_from(((), ("1:1",), ("1:2",))),
        "med": st.sampled_from((None, 0, 5)),
        "aggregation_length": st.sampled_from((0, 0, 24, 30, 31)),
        "problems": wrong,
    }
)
RANGES = ("192.0.2.0-192.0.2.9", "192.0.2.2-192.0.2.6", "192.0.2.0-192.0.2.255")
steps = st.one_of(
    st.tuples(st.just("advertisement"), st.sampled_from("ab"), advertisements),
    st.tuples(st.just("advertisement"), st.sampled_from("ab"), advertisements),
    st.tuples(st.just("advertisement gone"), st.sampled_from("ab")),
    st.tuples(st.just("service"), st.integers(1, 5), labels, st.sampled_from(("Cluster", "Local"))),
    st.tuples(st.just("service"), st.integers(1, 5), labels, st.sampled_from(("Cluster", "Local"))),
    st.tuples(st.just("service gone"), st.integers(1, 5)),
    st.tuples(st.just("endpoints"), st.integers(1, 5), st.sampled_from(((), ("n1",), ("n1", "n2")))),
    st.tuples(st.just("node"), st.integers(1, 3), labels, st.booleans()),
    st.tuples(st.just("pool"), st.sampled_from(RANGES), labels, wrong),
    st.tuples(st.just("pool gone")),
    st.tuples(st.just("drain"), st.sampled_from(("begin", "now", "elapse", "end"))),
    st.tuples(st.just("peer"), st.sampled_from(PEERS), labels, selectors, wrong),
)


def peer(name: str, **fields: Any) -> observed.PeerObserved:
    return observed.PeerObserved(name, name, "1", 1, Address("10.0.0.254"), 64513)._replace(**fields)


def apply(story: Story, step: tuple[Any, ...]) -> None:
    match step:
        case ("advertisement", name, fields):
            story.says(observed.AdvertisementObserved(name, name, "1", 1, 1)._replace(**fields))
        case ("advertisement gone", name):
            story.says(observed.AdvertisementGone(name))
        case ("service", number, own, policy):
            asked = "q" if number == 5 else ""
            story.says(service(f"s{number}", labels=own, traffic_policy=policy, requested_pool=asked))
        case ("service gone", number):
            story.says(observed.ServiceGone(f"s{number}", "shop", f"s{number}", Reason.SERVICE_DELETED))
        case ("endpoints", number, nodes):
            story.says(endpoints(f"s{number}", *nodes))
        case ("node", number, own, ready):
            story.says(node(number, ready=ready, labels=own))
        case ("pool", ranges, own, problems):
            story.says(pool("p", ranges, default=True, labels=own, problems=problems))
        case ("pool gone",):
            story.says(observed.PoolGone("p", "p"))
        case ("drain", "begin" | "now" as how):
            story.says(decided.SpeakerDrained("s", "ada", "", 10_000 if how == "begin" else 0))
        case ("drain", "elapse"):
            story.says(decided.SpeakerDrainElapsed("s"))
        case ("drain", _):
            story.says(decided.SpeakerUndrained("s", "ada", ""))
        case ("peer", name, own, selector, problems):
            chosen = selector[0] if selector else Selector()
            story.says(
                peer(
                    name,
                    labels=own,
                    node_selector=chosen.labels,
                    node_expressions=chosen.expressions,
                    problems=problems,
                )
            )


class Follower:
    """What the speaker does with each page, and what its publisher would have been told."""

    def __init__(self, story: Story) -> None:
        self.ribs = AdjRibsOut(SpeakerName("s"))
        self.seen: object = None
        self.told: dict[str, dict[RouteKey, PathAttributes]] = {}
        for name in PEERS:
            self.ribs.negotiated(PeerKey(name), ADD_PATH)
        self.follow(story)

    def follow(self, story: Story) -> None:
        prefixes, exported = story.state.loc_rib.take_changed(), exported_from(story.state)
        if exported != self.seen:
            self.seen = exported
            desired = self.ribs.whole(story.state, certain=True)
        else:
            desired = self.ribs.changed(story.state, prefixes, certain=True)
        for each in desired:
            routes = dict(each.routes)
            if each.changed is not None:
                before = self.told[each.peer]
                differing = {key for key in before.keys() | routes.keys() if before.get(key) != routes.get(key)}
                assert differing == each.changed
            self.told[each.peer] = routes


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=25), st.integers(1, 3))
def test_following_gives_what_computing_anew_gives(history: list[tuple[Any, ...]], every: int) -> None:
    story = Story(
        *(node(number, labels=LABELS[number % 3]) for number in (1, 2, 3)),
        pool("p", RANGES[0], default=True, labels=LABELS[1]),
        pool("q", "198.51.100.0-198.51.100.255"),
        observed.ConfObserved("default", "c", "1", 1, 64512),
        *(peer(name) for name in PEERS),
        *(service(f"s{number}", labels=LABELS[number % 3]) for number in range(1, 4)),
        *(endpoints(f"s{number}", "n1") for number in range(1, 4)),
    )
    story.settles()
    follower = Follower(story)
    for number, step in enumerate(history):
        apply(story, step)
        if number % every == 0:
            story.settles()
            follower.follow(story)
    story.settles()
    follower.follow(story)
    fresh = baseline.decode(baseline.encode(story.state))
    assert fresh == story.state
    for name in PEERS:
        wanted = adj_rib_out(fresh, name, "s", ADD_PATH)
        assert follower.told[name] == wanted
        hosts = frozenset(story.state.loc_rib.routes)
        assert wanted == adj_rib_out(
            story.state,
            name,
            "s",
            ADD_PATH,
            story.state.exports.with_aggregates(
                story.state.exports.policy(name),
                hosts,  # type: ignore[arg-type]
            ),
        )
