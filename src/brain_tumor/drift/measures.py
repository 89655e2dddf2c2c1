"""What is compared, and how a difference is said in plain words."""

from dataclasses import dataclass

from brain_tumor.drift.compare import Direction


@dataclass(frozen=True)
class Measure:
    """A number of each image.

    Attributes:
        name: its column.
        what: the quantity, with its unit, as an axis label.
        higher: what is said where new images have more of it.
        lower: where they have less.
        unit: printed after a value.
        digits: of a value, after the point; what they do not show is no difference.
        share: a yes (1) or no (0), so that its mean is a share; else its median is told.
        held_out: depends on what the network was trained on, so only the reference images it was
            not trained on are compared with.
        of_class: images are compared with reference images of the same class.
    """

    name: str
    what: str
    higher: str
    lower: str
    unit: str = ""
    digits: int = 2
    share: bool = False
    held_out: bool = False
    of_class: bool = True

    def said(self, direction: Direction) -> str:
        """How new images differ."""
        varies = f"the {self.what.partition(',')[0]} varies differently"
        return {"higher": self.higher, "lower": self.lower, "spread": varies}[direction]

    def shown(self, value: float) -> str:
        """A value with its unit."""
        if self.share:
            return f"{value:.0%}"
        return f"{value:.{self.digits}f}{self.unit}"


MEASURES = (
    Measure("side_px", "size, px", "images are larger", "images are smaller", " px", 0),
    Measure("aspect", "width / height", "images are wider", "images are narrower"),
    Measure(
        "bytes_per_px",
        "bytes per pixel",
        "files are less compressed",
        "files are more compressed",
        " bytes per pixel",
        digits=1,
    ),
    Measure(
        "black_level",
        "darkest grey of the head, 0 to 255",
        "the darkest grey of the head is brighter",
        "the darkest grey of the head is darker",
        digits=0,
    ),
    Measure(
        "white_level",
        "brightest grey of the head, 0 to 255",
        "heads are brighter",
        "heads are darker",
        digits=0,
    ),
    Measure(
        "head_mean",
        "mean grey of the head, 0 to 1",
        "heads are brighter after preprocessing",
        "heads are darker after preprocessing",
    ),
    Measure(
        "head_deviation",
        "contrast of the head, 0 to 1",
        "heads have more contrast",
        "heads have less contrast",
    ),
    Measure(
        "detail",
        "fine detail, differences of neighbours",
        "images are sharper or noisier",
        "images are more blurred or less noisy",
        digits=3,
    ),
    Measure(
        "head_fraction",
        "head area, fraction of the image",
        "heads fill more of the image",
        "heads fill less of the image",
    ),
    Measure(
        "overlap",
        "overlap of head and atlas, 0 to 1",
        "heads fit the atlas better",
        "heads fit the atlas worse (cut off, other shapes or planes)",
    ),
    Measure(
        "axial",
        "share of axial slices",
        "more slices are axial",
        "fewer slices are axial",
        share=True,
    ),
    Measure(
        "is_yes",
        "share of tumour images",
        "more images show a tumour",
        "fewer images show a tumour",
        share=True,
        of_class=False,
    ),
    Measure(
        "distance",
        "distance to training images, standard deviations",
        "images lie farther from the training images, as the network sees them",
        "images lie nearer to the training images, as the network sees them",
        held_out=True,
    ),
    Measure(
        "right",
        "probability of the true class",
        "the model is surer of the true class",
        "the model is less sure of the true class",
        held_out=True,
    ),
)
