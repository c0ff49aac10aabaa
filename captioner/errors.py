"""The exceptions that are meant for people, each with the exit status it ends the command with."""


class UserError(Exception):
    """A mistake the user can mend: shown as one line without a traceback."""

    status = 2


class TooManyFailures(UserError):
    """A job came to its end, and more of its images failed than the user allows."""

    status = 3


class ProblemsFound(UserError):
    """`captioner verify` found an output that is not what its manifests say."""

    status = 4
