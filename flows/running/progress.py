"""How far long work is, and how long it still takes: a bar on a terminal, elsewhere a line a minute, and in the Prefect
UI a progress card of the run."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tqdm import tqdm

from salmu.flows.running.artifacts import Progress
from salmu.flows.running.console import quiet

EVERY = 60.0  # seconds between two lines where there is no terminal
Show = Callable[[int, int], None]  # (done, total), as often as one likes


@contextmanager
def shown_progress(run: str, name: str, unit: str, place: int = 0) -> Iterator[Show]:
    """For long work inside a task of a run: the terminal and a progress card. `place`: row of the bar, where several
    processes draw one."""
    with terminal_progress(name, unit, place) as show_in_terminal, closing(Progress(run, name, 0, 1)) as card:

        def show(done: int, total: int) -> None:
            show_in_terminal(done, total)
            card.total = max(total, 1)
            card.advance(done - card.done)

        yield show


@contextmanager
def terminal_progress(name: str, unit: str, place: int = 0) -> Iterator[Show]:
    """For long work of a command: the terminal alone."""
    if quiet():
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with tqdm(desc=name, unit=f" {unit}", position=place, leave=False, delay=0.5) as bar:

            def show(done: int, total: int) -> None:
                if bar.total is None:
                    bar.initial = bar.n = done  # work of an earlier start says nothing about the speed
                bar.total = total
                bar.update(done - bar.n)

            yield show
    else:
        yield lines(name, unit, lambda line: print(line, file=sys.stderr, flush=True))


def lines(name: str, unit: str, write_line: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Show:
    """Writes a line a minute: "training of clean: 120 of 500 steps, about 3 min left"."""
    told, began, first = clock(), None, 0

    def show(done: int, total: int) -> None:
        nonlocal told, began, first
        now = clock()
        if began is None:  # work of an earlier start says nothing about the speed
            began, first = now, done
        if now - told < EVERY or done >= total:
            return
        told = now
        left = f", about {in_words((total - done) * (now - began) / (done - first))} left" if done > first else ""
        write_line(f"{name}: {done:,} of {total:,} {unit}{left}")

    return show


def in_words(seconds: float) -> str:
    """45 -> "45 s", 200 -> "3 min", 5400 -> "1 h 30 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
