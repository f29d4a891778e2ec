"""The one exception that the command line turns into a single clear line and exit code 2."""


class InputError(ValueError):
    """Something the reader gave us is wrong: says where, what was found and what was expected."""
