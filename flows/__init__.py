"""When things run: the only Prefect code. Importing it sets quiet, offline defaults for Prefect unless the
surroundings say otherwise."""

import os

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # the first start makes the database
    "OMP_NUM_THREADS": "1",  # a worker is one process on one core: more threads would change sums, and so bytes
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a Ray task that asked for no GPU leaves CUDA_VISIBLE_DEVICES alone
    "TOKENIZERS_PARALLELISM": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "PYTHONWARNINGS": "ignore:resource_tracker",  # what it cleans up after Ctrl-C, in the middle of the last line
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)
