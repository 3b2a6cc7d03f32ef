#!/usr/bin/env bash
# prefect 3.9.1: a task with cache_policy=INPUTS that ran for (224, 112) does not run for [224, 112]: it returns the
# tuple's result. {1: "a"} and {"1": "a"} share a result too. For a set of words it runs again in every process.
#
# Guess before the run: inputs of different types have different keys, as 1, 1.0 and True have, and equal inputs have
# equal ones, in every process.
# Seen: the key is the digest of the inputs as JSON, which has no tuples and only text as keys. A set is written in the
# order of its hashes, and Python's hashes of text change from process to process.
# It matters for tasks that get a size, a shape or a table of labels by number: after result["1"] comes result[1], a
# KeyError or, with get(), nothing found. And a costly task that is asked about a set of names or splits is never taken
# from the cache, although its inputs are equal. Give sorted lists, and give cache_key_fn where types decide.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile prefect==3.9.1
cat > "$folder/cached.py" <<'PYTHON'
import json
import sys

from prefect import flow, task
from prefect.cache_policies import INPUTS

WORDS = "red green blue black white grey".split()
INPUT = (224, 112), [224, 112], {1: "a"}, {"1": "a"}, 1, 1.0, True, WORDS, set(WORDS)
ran = []


@task(cache_policy=INPUTS, persist_result=True)
def seen(value):
    ran.append(value)
    return repr(value)


@flow
def asked():
    results = []
    for value in INPUT:
        before = len(ran)
        results.append((seen(value), len(ran) > before))
    return results


if __name__ == "__main__":
    for value, (result, has_run) in zip(INPUT[:-1], results := asked()):
        print(f"{value!r} gives {result}, {'run' if has_run else 'from the cache'}")
    print("the set of words:", "run" if results[-1][1] else "from the cache")
    json.dump(results, sys.stderr)
PYTHON
export PREFECT_HOME="$folder/prefect" HOME="$folder"
export PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300
"$folder/venv/bin/python" -c 'import prefect; print("prefect", prefect.__version__)'
for hashes in 1 2; do
    echo "process $hashes"
    PYTHONHASHSEED=$hashes "$folder/venv/bin/python" -W ignore "$folder/cached.py" 2> "$folder/$hashes.json" ||
        { tail -20 "$folder/$hashes.json"; exit 1; }
done
"$folder/venv/bin/python" - "$folder/1.json" "$folder/2.json" <<'PYTHON'
import json
import sys

first, second = (json.loads(open(name).read().splitlines()[-1]) for name in sys.argv[1:])
assert [result for result, _ in first[:4]] == ["(224, 112)", "(224, 112)", "{1: 'a'}", "{1: 'a'}"]
assert [has_run for _, has_run in first] == [True, False, True, False, *[True] * 5]
assert [has_run for _, has_run in second] == [*[False] * 8, True]
PYTHON
