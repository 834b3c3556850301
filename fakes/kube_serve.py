"""The stand-in as a process: ``python -m fakes.kube_serve KUBECONFIG -n ml``, until it is interrupted.

It writes a kubeconfig, says where it listens, and ends on SIGINT or SIGTERM. Pods are states, not servers.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from fakes.kube_api import KubeApi
from harness.clock import run_real


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m fakes.kube_serve", description="A stand-in of a Kubernetes API.")
    parser.add_argument("kubeconfig", type=Path, help="the file that is written for clients")
    parser.add_argument(
        "-n", "--namespace", action="append", default=[], help="that is there from the start; repeatable"
    )
    parser.add_argument("--accounts", action="store_true", help="pods need the ServiceAccount that they name")
    asked = parser.parse_args(arguments)
    run_real(_serve, asked.kubeconfig, asked.namespace, asked.accounts)


async def _serve(kubeconfig: Path, namespaces: Sequence[str], accounts: bool) -> None:
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, over.set)
    async with KubeApi(namespaces=namespaces, accounts=accounts) as api:
        api.write_kubeconfig(kubeconfig, (*namespaces, "default")[0])
        sys.stdout.write(f"API server {api.url}\ngateway {api.gateway_url}\n")
        sys.stdout.flush()
        await over.wait()


if __name__ == "__main__":
    main()
