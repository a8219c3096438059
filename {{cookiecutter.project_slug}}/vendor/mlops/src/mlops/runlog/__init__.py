"""The run log: one JSON file per run on the branch `journal`."""
