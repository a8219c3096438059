"""Look at data and model in Python, cell by cell.

Editors such as VS Code and PyCharm run a cell (`# %%`) at a time, as a notebook does;
Jupyter opens this file by jupytext. As a script: `python docs/explore.py`, after
`mlops run employment`.
"""

# %% The rows that the model learned from, with the types of model.yaml
from mlops import load_data, load_model

# Look at the training part only: a model that was chosen by its test rows looks better
# than it is.
people = load_data("employment", "train")
print(people.describe(include="all").T)

# %% The target by a feature
rate = people.groupby("schooling")["employed"].agg(
    rows="size", employed=lambda answers: (answers == "yes").mean()
)
print(rate.sort_values("employed"))

# %% The model of the last `mlops run`; "employment@production" is the one in production
model = load_model("employment")
print(model.pipeline)

# %% What the estimator sees
print(model.features(people.head()))

# %% Predictions, beside what happened
predicted = model.predict(people)
right = predicted["prediction"] == people["employed"]
accuracy = right.mean()
print(f"accuracy on the rows that it learned from: {accuracy:.3f}")

# %% The ten worst mistakes: sure of it, and wrong
surprise = (predicted["score"] - (people["employed"] == "yes")).abs()
worst = people.assign(score=predicted["score"]).loc[surprise.nlargest(10).index]
print(worst)
