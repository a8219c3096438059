"""The routes that serving.py compares with: one does nothing, one predicts.

Usage: python serving_routes.py (nothing | pipeline) --port PORT [--model FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()
parser = argparse.ArgumentParser()
parser.add_argument("route", choices=["nothing", "pipeline"])
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--model", type=Path)
options = parser.parse_args()

if options.route == "nothing":

    @app.post("/predict")
    async def nothing(request: Request) -> dict[str, Any]:
        """Read the body and answer."""
        await request.body()
        return {"predictions": [{"score": 0.5}]}

else:
    from mlops.training.model import Model

    model = Model.load(options.model, "employment")

    @app.post("/predict")
    async def pipeline(request: Request) -> dict[str, Any]:
        """Predict with features and pipeline, and neither check nor log."""
        rows = (await request.json())["rows"]
        outputs = model.predict(pd.DataFrame([rows]))
        return {"predictions": outputs.to_dict("records")}


uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")
