"""Stage calibrate: temperature and operating threshold, by out-of-fold predictions alone.

It comes behind `train`, so that another threshold trains nothing anew.
"""

from pathlib import Path

import pandas as pd

from brain_tumor import settings
from brain_tumor.atomic import write_json
from brain_tumor.model.calibration import operating_point
from brain_tumor.model.saved import ModelMeta, read_network_meta
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(
    predictions: In,
    network_json: In,
    calibration: Out,
    model_json: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Fit temperature and threshold, and complete what is known of the network by them."""
    with reporting_errors():
        section = settings.read(params).calibrate
        point = operating_point(pd.read_csv(predictions), section)
        write_json(calibration, point.model_dump())
        network = read_network_meta(network_json)
        meta = ModelMeta(
            **network.model_dump(), threshold=point.threshold, temperature=point.temperature
        )
        write_json(model_json, meta.model_dump())


if __name__ == "__main__":
    run(main)
