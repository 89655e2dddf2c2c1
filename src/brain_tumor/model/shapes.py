"""What InceptionV3's blocks give, as numbers: nothing here needs Keras."""

from typing import Literal

Form = Literal["maps", "gap", "paper"]
_CHANNELS = (192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048)  # stem, mixed0, ...


def output_shape(block: int, form: Form, size_px: int) -> tuple[int, ...]:
    """Shape of what a block gives for one image, without building the network.

    Args:
        block: 0 to 10, -1 for the stem.
        form: `maps`, or the vector a head of that kind takes (`gap`, `paper`).
        size_px: side of the image.
    """
    side = _halved(_halved(_halved(size_px) - 2) - 2)
    for reduction in (3, 8):
        side = _halved(side) if block >= reduction else side
    channels = _CHANNELS[block + 1]
    shapes = {
        "maps": (side, side, channels),
        "gap": (channels,),
        "paper": (side * side * channels,),
    }
    return shapes[form]


def stride_px(block: int) -> int:
    """Pixels of the image between neighbouring places of a block's maps, 8 to 32.

    The maps are centred on the image: no padding is asymmetric.
    """
    return 8 << sum(block >= reduction for reduction in (3, 8))


def _halved(side: int) -> int:
    """Side after a 3 x 3 window of stride 2 without padding."""
    return (side - 3) // 2 + 1
