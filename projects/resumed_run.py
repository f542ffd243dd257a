"""A run and its continuation: what they must have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pcrq.errors import InputError


def refuse_another_run(checkpoint: object, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was made in another way.

    Args:
        checkpoint: the file that the run would go on from.
        before, now: plain values by the words of the options; what ``now`` lacks does not matter.

    Raises:
        InputError: a value of ``now`` differs.
    """
    different = [name for name in now if before.get(name) != now[name]]
    if different:
        raise InputError(
            f"{checkpoint}: trained with another {', '.join(different)}; resume with the same, or start anew in "
            "another --run_dir"
        )
