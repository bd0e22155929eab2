"""What engines may compute on, on every node of a cluster."""

import json
from dataclasses import dataclass
from typing import Any

import click

from ..engines.base import EngineDevice
from ..listing import device_fields, device_rows, print_rows
from .connection import connected
from .worker import ColorizeWorker

_TIMEOUT = 60.0  # seconds, for the engines' libraries to load


def print_node_devices(address: str, *, as_json: bool = False) -> None:
    """Print the devices of every node of the cluster at ADDRESS, as `print_devices` does."""
    with connected(address):
        nodes = _node_devices()
    if as_json:
        listed = [
            {"node": each.node, "problem": each.problem or None, "devices": each.fields()}
            for each in nodes
        ]
        click.echo(json.dumps({"nodes": listed}, indent=2))
        return
    for each in nodes:
        click.echo(f"{each.node}: {each.problem}" if each.problem else f"{each.node}:")
        print_rows(device_rows(each.devices))


@dataclass(frozen=True)
class NodeDevices:
    """A node and what it has; without devices, `problem` says why they are not known."""

    node: str
    devices: dict[str, list[EngineDevice]]
    problem: str = ""

    def fields(self) -> list[dict[str, str | None]]:
        """Return the devices as they stand in JSON."""
        return device_fields(device_rows(self.devices))


def _node_devices() -> list[NodeDevices]:
    """Return the devices of all nodes of the cluster that this process has joined."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    listed = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = {each["NodeID"]: each["NodeManagerHostname"] for each in listed if each["Alive"]}
    look = ray.remote(num_cpus=0)(ColorizeWorker.devices)
    asked = {
        node: look.options(
            name=f"devices of {name}",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote()
        for node, name in nodes.items()
    }
    return [_answer(nodes[node], reference) for node, reference in asked.items()]


def _answer(node: str, reference: Any) -> NodeDevices:
    import ray
    from ray.exceptions import RayError

    try:
        return NodeDevices(node, ray.get(reference, timeout=_TIMEOUT))
    except RayError as error:
        return NodeDevices(node, {}, " ".join(str(error).split())[:200])
