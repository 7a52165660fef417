"""A lab left standing, to play in: ``make lab-up`` and ``make lab-down``.

Its prefix is fixed, so that ``down`` finds all of it by name, and no test's clean-up touches it.
"""

import os
import sys

from tests.lab import plan, programs
from tests.lab.lab import Lab
from tests.lab.namespaces import NAMESPACES
from tests.lab.run import ROOT, STANDING_PREFIX, remove_run

USAGE = "usage: python -m tests.lab.up (up | down)"


def up() -> None:
    """Bring a lab up and leave it. A lab that stands already is an error."""
    if (ROOT / STANDING_PREFIX).exists() or any(NAMESPACES.glob(f"{STANDING_PREFIX}-*")):
        raise SystemExit("a lab stands already; take it down first: make lab-down")
    programs.check_all()
    lab = Lab(prefix=STANDING_PREFIX).start()
    sys.stdout.write(_how_to_use(lab))
    sys.stdout.flush()
    # The programs go on without their parent; threads and sockets of this process are of no use to them.
    os._exit(0)


def _how_to_use(lab: Lab) -> str:
    kubeconfig = lab.control_plane.kubeconfig()
    kubectl = programs.kubernetes_programs()["kubectl"]
    control, porter = lab.control_plane.namespace.name, lab.porter_namespace(1).name
    frr, bird = lab.frr, lab.bird
    return f"""\
The lab is up, in {lab.set_up_s:.1f} s: nodes n1 to n3, each with a pod app=web; Redis {lab.redis.url};
FRR {plan.FRR.v4} (AS {plan.FRR_AS}) and BIRD {plan.BIRD.v4} (AS {plan.BIRD_AS}), both for AS {plan.SPEAKER_AS}.
CRDs: {", ".join(lab.crds) or "none found in deploy/crds"}

kubectl   ip netns exec {control} {kubectl} \\
              --kubeconfig {kubeconfig} get nodes,pods,services
Porter    ip netns exec {porter} porter up --kubeconfig {kubeconfig} \\
              --redis-url {lab.redis.url} --local-address {plan.porter(1).v4}
routes    ip -n {bird.namespace.name} route; ip -n {frr.namespace.name} route
BIRD      ip netns exec {bird.namespace.name} birdc -s {lab.run.folder}/bird/bird.ctl show protocols
FRR       ip netns exec {frr.namespace.name} vtysh -N {STANDING_PREFIX} -c 'show bgp summary'
clients   ip netns exec {bird.client.name} curl http://ADDRESS/    (behind BIRD)
          ip netns exec {frr.client.name} curl http://ADDRESS/    (behind FRR)
logs      {lab.run.folder}/*.log

Addresses for Services that nothing else uses: {plan.VIRTUAL4} and {plan.VIRTUAL6}.
Take it down with: make lab-down
"""


def down() -> None:
    """End and remove everything of the standing lab; none is no error."""
    remove_run(STANDING_PREFIX)


def main(arguments: list[str]) -> None:
    """Do what the first argument says."""
    if os.geteuid() != 0:
        raise SystemExit("the lab makes network namespaces and so needs root; run it with sudo")
    commands = {"up": up, "down": down}
    if len(arguments) != 1 or arguments[0] not in commands:
        raise SystemExit(USAGE)
    try:
        commands[arguments[0]]()
    except programs.ProgramMissing as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main(sys.argv[1:])
