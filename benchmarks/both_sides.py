"""The project as it was at a commit, so that a script can run both sides in processes of their own.

with code_of("efe407b") as path:
    subprocess.run([sys.executable, __file__, ...], env=os.environ | {"PYTHONPATH": path})
"""

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def code_of(commit: str | None) -> Iterator[str]:
    """A folder in which `import salmu` finds the code of a commit; of None: the code that lies here."""
    with tempfile.TemporaryDirectory(prefix="salmu-side-") as folder:
        source = ROOT
        if commit:
            source = Path(folder) / "source"
            archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(source, filter="data")
        package = Path(folder) / "import" / "salmu"
        package.mkdir(parents=True)
        for path in (source / "salmu").glob("*.py"):
            (package / path.name).symlink_to(path)
        for name in ("data", "tasks", "prompts", "model_training", "evaluation", "flows"):
            (package / name).symlink_to(source / name)
        yield str(package.parent)
