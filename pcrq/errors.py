"""The one exception that stands for something the user can mend: a file, an option, a data set."""


class InputError(ValueError):
    """Input from outside cannot be used.

    The message is one line that names the file or option, says why it cannot be used, and what to do. The
    command line prints it without a traceback and exits with status 2.
    """
