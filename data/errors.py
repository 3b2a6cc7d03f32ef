"""The one exception that a person sees: a single line that says what is wrong, where, and what to do."""


class UserError(Exception):
    """Bad input, settings or surroundings. The command line prints it as `error: …` and exits with 2, without a
    traceback."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


def missing_extra(package: str, extra: str, needed_by: str) -> UserError:
    """The error for an optional package that is not installed."""
    return UserError(f"{needed_by} needs the package {package!r}, which is not installed: pip install -e '.[{extra}]'")
