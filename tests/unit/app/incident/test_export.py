"""An exported history: the same answers from the file, the same journal after an import, and nobody's names in it."""

from __future__ import annotations

import json
import zlib
from ipaddress import ip_address, ip_network

import msgpack
import pytest

from porter.app.answers.verify import verify
from porter.app.history.moments import Moment
from porter.app.incident import direct
from porter.app.incident.export import export_bytes
from porter.app.incident.pseudonyms import Pseudonyms, is_figure, network_of, spanning
from porter.events import observed
from porter.events.codec import decode_commit
from porter.events.decided import BaselineRecorded
from porter.events.envelope import BEGINNING, Draft
from porter.events.observed import PoolObserved
from porter.journal.export import ExportJournals
from porter.journal.signing import Verifier, load_signer, make_key
from porter.model.address import Address
from porter.ports import Corrupt, JournalError, Trimmed
from porter.projections import baseline
from tests.golden.record import FOLDER
from tests.schema_check import violations
from tests.unit.app.scripted_incident import Incident, exported, incident
from tests.unit.projections.story import SYNCED, node, pool, service

QUESTIONS = [
    ("status", {}),
    ("routes", {}),
    ("pools", {}),
    ("services", {}),
    ("peers", {}),
    ("explain", {"service": "shop/web"}),
    ("explain", {"service": "shop/late-comer"}),
    ("explain", {"ip": "192.0.2.0"}),
]


async def answers(streams, cluster, positions):
    told = []
    for question, query in QUESTIONS:
        for position in positions:
            if "late" in str(query) and position:
                continue
            asked = {**query, **({"at": str(position)} if position else {})}
            told.append(json.dumps(await direct.answer(streams, cluster, question, asked)))
    return told


async def test_a_file_gives_the_same_answers_as_the_journal_byte_for_byte():
    it = await incident()
    opened = ExportJournals.from_bytes(await exported(it))
    positions = [0, *it.marks.values()]
    assert await answers(opened, opened.cluster, positions) == await answers(it.streams, "porter", positions)
    assert opened.time_ms >= it.now_ms


async def test_an_export_since_a_moment_begins_with_the_baseline_before_it():
    it = await incident()
    content = await exported(it, Moment(it.marks["recovered"]))
    opened = ExportJournals.from_bytes(content)
    assert len(content) < len(await exported(it))
    first = await opened.journal().commit_at(1)
    assert first.events[0].type == "BaselineRecorded"
    with pytest.raises(Trimmed):
        await anext(opened.journal().read(BEGINNING))
    for mark in ("flapped", "recovered", "exhausted"):
        query = {"at": str(it.marks[mark])}
        for question in ("routes", "pools", "services", "peers"):
            there = await direct.answer(opened, "porter", question, query)
            assert there == await direct.answer(it.streams, "porter", question, query)
    assert (await verify(opened))["problems"] == []


async def test_an_export_holds_what_its_journal_holds_and_takes_nothing():
    it = await incident()
    opened = ExportJournals.from_bytes(await exported(it))
    assert await opened.speakers() == ("speaker-0",)
    for there, here in ((opened.journal(), it.journal), (opened.speaker("speaker-0"), it.speaker)):
        assert await there.head() == await here.head()
        assert [c async for p in there.read(BEGINNING) for c in p] == [c async for p in here.read(BEGINNING) for c in p]
    with pytest.raises(JournalError, match="no epoch"):
        await opened.journal().append([])


async def test_verify_finds_nothing_wrong_with_a_whole_history():
    it = await incident()
    live, filed = await verify(it.streams), await verify(ExportJournals.from_bytes(await exported(it)))
    assert violations(live, "verify") == violations(filed, "verify") == []
    assert live["problems"] == filed["problems"] == []
    assert (live["baselines"], live["witnessed"]) == (2, 2)
    assert {**filed, "digest": ""} == live


def strings(value):
    """Every text in a value, however deep; bytes are looked into as msgpack and zlib too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        try:
            yield from strings(msgpack.unpackb(zlib.decompress(value), strict_map_key=False, use_list=False))
        except (zlib.error, ValueError):
            return
    elif isinstance(value, tuple | list):
        for each in value:
            yield from strings(each)


def everything(opened):
    """All texts of an export, its heading and footer among them."""
    yield from (
        opened.cluster,
        str(opened.source),
        *(one.name for one in opened.sums),
        *(s.genesis for s in opened.sums),
    )
    for one in opened.sums:
        for _, blob in opened.entries(one.name):
            commit = decode_commit(blob)
            yield commit.writer
            for envelope in commit.events:
                yield envelope.correlation
                yield from strings(tuple(envelope.payload))


def private(texts):
    """The names, labels, addresses and free texts among them, also the parts of compound ones."""
    found = set()
    for text in texts:
        parts = [text] if " " in text else [text, *text.replace(",", "/").split("/")]
        found |= {part for part in parts if part and (network_of(part) or not is_figure(part))}
    return found


@pytest.fixture
async def both():
    it = await incident()
    _, raw = await export_bytes(it.streams, "porter", None, redact=True)
    return it, ExportJournals.from_bytes(await exported(it)), ExportJournals.from_bytes(raw)


async def test_no_name_label_address_or_text_of_the_cluster_is_left_in_a_redacted_export(both):
    _, plain, redacted = both
    originals = private(set(everything(plain)) - {str(plain.source)})
    assert {"shop", "web", "late-comer", "public", "tor-a", "n1", "hall-1", "checkout", "10.0.0.1"} <= originals
    assert {"web-frontend", "192.0.2.0", "10.0.0.254", "the rack's first", "controller-0", "speaker-0"} <= originals
    left = list(everything(redacted))
    for original in originals:
        # A short name may stand within another word.
        assert [text for text in left if original == text or (len(original) > 3 and original in text)] == [], original
    numbers = {int(ip_address(f"10.0.0.{number}")) for number in (1, 2, 3)}
    paths = [
        path
        for _, blob in redacted.entries(redacted.sums[1].name)
        for envelope in decode_commit(blob).events
        for path in getattr(envelope.payload, "paths", ())
    ]
    assert paths
    assert not numbers & {path.path_id for path in paths}


async def test_a_redacted_export_is_a_new_chain_that_names_its_source(both):
    it, plain, redacted = both
    answer = await verify(redacted)
    assert violations(answer, "verify") == []
    assert (answer["problems"], answer["redacted"], answer["witnessed"], answer["baselines"]) == ([], True, 2, 2)
    head = await it.journal.head()
    assert answer["source"]["hash"] == head.hash.hex()
    assert answer["source"]["position"] == head.position == answer["position"]
    assert answer["source"]["digest"] == plain.digest
    assert answer["hash"] != head.hash.hex()


async def test_a_baseline_that_a_former_release_encoded_is_no_damage():
    it = await incident()
    content = msgpack.unpackb(zlib.decompress(baseline.encode(it.state)), use_list=False, strict_map_key=False)
    former = zlib.compress(msgpack.packb((baseline.READABLE_VERSIONS[0], *content[1:])))
    assert baseline.READABLE_VERSIONS[0] not in baseline.OWN_VERSIONS
    recorded = BaselineRecorded(baseline.READABLE_VERSIONS[0], baseline.digest(former), former)
    await it.journal.append([Draft(recorded)])
    assert (await verify(it.streams))["problems"] == []


async def test_a_chain_made_anew_passes_for_no_signed_one(tmp_path):
    it = await incident()
    make_key(tmp_path / "key.pem")
    checks = Verifier([tmp_path / "key.pub"])
    await it.journal.append([Draft(load_signer(tmp_path / "key.pem").sign(await it.journal.head()))])
    plain = await verify(it.streams, checks)
    assert (plain["problems"], plain["signed"]) == ([], 1)
    _, raw = await export_bytes(it.streams, "porter", None, redact=True)
    anew = await verify(ExportJournals.from_bytes(raw), checks)
    assert ["carries no signature" in problem for problem in anew["problems"]] == [True]
    assert anew["signedPosition"] == 0


async def test_a_redacted_export_gives_the_same_routes_and_pools_under_pseudonyms(both):
    it, _, redacted = both
    for mark, position in it.marks.items():
        shapes = []
        for streams in (it.streams, redacted):
            routes = (await direct.answer(streams, "c", "routes", {"at": str(position)}))["routes"]
            pools = (await direct.answer(streams, "c", "pools", {"at": str(position)}))["pools"]
            shapes.append(
                (
                    [(route["state"], route["since"], route["cause"]) for route in routes],
                    [(pool["size"], pool["used"], pool["available"]) for pool in pools],
                )
            )
        assert shapes[0] == shapes[1], mark
    allocations = [one["allocations"] for one in (await direct.answer(redacted, "c", "services", {}))["services"]]
    ranges = (await direct.answer(redacted, "c", "pools", {}))["pools"][0]["ranges"]
    assert ranges == [allocations[1][0]["address"]] or ranges == [allocations[0][0]["address"]]


async def test_a_redacted_export_from_a_baseline_folds_to_the_same_shape():
    it = await incident()
    _, raw = await export_bytes(it.streams, "porter", Moment(it.marks["recovered"]), redact=True)
    opened = ExportJournals.from_bytes(raw)
    assert (await verify(opened))["problems"] == []
    there = await direct.answer(opened, "c", "routes", {"at": str(it.marks["flapped"])})
    assert [route["state"] for route in there["routes"]] == ["confirmed"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_type_of_event_keeps_its_form_and_none_of_its_names(path):
    (envelope,) = decode_commit(bytes.fromhex(json.loads(path.read_text())["blob"])).events
    names = Pseudonyms(lambda text: text)
    names.see(envelope.payload)
    names.settle()
    told = names.of(envelope.payload)
    assert type(told) is type(envelope.payload)
    assert not private(strings(tuple(told))) & private(strings(tuple(envelope.payload)))
    assert len(list(strings(tuple(told)))) == len(list(strings(tuple(envelope.payload))))


FIGURES = ("2024", "77", "65001", "9443", "1.27.4", "12", "spec.gold")
"""Names and labels that look like numbers, versions and paths of fields; none of them is one."""


async def numbered():
    """A history in which everything is called by figures."""
    namespace, name, peer, app, release, rack, other = FIGURES
    it = await Incident().begin()
    await it.says(
        observed.ConfObserved("default", "c", "41", 1, 64500, as_per_rack=((rack, 64513),)),
        observed.PeerObserved(peer, peer, "42", 1, Address("10.0.0.254"), 64512, node_selector=(("rack", rack),)),
        observed.NamespaceObserved(namespace, (("release", release),)),
        node(1, labels=(("rack", rack),)),
        pool(name, "192.0.2.0-192.0.2.1", default=True, namespaces=(namespace, other)),
        observed.AdvertisementObserved(other, other, "43", 1, 1, peers=(peer,), communities=("64500:12", "no-export")),
        SYNCED,
        service(name, labels=(("app", app),))._replace(namespace=namespace, resource_version="44"),
    )
    return await it.records()


@pytest.mark.parametrize("from_baseline", [False, True])
async def test_names_and_labels_of_digits_are_names_and_figures_are_not(from_baseline):
    it = await numbered()
    since = Moment(it.state.ledger.position) if from_baseline else None
    _, raw = await export_bytes(it.streams, "1.0", since, redact=True)
    opened = ExportJournals.from_bytes(raw)
    assert (await verify(opened))["problems"] == []
    assert opened.cluster != "1.0"
    left = set(everything(opened))
    assert not {part for text in left for part in text.split("/")} & set(FIGURES)
    # What is_figure is what answers need: versions of objects and of Porter, and communities.
    assert {"41", "42", "43", "44", "64500:12", "no-export"} <= left
    at = (await direct.answer(opened, "c", "services", {}))["services"]
    assert [len(one["allocations"]) for one in at] == [1]


def test_pseudonyms_keep_order_and_prefixes():
    names = Pseudonyms(lambda text: text)
    pool = PoolObserved("b", "b", "1", 1, 1, (("203.0.113.250", "203.0.114.9"), ("198.51.100.0", "198.51.100.255")))
    names.see(pool)
    names.see(("a", "c/d", "203.0.114.3/32", "198.51.100.77", "2001:db8::1", "2001:db8::/64", "Cluster"))
    names.settle()
    assert names.of(("a", "b", "c/d", "Cluster")) == ("x0001", "x0002", "x0003/x0004", "Cluster")
    moved = names.of(pool)
    (first, last), (low, high) = moved.ranges
    assert int(ip_address(last)) - int(ip_address(first)) == 15
    assert ip_address(first) < ip_address(names.of("203.0.114.3")) < ip_address(last)
    assert ip_address(low) <= ip_address(names.of("198.51.100.77")) <= ip_address(high) < ip_address(first)
    assert ip_address(names.of("2001:db8::1")) in ip_network(names.of("2001:db8::/64"))
    assert names.of("203.0.114.3/32") == f"{names.of('203.0.114.3')}/32"
    assert str(spanning("10.0.0.0", "10.0.1.255")) == "10.0.0.0/23"


def test_hosts_of_ipv6_are_numbered_in_order_and_pools_keep_their_form():
    names = Pseudonyms(lambda text: text)
    pool = PoolObserved("b", "b", "1", 1, 1, (("2001:db8:1::100", "2001:db8:1::1ff"),))
    hosts = ("2001:db8:1::1", "2001:db8:1:0:a02:3ff:fe04:506", "2001:db8:2:0:211:22ff:fe33:4455", "2001:db8:2::a")
    names.see(pool)
    names.see((*hosts, "2001:db8:1::107/128", "2001:db8:2::/64", "fd00:9::/108"))
    names.settle()
    told = [ip_address(names.of(one)) for one in hosts]
    assert not {int(one) & 0xFFFFFFFF for one in told} & {0xFE040506, 0xFE334455, 0xA02}
    # The parts of a block, each in its order and in the network that it was in.
    ((first, last),) = names.of(pool).ranges
    assert told[0] < ip_address(first) < ip_address(last) < told[1] < told[3] < told[2]
    assert int(ip_address(last)) - int(ip_address(first)) == 0xFF
    assert int(ip_address(names.of("2001:db8:1::107/128")[:-4])) - int(ip_address(first)) == 7
    block = ip_network(names.of("2001:db8:2::/64"))
    assert told[2] in block and told[3] in block and told[1] not in block
    assert ip_network(names.of("fd00:9::/108")).prefixlen == 108
    assert ip_address(first) in ip_network((told[1], 64), strict=False)


async def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(Corrupt, match="no export of Porter"):
        ExportJournals.from_bytes(b"porter journal 1\n")
    with pytest.raises(JournalError, match="cannot be read"):
        ExportJournals(tmp_path / "absent")
