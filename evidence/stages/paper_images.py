"""Stage paper_images of the evidence: network inputs through the paper's intermediate picture."""

from pathlib import Path

from brain_tumor import settings
from brain_tumor.command import In, Out, reporting_errors, run
from brain_tumor.files import replacing
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_folder
from brain_tumor.outputs import read_manifest
from evidence.settings import PaperParams


def main(
    data: In,
    manifest: In,
    atlas: In,
    images: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Preprocess as the product does, but through a picture of `paper.paper_step_px`."""
    with reporting_errors():
        section = settings.read(params).preprocess
        paper = settings.load(evidence, "paper", PaperParams)
        through = section.model_copy(update={"paper_step_px": paper.paper_step_px})
        paths = read_manifest(manifest)["path"].tolist()
        with replacing(images) as aside:
            preprocess_folder(data, paths, aside, Atlas.load(atlas), through)


if __name__ == "__main__":
    run(main)
