"""Commands about a Prefect server: deploy, crashed."""

from salmu.data.errors import UserError
from salmu.flows.command_line.opening import opened
from salmu.flows.command_line.output import show, text_table


def deploy(options) -> None:
    from salmu.flows.command_line.deployments import BANNED, chosen, deploy_all, deployments, server
    from salmu.flows.running.flow_runs import absolute_root

    settings = opened(options)[1] if options.run else None
    if options.run and set(BANNED) & set(options.run):
        raise UserError(f"--run {options.run}: a deployment's name may not hold any of {' '.join(BANNED)}")
    root = absolute_root(options.runs)
    wanted = chosen(deployments(root, options.run, settings), options.only)
    with server() as client:
        rows = deploy_all(client, wanted, options.pool_type, options.dry_run)
    changed = sum(not row["state"].startswith("unchanged") for row in rows)
    told = f"{changed} of {len(rows)} {'would be ' if options.dry_run else ''}made or changed; runs are in {root}"
    pools = sorted({each.fields["work_pool_name"] for each in wanted})
    start = "\n".join(f"serve a pool with: prefect worker start --pool {pool}" for pool in pools)
    show(options, rows, f"{text_table(rows)}\n{told}\n{start}")


def crashed(options) -> None:
    from salmu.flows.command_line.crashed import mark_all
    from salmu.flows.running.processes import api_server

    with api_server():
        rows = mark_all(options.silent, options.retry, options.dry_run)
    if not rows:
        print(f"every running flow run gave a sign of life in the last {options.silent:g} s")
        return
    left = sum(row["done"].startswith("left") for row in rows)
    told = f"{len(rows) - left} {'would be ' if options.dry_run else ''}marked Crashed, {left} left as they are"
    print(f"{text_table(rows)}\n{told}")
