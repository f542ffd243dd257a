"""The exception for input that the user can correct: a file, an option, a dataset."""


class InputError(ValueError):
    """Invalid input.

    The message is one line: what is wrong with the value and its name, what is allowed, and what to do. The command
    line prints it without a traceback and exits with status 2.
    """
