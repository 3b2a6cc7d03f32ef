"""Commands that list what there is: methods, settings, completion."""

import re

from salmu.data.errors import UserError
from salmu.flows import names
from salmu.flows.command_line.output import show


def methods(options) -> None:
    from salmu.evaluation.unlearning.held import PREFIX, can_be_held
    from salmu.evaluation.unlearning.registry import methods, origin

    rows = [
        {
            "name": name,
            "sees": sorted(method.sees),
            "source": method.source,
            "description": method.description,
            "from_outside": (found := origin(name)) and found.name,
            "held": f"{PREFIX}{name}" if can_be_held(method) else None,
        }
        for name, method in sorted(methods().items())
    ]
    lines = [
        f"{row['name']:<32}{', '.join(row['sees']):<18}{_first_source(row['source'])}\n    {row['description']}"
        + (f" (from {row['from_outside']})" if row["from_outside"] else "")
        for row in rows
    ]
    plain = ", ".join(row["name"] for row in rows if not row["held"])
    held = (
        f"{PREFIX + 'METHOD':<32}{'forget and more':<18}this project\n    METHOD with made captions held where they "
        f"were; any of the above but {plain}."
    )
    show(options, rows, f"{'name':<32}{'sees':<18}source\n" + "\n".join([*lines, held]))


def _first_source(source: str) -> str:
    """The work that a method is from, without the remarks on it."""
    return re.match(r"[^;(]*(\([^)]*\))?", source).group().strip()


def settings(options) -> None:
    from salmu.flows.command_line.settings_reference import as_page, setting_rows

    if options.markdown:
        print(as_page(), end="")
        return
    rows = setting_rows(options.prefix)
    if not rows:
        raise UserError(f"no setting starts with {options.prefix!r}; salmu settings lists all")
    blocks = [f"{row['key']}  {row['type']}, default {row['default']}\n    {row['description']}" for row in rows]
    show(options, rows, "\n".join(blocks))


def completion(options) -> None:
    import shtab

    from salmu.flows.command_line.arguments import parser

    root = parser()
    known = {"STAGE": names.STAGES, "PART": names.PARTS, "METHOD": names.methods(), "PROFILE": names.profiles()}
    for sub in root.commands.choices.values():
        for action in sub._actions:
            action.choices = known.get(action.metavar, action.choices)
            if action.metavar in ("DIR", "FILE", "FILE_OR_DIR"):
                action.complete = shtab.FILE if "FILE" in action.metavar else shtab.DIRECTORY
    print(shtab.complete(root, options.shell))
