"""The one exception that a person sees: a single line that says what is wrong, where, and what to do."""


class UserError(Exception):
    """Bad input, settings or surroundings. The command line prints it as `error: …` and exits with 2, without a
    traceback."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))
