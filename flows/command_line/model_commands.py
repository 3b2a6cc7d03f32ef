"""Commands about models: evaluate, unlearn, tune, submission."""

from pathlib import Path

from salmu.data.files import location
from salmu.flows.command_line.opening import overrides
from salmu.flows.command_line.output import text_table
from salmu.flows.settings import load_profile


def evaluate(options) -> None:
    from salmu.evaluation.scoring.evaluate import evaluate_once
    from salmu.flows.training import progress_bar

    settings = load_profile("tiny", overrides(options)).evaluation
    evaluate_once(
        settings, options.model, location(options.dataset), Path(options.out), progress=progress_bar("evaluate")
    )
    print(f"results: {options.out}")


def unlearn(options) -> None:
    from salmu.evaluation.unlearning.runner import unlearn
    from salmu.flows.training import progress_bar

    settings = load_profile("tiny", overrides(options)).unlearning
    run = settings.run(options.method, options.budget, options.seed)
    folders = (Path(options.model), location(options.dataset), Path(options.out))
    unlearn(run.method, run.settings, *folders, progress_bar(run.method))
    print(f"model: {options.out}")


def tune(options) -> None:
    from salmu.evaluation.selection.tuning import tune
    from salmu.flows.training import progress_bar

    shared = load_profile("tiny", overrides(options)).unlearning
    values = shared.model_dump(include={"batch_size", "retain_scenes", "device", "threads"})
    record = tune(
        options.method,
        Path(options.model),
        location(options.dataset),
        Path(options.out),
        options.trials,
        options.seed,
        values,
        progress_bar(options.method),
    )
    print(text_table([{"setting": name, "tuned": value} for name, value in record["tuned"].items()]))
    print(f"trial {record['trial']} of {record['trials']}, score {record['score']:.4f}: {record['objective']}")


def submission(options) -> None:
    from salmu.evaluation.verdicts.submission import check_submission

    found = check_submission(
        Path(options.model), Path(options.compromised), location(options.dataset), Path(options.results)
    )
    print("\n".join(f"holds: {line}" for line in found))
