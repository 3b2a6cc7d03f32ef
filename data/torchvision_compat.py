"""Let a torchvision wheel that was built for CUDA be imported beside a CPU-only torch.

PyPI's Linux wheel of torchvision links against CUDA libraries. Beside a CPU build of torch its extension cannot be
loaded, and then `import torchvision` fails with "operator torchvision::nms does not exist", and with it open_clip,
timm and transformers. Declaring the two operators that torchvision's import looks up is enough: transforms, models
and box operations are plain Python.

It acts only when somebody imports torchvision, beside a torch without CUDA or ROCm, on Linux, and if the extension
does not load. salmu_torchvision.pth, installed beside the package, puts it in place whenever Python starts, so that
open_clip and the others work without `import salmu`; this module therefore imports next to nothing.
"""

import sys
from importlib.machinery import PathFinder

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries = []  # a torch Library's declarations live as long as the object


def _declare_operators(package: str) -> None:
    from pathlib import Path

    import torch

    if torch.version.cuda or torch.version.hip or _libraries:
        return
    for extension in Path(package).glob("_C*.so"):
        try:
            torch.ops.load_library(str(extension))
            return
        except OSError:
            pass
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    _libraries.append(library)


class _TorchvisionFinder:
    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torchvision":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None or not spec.submodule_search_locations:
            return spec
        execute = spec.loader.exec_module

        def declare_then_execute(module):
            _declare_operators(spec.submodule_search_locations[0])
            execute(module)

        spec.loader.exec_module = declare_then_execute
        return spec


def install() -> None:
    """Watch for the import of torchvision in this process; does nothing off Linux or a second time."""
    if sys.platform == "linux" and not any(isinstance(finder, _TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TorchvisionFinder())
