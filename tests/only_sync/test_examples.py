"""The examples and the README's code run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import real_clip

ROOT = Path(__file__).parents[2]
CLIPS = [real_clip("carphone_pristine.mp4"), real_clip("bikes.mp4")]


def run(path: Path, home: Path, *arguments: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        env={**os.environ, "DREAMLAKE_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_first_frames(tmp_path: Path) -> None:
    out = run(ROOT / "examples" / "first_frames.py", tmp_path, CLIPS[1])
    assert "numpy (62, 272, 640, 3)" in out


def test_async_service(tmp_path: Path) -> None:
    out = run(ROOT / "examples" / "async_service.py", tmp_path, *CLIPS)
    assert "120 frames" in out
    assert "250 frames" in out


def test_dataloader(tmp_path: Path) -> None:
    out = run(ROOT / "examples" / "dataloader.py", tmp_path)  # of the sample
    assert "VideoArray(20 clips, 8 frames each)" in out
    assert out.count(": 20 clips of (8, 224, 224, 3)") == 2


UPLOAD = "import dreamlake as dl\nvideo = other = dl.upload('./run01.mp4', progress=False)\n"

FILES = """
import os, pathlib, shutil, wave
import dreamlake as dl
os.chdir(pathlib.Path(__file__).parent)
with wave.open("mic.wav", "wb") as sound:
    sound.setparams((1, 2, 8000, 0, "NONE", ""))
    sound.writeframes(bytes(16000))
pathlib.Path("llava.jsonl").write_text('{"ts": 0.0, "dt": 2.0, "text": "a robot arm"}')
for name in ("run-042/labels.jsonl", "run-042/calibration/left.csv"):
    pathlib.Path(name).parent.mkdir(exist_ok=True)
    pathlib.Path(name).write_text("")
shutil.copy("./video.mp4", "front.mp4")
dl.upload("front.mp4", space="robotics@alice", path="/camera/front/run01.mp4")
"""

SOUND = """
import os, pathlib
import numpy as np
import dreamlake as dl
from PIL import Image
from tests.clips import CLIPS
os.chdir(pathlib.Path(__file__).parent)
dl.upload(CLIPS["h264-sound"].make(pathlib.Path("talk.mp4")), progress=False)
from tests.sounds import Sound
Sound("pcm_s16le", ".wav", "flac", 16_000, seconds=21.0).make(pathlib.Path("mic.wav"))
Image.new("RGB", (4, 3)).save("left.png")
video = dl.load_video("talk.mp4")
"""

HEARD = """
assert os.path.exists("clip.wav") and len(second) == 16_000 and image.numpy().shape == (3, 4, 3)
"""

THERE = """
assert (report.ok, report.failures) == (1, [])
assert os.path.getsize("videos/run01.mp4") == os.path.getsize("front.mp4")
"""

LISTED = """
assert len(fronts) == 1 and fronts[0] == video
[left] = dl.ls("/2026", space="robotics@alice", kind="video", recursive=True)
assert (left.name, left.id) == ("/2026/04/run-042/camera/front/run01.mp4", video.id)
"""

TRACKS = f"""{UPLOAD}
import os
from pathlib import Path
os.chdir(Path(__file__).parent)
Path("./detections.jsonl").write_text('{{"ts": 1.5, "dt": 1.0, "label": "cup"}}\\n')
clip = video[1.0:2.0]
describe = lambda image: f"{{image.width}} pixels wide"
"""

VECTORS = f"""{UPLOAD}
import numpy as np
my_encoder = lambda clip: np.asarray(clip.numpy(), np.float32).mean((0, 1))
my_vlm = lambda clip: f"frame {{clip.st:.1f}}: a robot and a cup"
rng = np.random.default_rng(7)
vectors, vector = rng.random((8, 3), np.float32), rng.random(3, np.float32)
captions, sources = [f"a cup, {{n}}" for n in range(8)], list(video.chunk(1.0))[:8]
class clip_model:
    id = "made-up"
    encode_text = staticmethod(lambda text: vector)
    encode_image = staticmethod(lambda image: vector)
"""

ENGINE = """
import atexit, os, pathlib
os.chdir(pathlib.Path(__file__).parent)
os.environ.update(HF_HOME=str(pathlib.Path("hf").absolute()), HF_DATASETS_DISABLE_PROGRESS_BARS="1")
os.environ["DATASETS_VERBOSITY"] = "error"
from tests.only_sync.test_walkthrough import REPO, write_dataset
from tests.predictions import Engine, actions, png
write_dataset(pathlib.Path(REPO))
pathlib.Path("start.png").write_bytes(png())
actions = actions(0, 48)
engine = Engine(api_key="dre_1").__enter__()
atexit.register(engine.__exit__, None, None, None)
os.environ.update(DREAM_API_KEY="dre_1", DREAM_BASE_URL=engine.url)
"""

# What each piece of the README's code needs before it and after it. It is found by a word of its own.
PIECES = {
    "dl.load_video(video.id)": ("", ""),
    "clip.chunk(": (f"{UPLOAD}clip = video[10.0:20.0]\n", "assert batch.shape[1:] == (5, 272, 640, 3)\n"),
    "dl.text_track(": (TRACKS, "assert len(track) == len(video.chunk(2.0)) == len(dl.load(track.id))\n"),
    "DataLoader(": (
        f"{UPLOAD}from torch.utils.data import DataLoader\nclips = video.chunk(0.200)\n",
        "assert next(iter(loader)).shape == (8, 5, 272, 640, 3)\n",
    ),
    "import dreamlake.aio": (f"{UPLOAD}ID = video.id\n", "assert frame.shape == (272, 640, 3)\n"),
    "dl.upload_many(": (
        FILES,
        THERE,
    ),
    "audio.peaks(": (SOUND, HEARD),
    "dl.vec_index(": (VECTORS, "assert len(index.search('cup')) == 10 and next(iter(index.search(vector))).caption\n"),
    "dl.Client(": (ENGINE, "assert (result.ok, result.failed) == (16, 0)\n"),
    "dl.ls(": (
        "import dreamlake as dl\ndl.upload('./run01.mp4', space='robotics@alice', path='/camera/front/run01.mp4')\n",
        LISTED,
    ),
    "with dl.Prefix(": ("import dreamlake as dl\n", ""),
    'dl.load_video("./run01.mp4")': ("import dreamlake as dl\n", "assert video.frames == 250\n"),
}
CODE = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(CODE)))
def test_the_readme(tmp_path: Path, number: int) -> None:
    code = CODE[number]
    ((before, after),) = [around for word, around in PIECES.items() if word in code]
    if "await " in code:  # which needs a loop, and an id that this lake knows
        lines = "".join(f"    {line}\n" for line in (code + after).splitlines())
        code = f"{before}import asyncio\nasync def main():\n{lines}asyncio.run(main())\n"
        code = code.replace('"v-BV1bW411n7fY9x01"', "ID")
    else:
        # Other machines are none of a test's business.
        code = before + re.sub(r'.*"(https|s3)://.*\n', "", code) + after
    for name in ("./run01.mp4", "./video.mp4"):
        code = code.replace(name, str(CLIPS[1]))
    path = tmp_path / "readme.py"
    # torch warns of more workers than cores.
    path.write_text(code.replace("10.0:20.0", "1.0:2.0").replace("num_workers=4", "num_workers=1"))
    run(path, tmp_path / "home")


def test_every_piece_of_the_readme_is_known() -> None:
    assert len(CODE) == len(PIECES)
