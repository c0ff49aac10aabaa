"""The one exception that is meant for people."""


class UserError(Exception):
    """A mistake the user can mend: shown as one line without a traceback, exit status 2."""
