"""The door to one GoBGP daemon: its gRPC interface on a unix socket. No exception of gRPC leaves this module."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from porter.bgp.backends.gobgp import messages
from porter.bgp.backends.gobgp.messages import family_message, read_path
from porter.bgp.backends.gobgp.protocol import gobgp_pb2 as wire
from porter.model.address import Family
from porter.model.bgp import PathAttributes, RouteKey

CALL_TIMEOUT_S = 10.0
TABLE_TIMEOUT_S = 60.0
SLOWEST_PATHS_PER_S = 500.0
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_PATHS_PER_MESSAGE = 500
SOFT_OUT = 1
SERVICE = "/apipb.GobgpApi/"
OUT_OF_REACH = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class DaemonUnreachable(Exception):
    """The daemon is not there, or does not answer."""


class DaemonRefused(Exception):
    """The daemon answered that it will not; the message is its own."""


class DaemonClient:
    """One connection to one daemon."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.enable_retries", 0)]
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=options)

    async def __aenter__(self) -> DaemonClient:
        if not self._socket.exists():
            raise DaemonUnreachable(f"nothing listens on {self._socket}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    # ------------------------------------------------------------------------------------------------------ the daemon

    async def started(self) -> bool:
        """Whether it was told its AS number already: one that was not is a fresh process."""
        answer = await self._call("GetBgp", wire.GetBgpRequest(), wire.GetBgpResponse)
        # The field's name is a word of Python's own.
        return bool(getattr(answer, "global").asn)

    async def start(self, settings: wire.Global) -> None:
        """Tell it who it is."""
        request = wire.StartBgpRequest()
        getattr(request, "global").CopyFrom(settings)
        await self._call("StartBgp", request, empty_pb2.Empty)

    async def refuse_imports(self) -> None:
        """Have it keep nothing of what peers announce in its table: that holds our routes alone."""
        with contextlib.suppress(DaemonRefused):
            # One that has this policy already refuses it.
            await self._call("AddPolicy", wire.AddPolicyRequest(policy=messages.OWN_ROUTES), empty_pb2.Empty)
        request = wire.SetPolicyAssignmentRequest(assignment=messages.ONLY_OWN_ROUTES)
        await self._call("SetPolicyAssignment", request, empty_pb2.Empty)

    # ----------------------------------------------------------------------------------------------------- the session

    async def peer(self, address: str) -> wire.Peer | None:
        """The neighbour and its state, or None where there is none."""
        async for answer in self._stream("ListPeer", wire.ListPeerRequest(address=address), wire.ListPeerResponse):
            peer: wire.Peer = answer.peer
            return peer
        return None

    async def add_peer(self, peer: wire.Peer) -> None:
        """Add the neighbour."""
        await self._call("AddPeer", wire.AddPeerRequest(peer=peer), empty_pb2.Empty)

    async def delete_peer(self, address: str) -> None:
        """Take the neighbour away; a session that is up ends with a NOTIFICATION."""
        await self._call("DeletePeer", wire.DeletePeerRequest(address=address), empty_pb2.Empty)

    async def resend(self, address: str) -> None:
        """Have everything sent once more."""
        request = wire.ResetPeerRequest(address=address, soft=True, direction=SOFT_OUT)
        await self._call("ResetPeer", request, empty_pb2.Empty)

    async def set_on_events(self, wake: asyncio.Event) -> None:
        """Set the event whenever a session came or went, until the daemon is gone."""
        request = wire.WatchEventRequest(peer=wire.WatchEventRequest.Peer())
        with contextlib.suppress(DaemonUnreachable, DaemonRefused):
            async for _ in self._stream("WatchEvent", request, wire.WatchEventResponse, timeout_s=None):
                wake.set()

    # ------------------------------------------------------------------------------------------------------ the routes

    async def change(self, paths: Iterable[wire.Path]) -> None:
        """Add and withdraw paths, in this order; when it returns they are in the table, and on their way."""
        call = self._channel.stream_unary(
            f"{SERVICE}AddPathStream",
            request_serializer=wire.AddPathStreamRequest.SerializeToString,
            response_deserializer=empty_pb2.Empty.FromString,
        )
        changes = list(paths)
        try:
            await call(_requests(changes), timeout=CALL_TIMEOUT_S + len(changes) / SLOWEST_PATHS_PER_S)
        except grpc.aio.AioRpcError as error:
            raise _of_ours(error) from error

    async def table(self, family: Family) -> dict[RouteKey, PathAttributes]:
        """Every path that the daemon holds of a family; those of a prefix in the order of GoBGP's identifiers."""
        return dict([route async for route in self._paths(wire.GLOBAL, "", family)])

    async def adjacent_out(self, address: str, family: Family) -> dict[RouteKey, PathAttributes]:
        """Every path that the daemon gives to the session, as the peer sees it."""
        return dict([route async for route in self._paths(wire.ADJ_OUT, address, family)])

    async def _paths(
        self, table: wire.TableType, name: str, family: Family
    ) -> AsyncIterator[tuple[RouteKey, PathAttributes]]:
        request = wire.ListPathRequest(table_type=table, name=name, family=family_message(family))
        async for answer in self._stream("ListPath", request, wire.ListPathResponse, timeout_s=TABLE_TIMEOUT_S):
            for path in sorted(answer.destination.paths, key=_given):
                yield read_path(answer.destination.prefix, path)

    # --------------------------------------------------------------------------------------------------------- calling

    async def _call(self, name: str, request: Message, answer: type[Message]) -> Any:
        call = self._channel.unary_unary(
            SERVICE + name,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return await call(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _of_ours(error) from error

    async def _stream(
        self, name: str, request: Message, answer: type[Message], *, timeout_s: float | None = CALL_TIMEOUT_S
    ) -> AsyncIterator[Any]:
        call = self._channel.unary_stream(
            SERVICE + name,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            async for message in call(request, timeout=timeout_s):
                yield message
        except grpc.aio.AioRpcError as error:
            raise _of_ours(error) from error


def _given(path: wire.Path) -> int:
    return path.local_identifier


def _requests(paths: list[wire.Path]) -> Iterator[wire.AddPathStreamRequest]:
    for start in range(0, len(paths), MAX_PATHS_PER_MESSAGE):
        yield wire.AddPathStreamRequest(table_type=wire.GLOBAL, paths=paths[start : start + MAX_PATHS_PER_MESSAGE])


def _of_ours(error: grpc.aio.AioRpcError) -> Exception:
    if error.code() in OUT_OF_REACH:
        return DaemonUnreachable(error.details() or str(error.code()))
    return DaemonRefused(error.details() or str(error.code()))


async def dismiss(socket: Path, address: str) -> None:
    """End a daemon's session with a NOTIFICATION, at which the peer drops every route; nothing where none is there."""
    with contextlib.suppress(DaemonUnreachable, DaemonRefused):
        async with DaemonClient(socket) as client:
            await client.delete_peer(address)
