"""The rows of the point-cloud tables: pretraining and protocol, in the paper's words."""

from __future__ import annotations

from projects.training.records import Record

PROTOCOLS = ("lin", "ft", "scratch")
METHODS = {"MID": "MID-FC", "MID + quantization": "Ours"}


def point_cloud_row(record: Record) -> str:
    """The row of a record; a network that the paper does not have gets a row of its own name."""
    if record.method == record.protocol == "scratch":
        return "Scratch"
    return f"{METHODS.get(record.method, record.method)} ({record.protocol})"
