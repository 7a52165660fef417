"""A controller as one writes it first for ExaBGP: it watches Services and EndpointSlices, and prints what changed.

ExaBGP runs it as its API process: `python naive_controller.py SETTINGS`. Each change of a Service's wanted routes is
printed as `announce` and `withdraw` lines at once; the answers are read, because ExaBGP stands still otherwise, and
believed. It knows nothing of sessions, of End-of-RIB, of what ExaBGP or a router holds, or of its own earlier runs.

SETTINGS is a JSON file: ``server``, ``port``, ``token``, ``authority`` (a file) and ``nodes`` (name -> IPv4, IPv6).
"""

import http.client
import json
import os
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Routes = set[tuple[str, str]]

RETRY_S = 0.5
TIMEOUT_S = 5
WATCH_S = 3600
SERVICE_LABEL = "kubernetes.io/service-name"
PATHS = {
    "Service": "/api/v1/namespaces/default/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
}


class NaiveController:
    """What is watched by kind and name, and what was printed by Service."""

    def __init__(self, settings: Object) -> None:
        self._settings = settings
        self._tls = ssl.create_default_context(cafile=settings["authority"])
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Object]] = {kind: {} for kind in PATHS}
        self._printed: dict[str, Routes] = {}
        self._listed: set[str] = set()

    def follow(self, kind: str) -> None:
        """List and watch a kind for ever."""
        while True:
            try:
                self._follow(kind)
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(RETRY_S)

    def _follow(self, kind: str) -> None:
        listed = json.loads(self._get(PATHS[kind], TIMEOUT_S).read())
        with self._lock:
            self._objects[kind] = {each["metadata"]["name"]: each for each in listed["items"]}
            self._listed.add(kind)
            self._print_changes()
        version = listed["metadata"]["resourceVersion"]
        watch = self._get(f"{PATHS[kind]}?watch=1&resourceVersion={version}&timeoutSeconds={WATCH_S}", WATCH_S)
        for line in watch:
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            with self._lock:
                self._take(kind, event)

    def _get(self, target: str, timeout_s: int) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(
            self._settings["server"], self._settings["port"], timeout=timeout_s, context=self._tls
        )
        connection.request("GET", target, headers={"Authorization": f"Bearer {self._settings['token']}"})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"{target}: {response.status}")
        return response

    def _take(self, kind: str, event: Object) -> None:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            self._objects[kind].pop(name, None)
        else:
            self._objects[kind][name] = event["object"]
        self._print_changes()

    def _print_changes(self) -> None:
        if self._listed != PATHS.keys():
            return
        lines = []
        for service in self._objects["Service"].keys() | self._printed.keys():
            wanted, before = self._wanted(service), self._printed.get(service, set())
            lines += [f"withdraw {_route(*route)}" for route in sorted(before - wanted)]
            lines += [f"announce {_route(*route)}" for route in sorted(wanted - before)]
            self._printed[service] = wanted
        if lines:
            print("\n".join(lines), flush=True)

    def _wanted(self, service: str) -> Routes:
        status = self._objects["Service"].get(service, {}).get("status", {})
        addresses = [each["ip"] for each in status.get("loadBalancer", {}).get("ingress") or ()]
        return {
            (address, self._settings["nodes"][endpoint["nodeName"]][":" in address])
            for slice_ in self._objects["EndpointSlice"].values()
            if slice_["metadata"]["labels"].get(SERVICE_LABEL) == service
            for endpoint in slice_["endpoints"] or ()
            if endpoint["conditions"]["ready"]
            for address in addresses
            if (":" in address) == (slice_["addressType"] == "IPv6")
        }


def _route(address: str, next_hop: str) -> str:
    length = 128 if ":" in address else 32
    path_id = next_hop.replace(":", ".").rpartition(".")[2]
    return f"route {address}/{length} next-hop {next_hop} path-information 0.0.0.{path_id}"


def main(settings: str) -> None:
    """Follow both kinds, and read ExaBGP's answers until it is gone."""
    controller = NaiveController(json.loads(Path(settings).read_text()))
    for kind in PATHS:
        threading.Thread(target=controller.follow, args=(kind,), daemon=True).start()
    while os.read(0, 65536):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
