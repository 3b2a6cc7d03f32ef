"""The command line: salmu run | stage | status | plan | verify | publish | inspect | …"""

import os
import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import httpx

for _level in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
    os.environ.setdefault(_level, "CRITICAL")  # the terminal shows bars and one-line errors; logs are in the UI

from salmu.data.errors import UserError  # noqa: E402
from salmu.data.files import listed, location, remove, size  # noqa: E402
from salmu.data.publish.check import check_files  # noqa: E402
from salmu.data.readers import Dataset, open_dataset  # noqa: E402
from salmu.data.store import Store  # noqa: E402
from salmu.flows.command_line.arguments import parser  # noqa: E402
from salmu.flows.command_line.plan import plan_rows, totals  # noqa: E402
from salmu.flows.command_line.status import status_rows, text_table, verify  # noqa: E402
from salmu.flows.running.lock import run_lock  # noqa: E402
from salmu.flows.running.stages import STAGES, models_of  # noqa: E402
from salmu.flows.settings import load_profile, load_run, parse_assignment  # noqa: E402
from salmu.tasks.personas.judge import published_rows, verify_personas  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit code 0: done; 2: an error that the person can mend, told in one line; 130: interrupted."""
    options = parser().parse_args(arguments)
    try:
        COMMANDS[options.command](options)
    except UserError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; what is finished is kept, run the same command again to go on", 130))
    except BrokenPipeError:
        os._exit(0)
    except httpx.TransportError as error:
        where = os.environ.get("PREFECT_API_URL", "of this run")
        sys.exit(_fail(f"the Prefect server {where} cannot be reached ({error}); what is finished is kept, run again"))


def _fail(message, code: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _overrides(options) -> dict:
    return dict(parse_assignment(text) for text in options.assignments)


def _run(options) -> None:
    from salmu.flows.everything import run_everything
    from salmu.flows.running import runners

    runners.choose(options.runner, options.workers, options.address)
    if options.profile:
        load_profile(options.profile, _overrides(options))  # refuse bad settings before a server starts
    start = time.perf_counter()
    report = run_everything(
        options.run or options.profile or "tiny", options.profile, _overrides(options), options.runs, options.until
    )
    print(f"done in {time.perf_counter() - start:.0f} s; report: {report}")


def _stage(options) -> None:
    from salmu.flows.dataset import run_stage_alone
    from salmu.flows.running import runners

    runners.choose(options.runner, options.workers, options.address)
    run = options.run or "tiny"
    stale = run_stage_alone(options.stage, run, _overrides(options), options.runs)
    print(
        f"stage {options.stage} of {run} is up to date"
        + (f"; stale now: {', '.join(stale)} (salmu run --run {run})" if stale else "")
    )


def _store(options) -> Store:
    return Store(location(options.runs) / (options.run or "tiny"))


def _opened(options) -> tuple[Store, object]:
    store = _store(options)
    return store, load_run(store.folder)


def _status(options) -> None:
    print(text_table(status_rows(*_opened(options))))


def _plan(options) -> None:
    folder = location(options.runs) / (options.run or options.profile or "tiny")
    known = not options.profile and size(folder / "settings.yaml") is not None
    settings = (
        load_run(folder, _overrides(options)) if known else load_profile(options.profile or "tiny", _overrides(options))
    )
    rows = plan_rows(Store(folder), settings, options.workers, options.gpus)
    print(text_table(rows))
    print(totals(rows, options.workers, options.gpus, options.gpu_price))
    if models := [model for model in models_of(settings) if model.name != "embedded"]:
        print("\nweights that come under licences of their own:")
        print(text_table([{"model": m.name, "for": m.use, "licence": m.licence} for m in models]))


def _verify(options) -> None:
    if options.what == "personas":
        print(text_table(verify_personas(_persona_rows(options))))
    elif options.dataset:
        print(f"{len(check_files(options.dataset))} files agree with provenance.json")
    else:
        print(f"{verify(_opened(options)[0])} files agree with their manifests")


def _persona_rows(options) -> Iterable[dict]:
    if not options.dataset:
        return _opened(options)[0].view("personas", "identity_id").rows()
    dataset = open_dataset(options.dataset)
    return published_rows(dataset.identities, dataset.proofs)


def _publish(options) -> None:
    from salmu.data.publish.send import publish_to

    def judge(found: Dataset) -> None:
        verify_personas(published_rows(found.identities, found.proofs))

    folder = options.dataset or _store(options).folder / "dataset"
    rows = publish_to(folder, options.to, [judge], options.dry_run, private=not options.public)
    print(text_table(rows))
    sent = [row["bytes"] for row in rows if row["state"] in ("new", "changed")]
    print(f"{len(sent)} files {'would be ' if options.dry_run else ''}sent, {sum(sent) / 1e6:.1f} MB")


def _inspect(options) -> None:
    from salmu.flows.command_line.inspect_items import as_page, as_text, select, write_page

    store = _store(options)
    where = {name: value for name, _, value in (text.partition("=") for text in options.where)}
    rows = list(islice(select(store, options.stage, options.item, where, options.rejects), options.rows))
    if not rows:
        raise UserError(
            f"stage {options.stage}: no such {'reject' if options.rejects else 'row'}; leave conditions away"
        )
    if options.html:
        title = f"{store.folder.name}: {options.stage}" + (", rejects" if options.rejects else "")
        write_page(
            Path(options.html), as_page(rows, title, f"{len(rows)} shown of {store.manifest(options.stage).rows}")
        )
        print(f"page: {options.html}")
    else:
        print(as_text(rows))


def _clean(options) -> None:
    store = _store(options)
    with run_lock(store.folder):
        found = [path for stage in STAGES for path in store.orphans(stage)]
        freed = sum(sum(filter(None, listed(path).values())) if path.is_dir() else size(path) or 0 for path in found)
        for path in found:
            print(path)
            if not options.dry_run:
                remove(path)
    print(f"{len(found)} {'would be ' if options.dry_run else ''}removed, {freed / 1e6:.1f} MB")


def _crashed(options) -> None:
    from salmu.flows.command_line.crashed import mark_all
    from salmu.flows.running.processes import api_server

    with api_server():
        rows = mark_all(options.silent, options.retry, options.dry_run)
    print(text_table(rows) or f"every flow run at work gave a sign of life in the last {options.silent:g} s")


def _report(options) -> None:
    from salmu.evaluation.report.build import build

    store, _ = _opened(options)
    print(f"report: {build(store.folder)}")


def _gallery(options) -> None:
    from salmu.data.gallery.build import build_dataset, build_run

    if options.dataset:
        folder = options.out or f"{options.dataset.rstrip('/')}-gallery"
        counts = build_dataset(options.dataset, folder, options.side)
    else:
        home = _opened(options)[0].folder
        folder = options.out or home / "gallery"
        counts = build_run(home, folder, options.side)
    told = ", ".join(f"{counts[name]:,} {name}" for name in ("identities", "portraits", "dropped"))
    print(f"gallery: {folder}/index.html ({told}, {counts['damaged']} without a picture)")


def _evaluate(options) -> None:
    from salmu.evaluation.scoring.evaluate import evaluate_once
    from salmu.flows.training import progress_bar

    settings = load_profile("tiny", _overrides(options)).evaluation
    evaluate_once(
        settings, options.model, location(options.dataset), Path(options.out), progress=progress_bar("evaluate")
    )
    print(f"results: {options.out}")


def _unlearn(options) -> None:
    from salmu.evaluation.unlearning.runner import unlearn
    from salmu.flows.training import progress_bar

    settings = load_profile("tiny", _overrides(options)).unlearning
    run = settings.run(options.method, options.budget, options.seed)
    folders = (Path(options.model), location(options.dataset), Path(options.out))
    unlearn(run.method, run.settings, *folders, progress_bar(run.method))
    print(f"model: {options.out}")


def _tune(options) -> None:
    from salmu.evaluation.selection.tuning import tune
    from salmu.flows.training import progress_bar

    shared = load_profile("tiny", _overrides(options)).unlearning
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


def _submission(options) -> None:
    from salmu.evaluation.verdicts.submission import check_submission

    found = check_submission(
        Path(options.model), Path(options.compromised), location(options.dataset), Path(options.results)
    )
    print("\n".join(f"holds: {line}" for line in found))


COMMANDS = {
    "run": _run,
    "stage": _stage,
    "status": _status,
    "plan": _plan,
    "verify": _verify,
    "publish": _publish,
    "inspect": _inspect,
    "clean": _clean,
    "crashed": _crashed,
    "report": _report,
    "gallery": _gallery,
    "evaluate": _evaluate,
    "unlearn": _unlearn,
    "tune": _tune,
    "submission": _submission,
}

if __name__ == "__main__":
    main()
