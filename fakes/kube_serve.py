"""The stand-in as a process: ``python -m fakes.kube_serve KUBECONFIG -n ml``, until it is interrupted.

It writes a kubeconfig, says where it listens, and ends on SIGINT or SIGTERM. Pods are states; with ``--servers`` each
is a server of its own, that answers every row alike in its model's name, and so a whole rollout can be driven.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from fakes.kube_admission import Write
from fakes.kube_api import KubeApi
from fakes.kube_kinds import GATEWAYS
from fakes.kube_servers import AddressKubelet, model_server
from harness.clock import run_real


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m fakes.kube_serve", description="A stand-in of a Kubernetes API.")
    parser.add_argument("kubeconfig", type=Path, help="the file that is written for clients")
    parser.add_argument(
        "-n", "--namespace", action="append", default=[], help="that is there from the start; repeatable"
    )
    parser.add_argument("--accounts", action="store_true", help="pods need the ServiceAccount that they name")
    parser.add_argument("--servers", action="store_true", help="pods are servers that answer in their model's name")
    parser.add_argument("--gateway", help="the name of a Gateway that is there from the start, in the first namespace")
    asked = parser.parse_args(arguments)
    run_real(_serve, asked)


async def _serve(asked: argparse.Namespace) -> None:
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, over.set)
    namespace = (*asked.namespace, "default")[0]
    kubelet = AddressKubelet(model_server) if asked.servers else None
    async with KubeApi(namespaces=asked.namespace, accounts=asked.accounts, kubelet=kubelet) as api:
        if asked.gateway:
            listener = {"name": "http", "port": 80, "protocol": "HTTP"}
            spec = {"gatewayClassName": "stand-in", "listeners": [listener]}
            api.writer.create(GATEWAYS, namespace, {"metadata": {"name": asked.gateway}, "spec": spec}, Write())
        api.write_kubeconfig(asked.kubeconfig, namespace)
        sys.stdout.write(f"API server {api.url}\ngateway {api.gateway_url}\n")
        sys.stdout.flush()
        await over.wait()


if __name__ == "__main__":
    main()
