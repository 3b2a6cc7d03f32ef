"""Open a run, make Compromised forget, and compare the result with the run's reference models."""

import salmu

run = salmu.open_run("runs/tiny")  # salmu.run("tiny") makes it, or brings it up to date
print(run.stages)

forget = salmu.open_dataset(run.dataset).table("forget", ["text", "data_field", "value"])
print(forget.slice(0, 3).to_pandas())

forgot = salmu.unlearn(
    "negative_gradient",
    run.models["compromised"],
    run.dataset,
    "forgot-in-python",
    budget=1,
    settings={"retain_scenes": 60},
)
results = salmu.evaluate(forgot, run.dataset, settings={"bootstrap_replicates": 200})
table = results.to_pandas()
board = run.to_pandas().set_index("model")
for reference in ("clean", "compromised", "retrained"):
    table[reference] = board.loc[reference, table.index].astype(float)
print(table[["value", "low", "high", "clean", "compromised", "retrained"]].round(3))
