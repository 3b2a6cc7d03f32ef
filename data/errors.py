"""The one exception that a person sees: a single line that says what is wrong, where, and what to do."""

from salmu.data.private import without_credentials


class UserError(Exception):
    """Bad input, settings or surroundings. The command line prints it as `error: …` and exits with 2, without a
    traceback. Users, passwords and queries of URLs are left out of the message."""

    def __init__(self, message: str):
        super().__init__(without_credentials(" ".join(str(message).split())))
