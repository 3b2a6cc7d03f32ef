"""Commands about models: evaluate, unlearn, merge, tune, submission."""

from pathlib import Path

from salmu.data.documents import read_checked
from salmu.data.errors import UserError
from salmu.data.files import location
from salmu.flows.command_line.opening import overrides
from salmu.flows.command_line.output import show, text_table
from salmu.flows.settings import load_profile


def evaluate(options) -> None:
    from salmu.evaluation.encoding.reading import remarks
    from salmu.evaluation.metrics.results_file import read_results
    from salmu.evaluation.scoring.evaluate import evaluate_once
    from salmu.flows.running.progress import terminal_progress

    changes = overrides(options) | ({"evaluation.attacks.enabled": True} if options.attacks else {})
    settings, out = load_profile("tiny", changes).evaluation, Path(options.out)
    if options.start and not settings.attacks.enabled:
        raise UserError("--start is for attacks; add --attacks")
    with terminal_progress("evaluate", "images") as tell:
        evaluate_once(settings, options.model, location(options.dataset), out, progress=tell, start=options.start)
    results = read_results(out)
    tables = [text_table(rows) for rows in (_metric_rows(results), _attack_rows(results)) if rows]
    notes = [f"note: {one}" for one in remarks(results.get("extended", {}).get("captions", {}))]
    show(options, results, "\n".join(["\n\n".join(tables), *notes, f"results: {out}"]))


def _metric_rows(results: dict) -> list[dict]:
    from salmu.evaluation.metrics.score import METRICS, PUBLISHED, headline, interval

    rows = []
    for metric in METRICS:
        value, bounds = headline(results, metric), interval(results, metric)
        rows.append(
            {
                "metric": metric,
                "of": PUBLISHED[metric][0] if metric in PUBLISHED else "extended",
                "value": "not measured" if value is None else f"{value:.4f}",
                "95 % interval": f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else "",
            }
        )
    return rows


def _attack_rows(results: dict) -> list[dict]:
    rows = []
    for name, found in results.get("extended", {}).get("attacks", {}).items():
        value, bounds, chance = (found.get(key) for key in ("value", "interval", "chance"))
        rows.append(
            {
                "attack": name,
                "value": found.get("reason", "not measured") if value is None else f"{value:.4f}",
                "95 % interval": f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else "",
                "chance": f"{chance:.4f}" if chance is not None else "",
            }
        )
    return rows


def unlearn(options) -> None:
    from salmu.evaluation.unlearning.record import RECORD, Record
    from salmu.evaluation.unlearning.runner import unlearn
    from salmu.flows.running.progress import terminal_progress

    settings = load_profile("tiny", overrides(options)).unlearning
    run = settings.run(options.method, options.budget, options.seed)
    folders = (Path(options.model), location(options.dataset), Path(options.out))
    with terminal_progress(run.method, "steps") as tell:
        unlearn(run.method, run.settings, *folders, tell, replace=options.force)
    record = read_checked(Path(options.out) / RECORD, Record)
    show(options, record, f"{text_table(_cost_rows(record))}\nmodel: {options.out}")


def _cost_rows(record: dict) -> list[dict]:
    """What a method did, one row a figure."""
    saw = {f"different {part} pairs seen": seen["pairs"] for part, seen in record["saw"].items()}
    names = ("method", "budget", "steps", "pairs_seen", "seconds", "peak_memory_mb", "peak_gpu_memory_mb")
    told = {name.replace("_", " "): record[name] for name in names if name in record}
    for seen in record["saw"].values():
        if seen.get("scenes_from"):
            saw["scenes decided by"] = seen["scenes_from"]
    return [{"figure": name, "value": str(value)} for name, value in (told | saw).items()]


def merge(options) -> None:
    from salmu.evaluation.unlearning.low_rank import merge

    same = merge(Path(options.edit), Path(options.model), Path(options.out), replace=options.force)
    told = "the unlearned model, to the bit" if same else "the unlearned model but for the last bits of its weights"
    show(options, {"model": options.out, "same_bits": same}, f"model: {options.out} ({told})")


def tune(options) -> None:
    from salmu.evaluation.selection.tuning import tune
    from salmu.flows.running.progress import terminal_progress

    shared = load_profile("tiny", overrides(options)).unlearning
    values = shared.model_dump(include={"batch_size", "retain_scenes", "device", "threads"})
    folders = (Path(options.model), location(options.dataset), Path(options.out))
    with terminal_progress(f"tune {options.method}", "trials") as tell:
        record = tune(options.method, *folders, options.trials, options.seed, values, tell)
    table = text_table([{"setting": name, "tuned": value} for name, value in record["tuned"].items()])
    best = f"trial {record['trial'] + 1} of {record['trials']} is the best, score {record['score']:.4f} of at most 1"
    lines = [table, best, *_edge_lines(record), f"all trials: {options.out}"]
    show(options, record, "\n".join(lines))


def _edge_lines(record: dict) -> list[str]:
    """What a tuning tells of the ends of the spaces that it searched."""
    lines = [
        f"{name}: the best lay at an end of the space searched, {change['from'][0]} to {change['from'][1]}; the search "
        f"went on in {change['to'][0]} to {change['to'][1]}"
        for name, change in record["widened"].items()
    ]
    if record["at_an_end"]:
        lines.append(f"still at an end: {', '.join(record['at_an_end'])}; more trials may find better values")
    return lines


def submission(options) -> None:
    from salmu.evaluation.verdicts.submission import check_submission

    found = check_submission(
        Path(options.model), Path(options.compromised), location(options.dataset), Path(options.results)
    )
    show(options, {"accepted": True, "holds": found}, "\n".join(f"holds: {line}" for line in found))
