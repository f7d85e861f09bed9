from dreamlake.media.scan import check_video


def check_content(path, kind):
    if path.stat().st_size == 0:
        from dreamlake.errors import MediaError

        raise MediaError(f"{path.name}: is empty")
    check_video(path)
