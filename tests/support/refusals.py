"""How every training refuses what it cannot use."""

from collections.abc import Callable


def assert_refused(capsys, program: str, word: str, run: Callable[[], int]) -> None:
    """The run ends with status 2, and its last line names the program and the culprit; no traceback, no usage."""
    try:
        status = run()
    except SystemExit as stop:  # refused by the argument parser
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith(f"{program}: error: ") and word in error[-1]
    assert not any("Traceback" in line or "usage" in line for line in error)
