"""What the functions of `salmu` return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmu.data.errors import UserError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Run:
    """A run as it was when it was opened."""

    folder: Path
    stages: dict[str, str]  # stage -> new, partial, done, stale, or waiting for a stage above it
    dataset: Path | None  # the published folder; None until it is made
    models: dict[
        str, Path
    ]  # clean, compromised, then the unlearned models by their names -> folder in open_clip's layout
    report: Path | None  # index.html
    leaderboard: list[dict[str, Any]] = field(repr=False)  # one record a model, as in leaderboard.jsonl
    settings: dict[str, Any] = field(repr=False)  # by section

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        plain = vars(self) | {"folder": str(self.folder)}
        plain |= {name: value and str(value) for name, value in (("dataset", self.dataset), ("report", self.report))}
        return plain | {"models": {name: str(folder) for name, folder in self.models.items()}}

    def to_pandas(self) -> "pandas.DataFrame":
        """The leaderboard: one row a model, one column a metric. Raises UserError without pandas."""
        return _pandas().DataFrame(self.leaderboard)


@dataclass(frozen=True)
class Results:
    """The metrics of a model."""

    model: str
    metrics: dict[str, float | None]  # None: there was nothing to measure it on
    intervals: dict[str, tuple[float, float] | None]  # 95 %, by a bootstrap over people
    document: Mapping[str, Any] = field(repr=False)  # all that was measured, as a result file holds it

    def to_dict(self) -> dict[str, Any]:
        """What a result file holds: the published layout, and what goes beyond it under "extended"."""
        return dict(self.document)

    def to_pandas(self) -> "pandas.DataFrame":
        """One row a metric: value, interval, chance, and the reference model whose value is the goal. Raises UserError
        without pandas."""
        from salmu.evaluation.metrics.score import target

        chance = self.document["extended"]["chance"]
        rows = [
            {
                "metric": metric,
                "value": value,
                "low": (self.intervals[metric] or (None, None))[0],
                "high": (self.intervals[metric] or (None, None))[1],
                "chance": chance.get(metric),
                "should_be": target(metric),
            }
            for metric, value in self.metrics.items()
        ]
        return _pandas().DataFrame(rows).set_index("metric")

    def save(self, path: str | Path) -> None:
        """Write the result file that `salmu submission` and the leaderboard read."""
        from salmu.evaluation.scoring.evaluate import write_results

        write_results(dict(self.document), Path(path))


def _pandas():
    try:
        import pandas
    except ImportError:
        raise UserError("to_pandas needs a package that is not installed: pip install pandas") from None
    return pandas
