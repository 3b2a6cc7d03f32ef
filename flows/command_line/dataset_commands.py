"""Commands about a published dataset, or that of a run: verify, publish, gallery."""

from collections.abc import Iterable
from contextlib import nullcontext

from salmu.data.errors import UserError
from salmu.data.files import location
from salmu.data.private import without_credentials
from salmu.data.provenance import read_provenance
from salmu.data.publish.check import check_files
from salmu.data.readers import Dataset, open_dataset
from salmu.data.store import Store
from salmu.flows.command_line.opening import note_if_under_way, opened
from salmu.flows.command_line.output import show, text_table
from salmu.flows.command_line.verify import as_rows, as_text, checked, problems_of
from salmu.flows.running.lock import run_lock
from salmu.tasks.personas.judge import published_rows, verify_personas


def verify(options) -> None:
    if options.what == "personas":
        rows = verify_personas(_persona_rows(options))
        show(options, {"fields": rows}, text_table(rows))
    elif options.receipt:
        from salmu.flows.command_line.request_commands import verify_receipt

        verify_receipt(options)
    elif options.dataset:
        files = check_files(options.dataset, options.digest)
        digest = read_provenance(location(options.dataset)).folder_digest
        told = f"{len(files)} files agree with provenance.json; folder_digest {digest}"
        show(options, {"files": files, "folder_digest": digest}, told)
    elif options.digest:
        raise UserError("--digest is that of a published folder: name it with --dataset DIR")
    else:
        _verify_run(options)


def _verify_run(options) -> None:
    folder = opened(options)[0].folder
    note_if_under_way(folder)
    found = list(checked(Store(folder)))
    rows, problems = as_rows(found), problems_of(found, folder)
    show(options, {"run": folder.name, "parts": rows, "problems": problems}, as_text(rows, problems))
    if problems:
        raise UserError(f"{folder}: {len(problems)} of {len(found)} files are missing, changed or unexpected")


def _persona_rows(options) -> Iterable[dict]:
    if not options.dataset:
        return opened(options)[0].view("personas", "identity_id").rows()
    dataset = open_dataset(options.dataset)
    return published_rows(dataset.identities, dataset.proofs)


def publish(options) -> None:
    from salmu.data.publish.send import publish_to

    def judge(found: Dataset) -> None:
        verify_personas(published_rows(found.identities, found.proofs))

    home = None if options.dataset else opened(options)[0].folder
    with run_lock(home) if home else nullcontext():  # a run at work would change the files on the way
        folder = home / "dataset" if home else options.dataset
        rows = publish_to(folder, options.to, [judge], options.dry_run, private=not options.public)
    sent = [row["bytes"] for row in rows if row["state"] in ("new", "changed")]
    digest = read_provenance(location(folder)).folder_digest
    total = f"{len(sent)} files {'would be ' if options.dry_run else ''}sent, {sum(sent) / 1e6:.1f} MB"
    total += f"\nfolder_digest {digest}; who has the copy can compare: salmu verify --dataset DIR --digest {digest}"
    told = {
        "target": without_credentials(options.to),
        "dry_run": options.dry_run,
        "folder_digest": digest,
        "files": rows,
    }
    show(options, told, f"{text_table(rows)}\n{total}")


def gallery(options) -> None:
    from salmu.data.gallery.build import build_dataset, build_run

    if options.dataset:
        folder = options.out or f"{options.dataset.rstrip('/')}-gallery"
        counts = build_dataset(options.dataset, folder, options.side)
    else:
        home = opened(options)[0].folder
        note_if_under_way(home)
        folder = options.out or home / "gallery"
        counts = build_run(home, folder, options.side)
    told = ", ".join(f"{counts[name]:,} {name}" for name in ("identities", "portraits", "dropped"))
    print(f"gallery: {folder}/index.html ({told}, {counts['damaged']} without a picture)")
