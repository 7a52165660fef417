"""A process that campaigns for the Lease, tells by lines what comes of it, and says every 50 ms whether it leads."""

import asyncio
import sys
from pathlib import Path

from porter.kube.client import KubeClient
from porter.kube.lease import LeaseElection, LeaseSettings
from tests.integration.kube.helpers import SystemClock


async def main(kubeconfig, namespace, name):
    client = await KubeClient.connect(Path(kubeconfig))
    election = LeaseElection(client, namespace, name, SystemClock(), LeaseSettings(2.0, 1.4, 0.4))
    campaign = asyncio.create_task(election.run())
    while not campaign.done():
        print(f"elected {await election.elected()}", flush=True)
        await election.deposed()
        print(f"deposed leads={election.leads()}", flush=True)


asyncio.run(main(*sys.argv[1:]))
