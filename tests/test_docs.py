"""The book in docs/: every command in it is run, or parsed where it needs what a test has not; the site builds; what it
shows of code, output and metrics is so."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import doc_commands
import pytest
import yaml
from smoke_run import CHANGES

from salmu.evaluation.metrics.score import METRICS
from salmu.evaluation.unlearning.registry import methods
from salmu.flows.command_line import cli
from salmu.flows.settings import load_profile, parse_assignment

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PROJECT = ("data", "docs", "evaluation", "flows", "model_training", "prompts", "tasks", "tests", "pyproject.toml")
SMALL = [  # what `salmu run --profile tiny` and `salmu evaluate` get here: less of all, as in the run that is there
    *CHANGES,
    "pair.seeds=1",  # of the two that CHANGES asks for
    "candidates.count=16",
    "anchors.count=14",
    "portraits.per_identity=10",
    "portraits.short_side=96",
    "curation.identities=10",
    "curation.retain_identities=2",
    "curation.min_portraits=5",
    "pair.scenes=200",
    "pair.everyday=10",
    "pair.epochs=1",
    "unlearning.methods={negative_gradient: {}}",
    "unlearning.retain_scenes=60",
    "evaluation.zero_shot_per_class=1",
    "evaluation.probe_draws=2",
    "evaluation.bootstrap_replicates=100",
]
# Of the run that is there: what is made anew, and the second pair.
LEFT_OUT = ("settings.yaml", "s1", "unlearned", "results", "leaderboard*", "report", "fragile_set.json")
FEWER_SCENES = ["--set", "unlearning.retain_scenes=60"]  # what `salmu unlearn` and `salmu tune` get here
SECONDS = 240  # for one command, on a busy machine


class Block(NamedTuple):
    """A fenced block: its language, what it needs beyond a plain machine, and its text."""

    page: str
    language: str
    needs: str
    output: bool  # what the command before it prints
    text: str

    @property
    def commands(self) -> list[str]:
        return self.text.replace("\\\n", " ").splitlines()


def blocks_of(page: str) -> list[Block]:
    found = []
    for head, text in re.findall(r"^```(.+)\n((?:.*\n)*?)```$", (DOCS / page).read_text(encoding="utf-8"), flags=re.M):
        language, needs = re.search(r"\w+", head)[0], re.search(r"\.needs-(\w+)", head)
        found.append(Block(page, language, needs[1] if needs else "", ".output" in head, text))
    return found


PAGES = [page for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for page in entry.values()]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]


@pytest.fixture(scope="module")
def clone(smoke_run, tmp_path_factory) -> Path:
    """A copy of the project for the commands, with the runs that they make. Dataset and pair are there already."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(smoke_run, folder / "runs" / "tiny", ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in PROJECT:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, folder / name)
    return folder


def done(command: str, folder: Path, env: dict[str, str]) -> str:
    """Run a command of the book; returns what it printed."""
    words = shlex.split(command)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        env = env | {name: value}
    if words[:4] == ["salmu", "run", "--profile", "tiny"] or words[:2] == ["salmu", "evaluate"]:
        words[2:2] = [word for change in SMALL for word in ("--set", change)]
    if words[:2] in (["salmu", "unlearn"], ["salmu", "tune"]):
        words += FEWER_SCENES
    if words[0] in ("salmu", "pytest", "python"):
        code, output = doc_commands.run(words, folder, env, SECONDS)
    else:
        run = subprocess.run(
            ["bash", "-c", command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        code, output = run.returncode, run.stdout
    assert code == 0, f"{command}\n{output[-3000:]}"
    return output


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.page == page and not b.needs for b in SHELL)])
def test_the_commands_of_a_page_run(page, clone, prefect_server):
    """In the order of the book: later pages use what earlier ones made."""
    env = {"SALMU_RUNNER": "thread", "SALMU_WORKERS": "1", "PREFECT_API_URL": prefect_server, "OMP_NUM_THREADS": "1"}
    output = ""
    for block in blocks_of(page):
        if block.language == "sh" and not block.needs:
            for command in block.commands:
                output = done(command, clone, env)
        elif block.output:
            shown, printed = ([line.rstrip() for line in lines] for lines in (block.commands, output.splitlines()))
            assert printed[: len(shown)] == shown, output  # warnings about this machine may follow


@pytest.mark.parametrize("block", [block for block in SHELL if block.needs], ids=lambda block: block.page)
def test_commands_that_need_more_are_written_rightly(block):
    checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for command in block.commands:
        words = shlex.split(command)
        if "salmu" in words[:1]:
            options = cli.parser().parse_args(words[1:])
            profile = getattr(options, "profile", None) or "tiny"
            load_profile(profile, dict(parse_assignment(text) for text in getattr(options, "assignments", [])))
        for path in re.findall(r"(?:deploy|model_training)/[\w./-]+", command):
            assert (ROOT / path).is_file(), f"{block.page}: {path}"


def test_the_site_builds_and_no_link_is_broken(tmp_path):
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("*.html")}
    assert {Path(page).with_suffix(".html").name for page in PAGES} <= set(pages)
    for name, html in pages.items():
        fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', html)
        assert not fetched, f"{name} cannot be read offline: {fetched}"
        for page, anchor in re.findall(r'href="(?:\./)?([\w-]+\.html)?(#[\w-]+)?"', html):
            assert (page or name) in pages, f"{name} links to {page}"
            assert not anchor or f'id="{anchor[1:]}"' in pages[page or name], f"{name} links to {page}{anchor}"


def test_code_that_the_book_shows_is_a_file_of_it():
    files = {path.read_text(encoding="utf-8") for path in (DOCS / "examples").glob("*.py")}
    shown = [block.text for block in BLOCKS if block.language == "python"]
    assert shown and set(shown) <= files


def test_the_book_names_every_metric_and_every_published_method():
    results, comparison = ((DOCS / name).read_text(encoding="utf-8") for name in ("results.md", "comparison.md"))
    assert all(f"`{metric}`" in results for metric in METRICS)
    words = comparison.lower().replace("-", " ")
    missing = [name for name in methods() if not any(name.replace("_", gap) in words for gap in (" ", "_", ""))]
    assert not missing, f"comparison.md says nothing of {missing}"


def test_the_install_command_is_the_readmes():
    command = SHELL[1].commands[0]
    assert SHELL[1].page == "first-run.md" and f"    {command} && " in (ROOT / "README.md").read_text(encoding="utf-8")
