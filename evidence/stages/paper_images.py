"""Stage paper_images of the evidence: network inputs through the paper's intermediate picture."""

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.files import replacing
from brain_tumor.imaging.preprocess import preprocess_folder
from evidence import settings as study


def main() -> None:
    """Preprocess as the product does, but through a picture of `paper.paper_step_px`."""
    step = {"paper_step_px": study.read().paper.paper_step_px}
    section = settings.read().preprocess.model_copy(update=step)
    paths = outputs.read_manifest()["path"].tolist()
    with replacing(study.PAPER_IMAGES) as aside:
        preprocess_folder(outputs.DATA, paths, aside, section)


if __name__ == "__main__":
    run(main)
