"""The command `salmu concepts`: can a model forget styles and signs that its captions hardly ever named?"""

from salmu.flows.command_line.opening import existing, overrides
from salmu.flows.command_line.output import show, text_table


def concepts(options) -> None:
    from pathlib import Path

    from salmu.evaluation.report.concepts import PAGE, table, told
    from salmu.flows.concepts import run_concepts
    from salmu.flows.running import runners
    from salmu.flows.settings import load_run

    folder, changes = existing(options).folder, overrides(options)
    load_run(folder, changes)  # refuses what is unknown before a server starts
    runners.choose(options.runner, options.workers, options.address)
    report = run_concepts(folder.name, changes, options.runs)
    rows = table(folder)
    text = "\n\n".join([text_table([_plain(row) for row in rows]), *told(rows)])
    show(options, rows, f"{text}\nreport: {Path(report).with_name(PAGE)}")


def _plain(row: dict) -> dict:
    """ConceptMRR of a model by question, and what went wrong."""
    values = {question: f"{parts['ConceptMRR']['value']:.2f}" for question, parts in row["questions"].items()}
    failures = "not judged" if row["failures"] is None else ", ".join(row["failures"]) or "none"
    told = {"GenKnow": f"{row['GenKnow']['value']:.2f}", "failures": "reference" if row["reference"] else failures}
    return {"ConceptMRR": row["title"]} | values | told
