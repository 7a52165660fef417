"""Agents in the lab: on each node ``porter agent`` and its ExaBGP, as plain processes without a supervisor."""

import shutil
import sys
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.processes import Process


class Agent:
    """One node's agent and the ExaBGP beside it."""

    def __init__(self, lab: Lab, node: str) -> None:
        self.node = node
        self.addresses = lab.cluster.nodes[node].addresses
        self._run = lab.run
        self._folder = lab.run.folder / f"agent-{node}"
        # ExaBGP gives up root and has to reach its files below.
        self._folder.mkdir(mode=0o755)
        words = ["--node-name", node, "--redis-url", lab.redis.url, "--local-address", self.addresses.v4]
        self.speaker = self._process(lab, "agent", *words)
        self.exabgp = self._process(lab, "exabgp")

    def start(self) -> "Agent":
        """Start what does not run."""
        for process in (self.speaker, self.exabgp):
            if process not in self._run.processes:
                self._run.processes.append(process)
            if not process.alive:
                process.start()
        return self

    def end(self) -> None:
        """Kill both and remove their state."""
        for process in (self.speaker, self.exabgp):
            process.kill()
            if process in self._run.processes:
                self._run.processes.remove(process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _process(self, lab: Lab, command: str, *options: str) -> Process:
        namespace = lab.cluster.nodes[self.node].namespace
        assert namespace is not None, f"{self.node} is a node on paper"
        argv: list[str | Path] = [sys.executable, "-m", "porter", command, "--state-dir", self._folder, *options]
        return Process(f"{command}-{self.node}", argv, namespace, lab.run.folder / f"{command}-{self.node}.log")


def start_agents(lab: Lab) -> dict[str, Agent]:
    """An agent on each node that is there from the start."""
    return {node: Agent(lab, node).start() for node in lab.web_nodes}
