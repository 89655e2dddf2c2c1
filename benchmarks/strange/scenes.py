"""Photographs, screenshots of text and charts."""

from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

_WORDS = (
    *("patient", "report", "brain", "scan", "no", "finding", "of", "the", "left", "right"),
    *("image", "click", "here", "menu", "file", "edit", "view", "2019", "total", "error"),
    *("warning", "table", "invoice", "page", "dear", "sir", "slice", "contrast", "axial"),
)


def photograph(rng: np.random.Generator) -> Picture:
    """A random part of one of the photographs that scikit-learn and Matplotlib ship."""
    picture = _photographs()[rng.integers(3)]
    side = rng.uniform(0.25, 1.0) * min(picture.size)
    width, height = side * rng.uniform(0.7, 1.0, 2)
    left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - height)
    part = picture.crop((int(left), int(top), int(left + width), int(top + height)))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(part.convert("L" if rng.random() < 0.5 else "RGB"))


def _photographs() -> list[Image.Image]:
    import matplotlib as mpl

    shipped = files("sklearn.datasets") / "images"
    paths = [shipped / "china.jpg", shipped / "flower.jpg"]
    paths.append(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    return [Image.open(BytesIO(path.read_bytes())).convert("RGB") for path in paths]


def text(rng: np.random.Generator) -> Picture:
    """Lines of words, dark on light or light on dark."""
    import matplotlib as mpl

    names = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono-Bold.ttf")
    font_file = Path(mpl.get_data_path()) / "fonts" / "ttf" / names[rng.integers(3)]
    size = int(rng.integers(9, 36))
    width, height = (int(side) for side in rng.integers(180, 700, 2))
    paper, ink = (245, 20) if rng.random() < 0.5 else (25, 225)
    page = Image.new("L", (width, height), paper)
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(str(font_file), size)
    for top in range(int(rng.integers(4, 40)), height, int(size * rng.uniform(1.2, 2.0))):
        line = " ".join(rng.choice(_WORDS, int(rng.integers(1, 12))))
        draw.text((int(rng.integers(4, 30)), top), line, fill=ink, font=font)
    return np.asarray(page)


def chart(rng: np.random.Generator) -> Picture:
    """Lines, bars, points or a table of numbers as colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=tuple(rng.uniform(3, 6, 2)), dpi=80)
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    if rng.random() < 0.3:
        figure.set_facecolor("0.1")
        axes.set_facecolor("0.1")
    values = rng.normal(0, 1, (int(rng.integers(5, 40)), 3)).cumsum(axis=0)
    kind = rng.integers(4)
    if kind == 0:
        axes.plot(values)
    elif kind == 1:
        axes.bar(range(len(values)), values[:, 0])
    elif kind == 2:
        axes.scatter(values[:, 0], values[:, 1], s=200 * rng.random(len(values)))
    else:
        axes.imshow(values.T, aspect="auto")
    axes.set_title(" ".join(rng.choice(_WORDS, 3)))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
