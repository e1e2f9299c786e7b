"""Images of three people for tests of verification: one colour per person."""

from pathlib import Path

from PIL import Image as Pil

from training.data.datasets.identities import IdentityImage


def write_people(folder: Path) -> list[IdentityImage]:
    """Write three images of each of three people; the last image of the last one is dark, without a face."""
    out = []
    for person, colour in {"a": (250, 60, 60), "b": (60, 250, 60), "c": (60, 60, 250)}.items():
        for i in range(3):
            path = folder / person / f"{person}{i}.png"
            path.parent.mkdir(exist_ok=True)
            shade = tuple(v - 10 * i for v in colour)
            Pil.new("RGB", (100, 80), (0, 0, 0) if (person, i) == ("c", 2) else shade).save(path)
            out.append(IdentityImage(path, person, path.name))
    return out
