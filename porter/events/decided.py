"""Decisions of the leader: addresses, leadership of the journal, operators' actions, what is held back."""

from __future__ import annotations

from typing import NamedTuple, get_args

from porter.model.address import Address, Prefix
from porter.model.reasons import Candidate


class AddressAllocated(NamedTuple):
    """A Service was given an address; `candidates` are the pools passed over before."""

    uid: str
    namespace: str
    name: str
    address: Address
    pool: str
    reason: str
    sharing_key: str = ""
    candidates: tuple[Candidate, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class AddressAdopted(NamedTuple):
    """A Service keeps an address that it already held by its status, or that a speaker still announces for it."""

    uid: str
    namespace: str
    name: str
    address: Address
    pool: str
    reason: str

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class AddressReleased(NamedTuple):
    """A Service's address is free again."""

    uid: str
    namespace: str
    name: str
    address: Address
    pool: str
    reason: str

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class CoolDownElapsed(NamedTuple):
    """A freed address stayed unused for its pool's releaseDelay: it may be given again."""

    address: Address
    pool: str

    @property
    def aggregate(self) -> str:
        return f"pool/{self.pool}"


class AllocationRefused(NamedTuple):
    """A Service got no address, or not the one that it asks for: the reason, a sentence, and the candidates."""

    uid: str
    namespace: str
    name: str
    reason: str
    message: str
    candidates: tuple[Candidate, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class PathIdentifierAssigned(NamedTuple):
    """The ADD-PATH identifier of a node without an IPv4 InternalIP (RFC 7911, section 2)."""

    node: str
    number: int

    @property
    def aggregate(self) -> str:
        return f"node/{self.node}"


class EpochStarted(NamedTuple):
    """A leader (or a speaker, in its own stream) claimed the stream; the first event of every epoch.

    `previous_position` and `previous_hash` (hex) are the head that the claim was made against; `recovering` holds
    until `RecoveryCompleted`.
    """

    genesis: str
    holder: str
    previous_position: int
    previous_hash: str
    recovering: bool = False
    version: str = ""

    @property
    def aggregate(self) -> str:
        return "journal"


class PositionsLost(NamedTuple):
    """Positions `first` to `last` were acknowledged once and are gone from the stream."""

    first: int
    last: int
    reason: str

    @property
    def aggregate(self) -> str:
        return "journal"


class RecoveryCompleted(NamedTuple):
    """All that Services and speakers still hold is adopted: decisions and withdrawals go on."""

    adopted: int
    speakers_heard: tuple[str, ...]
    speakers_missing: tuple[str, ...] = ()

    @property
    def aggregate(self) -> str:
        return "journal"


class BaselineRecorded(NamedTuple):
    """The whole canonical state at the position before this event, so that readers may start here.

    `state` is the encoding of `porter.projections.baseline` and `digest` its SHA-256 in hex.
    """

    reducer_version: int
    digest: str
    state: bytes

    @property
    def aggregate(self) -> str:
        return "journal"


class SchemaActivated(NamedTuple):
    """From here on these versions of these types are written: every live reader had declared that it reads them.

    `types` are (type, version); `readers` are (name, release) of those who had, sorted. A release that does not read
    one of the types cannot follow this journal any more.
    """

    types: tuple[tuple[str, int], ...]
    readers: tuple[tuple[str, str], ...] = ()

    @property
    def aggregate(self) -> str:
        return "journal"


class HeadWitnessed(NamedTuple):
    """The leader has seen a speaker's stream up to here: this orders the streams, and proves them later."""

    stream: str
    epoch: int
    position: int
    hash: str

    @property
    def aggregate(self) -> str:
        return f"stream/{self.stream}"


class HeadSigned(NamedTuple):
    """The leader signs where the journal ended before this event: whoever has its public key can prove it later.

    `hash` is hex, `key` the name of the key, and `signature` the hex of 64 bytes of Ed25519 over
    what `porter.journal.signing` says.
    """

    epoch: int
    position: int
    hash: str
    key: str
    signature: str

    @property
    def aggregate(self) -> str:
        return "journal"


class SpeakerDrained(NamedTuple):
    """A speaker is to leave service: all its paths carry GRACEFUL_SHUTDOWN (RFC 8326) now, and go after the delay.

    Without a delay they go at once, as those of every drain did before there were delays.
    """

    speaker: str
    by: str
    why: str
    delay_ms: int = 0

    @property
    def aggregate(self) -> str:
        return f"speaker/{self.speaker}"


class SpeakerDrainElapsed(NamedTuple):
    """The delay of a speaker's drain is over: it withdraws everything."""

    speaker: str

    @property
    def aggregate(self) -> str:
        return f"speaker/{self.speaker}"


class SpeakerUndrained(NamedTuple):
    """An operator ended a speaker's drain."""

    speaker: str
    by: str
    why: str

    @property
    def aggregate(self) -> str:
        return f"speaker/{self.speaker}"


class NodeDrained(NamedTuple):
    """A node is to leave service: its paths carry GRACEFUL_SHUTDOWN (RFC 8326) now, and go after the delay.

    `force` says that they go also where no other next hop is left. `uid` is the Node's: one that is made anew under
    the same name is another node.
    """

    node: str
    uid: str
    by: str
    why: str
    delay_ms: int
    force: bool = False

    @property
    def aggregate(self) -> str:
        return f"node/{self.node}"


class NodeDrainElapsed(NamedTuple):
    """The delay of a node's drain is over: it is no next hop any more, unless it is the last one of a route."""

    node: str

    @property
    def aggregate(self) -> str:
        return f"node/{self.node}"


class NodeUndrained(NamedTuple):
    """A node's drain ended: it is a next hop again."""

    node: str
    by: str
    why: str

    @property
    def aggregate(self) -> str:
        return f"node/{self.node}"


class ServiceDrained(NamedTuple):
    """A Service is to leave service: GRACEFUL_SHUTDOWN now, withdrawal after the delay; it keeps its addresses."""

    uid: str
    namespace: str
    name: str
    by: str
    why: str
    delay_ms: int

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class ServiceDrainElapsed(NamedTuple):
    """The delay of a Service's drain is over: its routes are withdrawn."""

    uid: str
    namespace: str
    name: str

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class ServiceUndrained(NamedTuple):
    """An operator ended a Service's drain."""

    uid: str
    namespace: str
    name: str
    by: str
    why: str

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class WithdrawalHeld(NamedTuple):
    """These prefixes are about to lose their last next hops together with too many others: they keep them.

    Of the causes `NoPeer` and `NotAdvertised` it is their last peers, and the facts that would take them are not
    journaled while the hold stands. `hold` is the position of the first event of the hold, its name for people; `cause`
    a reason code. `lost` of `total` prefixes were lost within a minute; the rule that was broken travels along, so that
    a replay does not depend on the settings of whoever replays.
    """

    hold: int
    cause: str
    prefixes: tuple[Prefix, ...]
    lost: int
    total: int
    share_percent: int
    minimum: int
    bound_ms: int

    @property
    def aggregate(self) -> str:
        return f"hold/{self.hold}"


class WithdrawalApproved(NamedTuple):
    """An operator says that what is held may be withdrawn."""

    hold: int
    by: str
    why: str

    @property
    def aggregate(self) -> str:
        return f"hold/{self.hold}"


class HoldExpired(NamedTuple):
    """A hold lasted for its bound: what is still without a next hop is withdrawn."""

    hold: int

    @property
    def aggregate(self) -> str:
        return f"hold/{self.hold}"


class HoldEnded(NamedTuple):
    """The cause of a hold ended: no prefix of it needs it any more."""

    hold: int

    @property
    def aggregate(self) -> str:
        return f"hold/{self.hold}"


OperatorAction = (
    SpeakerDrained
    | SpeakerUndrained
    | NodeDrained
    | NodeUndrained
    | ServiceDrained
    | ServiceUndrained
    | WithdrawalApproved
)
"""What an operator may have the leader journal."""

OPERATOR_ACTIONS: tuple[type, ...] = get_args(OperatorAction)
"""Their types."""
