"""Stage calibrate: temperature and operating threshold, by out-of-fold predictions alone.

It comes behind `train`, so that another threshold trains nothing anew.
"""

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.files import read_artefact, write_json
from brain_tumor.model.calibration import operating_point
from brain_tumor.model.saved import ModelMeta, NetworkMeta

_COLUMNS = ("path", "y", "fold", "probability")


def main() -> None:
    """Fit temperature and threshold, and complete what is known of the network by them."""
    out_of_fold = outputs.read_table(
        outputs.OUT_OF_FOLD, _COLUMNS, dtype={"y": "int64", "probability": "float64"}
    )
    point = operating_point(out_of_fold, settings.read().calibrate)
    point.write(outputs.CALIBRATION)
    network = read_artefact(outputs.NETWORK_META, NetworkMeta, "run `dvc repro train`")
    meta = ModelMeta(
        **network.model_dump(), threshold=point.threshold, temperature=point.temperature
    )
    write_json(outputs.MODEL_META, meta.model_dump())


if __name__ == "__main__":
    run(main)
