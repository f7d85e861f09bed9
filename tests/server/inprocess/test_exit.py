"""How processes end that have an application inside: at exit, interrupted, forked."""

import subprocess
import sys
import textwrap
from pathlib import Path

SCRIPT = """
import asyncio, atexit, json, os, sys, threading
import httpx
from dreamlake.server.inprocess import InProcessApp
from dreamlake.server.transport import InProcessTransport

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await asyncio.to_thread(int)  # Now the loop has an executor, which no longer works at the exit.
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/hang":
        hanging.set()
        await asyncio.Event().wait()
    for _ in range(5):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body", "body": b"x"})

hanging = threading.Event()
server = InProcessApp(lambda: app)
client = httpx.Client(transport=InProcessTransport(server), base_url="http://lake")
assert client.get("/").text == "xxxxxx"
"""


def run_script(script: str) -> list[str]:
    """What the script prints, if it ends well and without a word on stderr."""
    # Newer Pythons deprecate os.fork beside threads, which is what these scripts are about.
    warnings = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", SCRIPT + textwrap.dedent(script)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_close_at_exit() -> None:
    assert run_script("atexit.register(server.close)") == ["shutdown"]


def test_close_at_exit_with_a_request_in_flight() -> None:
    script = """
    def hang():
        try:
            client.get("/hang", timeout=None)
        except httpx.RemoteProtocolError:
            told.set()

    told = threading.Event()
    threading.Thread(target=hang, daemon=True).start()
    assert hanging.wait(20)
    atexit.register(lambda: print(told.wait(20), flush=True))
    atexit.register(server.close)
    """
    assert run_script(script) == ["shutdown", "True"]


def test_exit_closes_by_itself() -> None:
    assert run_script("") == ["shutdown"]


def test_interrupting_a_blocking_call() -> None:
    script = """
    import signal

    def interrupt():
        hanging.wait(20)
        os.kill(os.getpid(), signal.SIGINT)
        # Python misses a signal that comes in the instant before a lock blocks, whoever takes the lock.
        while not interrupted.wait(1):
            os.kill(os.getpid(), signal.SIGINT)

    def handle(number, frame):
        if not interrupted.is_set():  # on a busy machine the next signal may have been sent before this one came
            interrupted.set()
            raise KeyboardInterrupt

    interrupted = threading.Event()
    signal.signal(signal.SIGINT, handle)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        client.get("/hang", timeout=None)
    except KeyboardInterrupt:
        pass
    print(client.get("/").text, flush=True)
    """
    assert run_script(script) == ["xxxxxx", "shutdown"]


def test_a_forked_child_is_told() -> None:
    script = """
    def hold_the_locks():
        with server.thread._gate, server._closing:
            held.set()
            forked.wait(20)

    held, forked = threading.Event(), threading.Event()
    with client.stream("GET", "/") as response:
        chunks = response.iter_raw()
        next(chunks)
        # In the child, this thread does not exist and its locks are held for ever.
        holder = threading.Thread(target=hold_the_locks)
        holder.start()
        held.wait(20)
        child = os.fork()
        if child == 0:
            for use in (lambda: next(chunks), lambda: client.get("/")):
                try:
                    use()
                except RuntimeError as error:
                    print("is a fork" in str(error), flush=True)
            response.close()
            server.close()
            with InProcessApp(lambda: app) as own:
                with httpx.Client(transport=InProcessTransport(own), base_url="http://lake") as fresh:
                    print(fresh.get("/").text, flush=True)
            sys.exit(0)
        forked.set()
        holder.join()
        print(os.waitpid(child, 0)[1], flush=True)
        print(b"".join(chunks).decode(), flush=True)
    """
    assert run_script(script) == ["True", "True", "xxxxxx", "shutdown", "0", "xxxxx", "shutdown"]
