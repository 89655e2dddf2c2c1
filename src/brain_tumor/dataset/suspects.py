"""Images of the 253 whose label is doubted; figures are given with and without them."""

from typing import Final

import pandas as pd

# SHA-256 of files of Kaggle's `brain-mri-images-for-brain-tumor-detection`. Drawn up by eye before
# any model; never to be extended from a model's errors.
SUSPECTS: Final[tuple[str, ...]] = (
    # an abdominal CT, and a head CT with a mass
    "8d6c1b4cd984419b60c39cf4b70a7e6c7d67604f2e386a0113c6a85427761030",  # yes/Y248.JPG
    "1a7acec452891038ede718862dddf209915a51deb0ac3718948c235519adc94b",  # no/N1.JPG
    # `no`, with a lesion
    "bbff47f934ea46331f73aff755f7f95f2092f7752e12073be33506a0401194f2",  # no/N11.jpg
    "c9d574a467241cb359d2359735e7e00ab4b44579d46454b73c6373ca6f5f1777",  # no/N15.jpg
    "bfcce139b2b992882ed67161669f89684eb87db34f22faf7ef5cd54f7f45b38f",  # no/N16.jpg
    "fab9adae37e0a120ed7a5bab511576e97182c53a7b76a5fa71512eb2fecd6104",  # no/N17.jpg
    "c9687992fb9b08ab473b261f402dcf5c196db74f8f5b0a68a8dde724e6a58280",  # no/N19.JPG
    "93572395500b08348a4ccd6330704a4c37010f0217e2597535ac5e01a5ed20ab",  # no/N22.JPG
    "220e62fca790bcec10dd87a812af63ee18019ee2a711dd3101602743e556b07b",  # no/32 no.jpg
    # `yes`, without an obvious mass
    "f7a12e5d06d49c862947d4fbd07ce1af5e381522ed02a700463bf0dfb212b478",  # yes/Y117.JPG
    "a89a5d4ea98af15a383ccaf6cd960384440243745dffbbac2f6415edd81fc12d",  # yes/Y185.jpg
    "10e6d731d447b374a37741f9f80585a2a2ce92e0f69636c27ee69739d0c7b7fc",  # yes/Y247.JPG
    "bb935cc3d5fcee4622df24eef07ea31232ad6b6c0b6855fb3660824573fde3a3",  # yes/Y251.JPG
)


def suspect_paths(manifest: pd.DataFrame) -> list[str]:
    """Manifest paths of the images on the list, by their bytes, whatever they are called."""
    return sorted(manifest["path"][manifest["sha256"].isin(SUSPECTS)])
