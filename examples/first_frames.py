"""Upload a video, slice it, and look at frames: python examples/first_frames.py video.mp4"""

import sys

import dreamlake as dl

video = dl.upload(sys.argv[1], space="robotics", prefix="/examples")
print(video)

clip = video[video.duration / 4 : video.duration / 2]
print(clip)
print("numpy", clip.numpy().shape)
print("one frame", clip[0].numpy().shape, clip[0].image.size)

brightness = [float(frame.mean()) for frame in clip.iterator()]
print(f"brightness from {min(brightness):.1f} to {max(brightness):.1f}")
