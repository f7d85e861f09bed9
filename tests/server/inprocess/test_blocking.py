"""Blocking callers of an application in this process."""

import gc
import queue
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from dreamlake.server import inprocess
from dreamlake.server.inprocess import InProcessApp

from ._app import MIB, WAIT, Lake, Pieces, sync_client


def test_bodies(client: httpx.Client) -> None:
    assert client.post("/count", content=b"12345").text == "5"
    assert client.post("/count").text == "0"
    assert client.post("/count", content=Pieces(7)).text == "70"
    assert client.post("/count", content=iter([])).text == "0"
    assert int(client.post("/count", files={"f": b"x" * 1000}).text) > 1000
    assert client.post("/echo", content=iter([b"a", b"", b"bc"])).content == b"abc"


def test_giving_up_on_receiving(lake: Lake, client: httpx.Client) -> None:
    """No piece is lost, and none is asked for twice."""
    body = Pieces(7)
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(client.post, "/impatient", content=body)
        assert lake.reached("given up")
        client.get("/settle")
        received = len(lake.seen[1:])
        assert body.pulled <= received + 1
        client.get("/release")
        assert upload.result(WAIT).text == str(10 * (7 - received))


def test_the_body_is_pulled_as_it_is_received(lake: Lake, client: httpx.Client) -> None:
    body = Pieces(1000)
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(client.post, "/three", content=body)
        assert lake.reached("three")
        client.get("/settle")
        assert body.pulled == 3
        client.get("/release")
        assert upload.result(WAIT).text == "enough"
    assert body.pulled == 3


def test_an_answer_without_the_body(client: httpx.Client) -> None:
    body = Pieces(1000)
    assert client.post("/none", content=body).text == "unread"
    assert body.pulled == 0


def test_the_response_is_produced_as_it_is_consumed(lake: Lake, client: httpx.Client) -> None:
    with client.stream("GET", "/chunks?20") as response:
        client.get("/settle")
        ahead = inprocess.MAX_UNREAD + 1  # Two handed over, and one that is waiting to be.
        assert lake.produced == ahead
        for taken, chunk in enumerate(response.iter_raw(), 1):
            assert chunk == bytes([taken - 1]) * MIB
            client.get("/settle")
            assert lake.produced == min(taken + ahead, 20)
    assert taken == 20
    assert lake.reached("sent")


def test_body_and_response_at_once(client: httpx.Client) -> None:
    body = Pieces(100)
    with client.stream("POST", "/echo", content=body) as response:
        for taken, chunk in enumerate(response.iter_raw(), 1):
            assert chunk == bytes(10)
            assert body.pulled <= taken + inprocess.MAX_UNREAD + 1
    assert body.pulled == 100


@pytest.mark.parametrize("way", ["up", "down"])
def test_large_bodies_in_bounded_memory(way: str, client: httpx.Client) -> None:
    tracemalloc.start()
    try:
        if way == "up":
            assert int(client.post("/count", content=Pieces(300, MIB)).text) == 300 * MIB
        else:
            with client.stream("GET", "/chunks?300") as response:
                assert sum(map(len, response.iter_raw())) == 300 * MIB
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    finally:
        tracemalloc.stop()


def test_leaving_a_listening_application(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    with client.stream("GET", "/listen") as response:
        assert next(response.iter_raw()) == b"x"
    assert lake.reached("over")
    assert lake.seen[1:] == [b"", "disconnect", "cancelled"]


def test_leaving_a_deaf_application(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    with client.stream("GET", "/forever"):
        pass
    assert lake.reached("over")
    assert lake.seen[1:] == ["cancelled"]
    assert lake.produced <= inprocess.MAX_UNREAD + 1


def test_dropping_a_response(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    client.send(client.build_request("GET", "/forever"), stream=True)
    gc.collect()
    assert lake.reached("over")
    assert lake.seen[1:] == ["cancelled"]


def test_what_is_answered_may_go_on(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    with client.stream("GET", "/background"):
        client.get("/settle")
    client.get("/settle")
    client.get("/release")
    assert lake.reached("done")


def test_answering_a_caller_who_left(lake: Lake, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "GRACE_SECONDS", 0)  # Time for one turn of the loop.
    with pytest.raises(httpx.ReadTimeout):
        client.get("/polite", timeout=0.05)
    assert lake.reached("received")
    client.get("/settle")
    client.get("/release")
    assert lake.reached("done")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)])
def test_responses_without_a_body(method: str, status: int, client: httpx.Client) -> None:
    response = client.request(method, f"/status?{status}")
    assert (response.status_code, response.content) == (status, b"")
    assert response.headers["x-kept"] == "yes"


def test_head_with_a_content_length(client: httpx.Client) -> None:
    response = client.head("/hello")
    assert (response.headers["content-length"], response.content) == ("5", b"")


@pytest.mark.parametrize("how", ["", "exit"])
def test_failure_before_the_response(how: str, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get(f"/fail?{how}")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "GET /fail failed" in caplog.text
    assert client.head("/fail").status_code == 500
    assert client.get("/hello").text == "hello"


def test_failure_within_the_response(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with client.stream("GET", "/fail?late") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"x"
        with pytest.raises(httpx.RemoteProtocolError, match="ended before"):
            next(chunks)
    assert "broken on purpose" in caplog.text


def test_unfinished_responses(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/returns").status_code == 500
    assert "did not respond" in caplog.text
    with pytest.raises(httpx.RemoteProtocolError, match="ended before"):
        client.get("/returns?late")
    with pytest.raises(httpx.RemoteProtocolError, match="content-length"):
        client.get("/short")


def test_messages_out_of_turn(lake: Lake, client: httpx.Client) -> None:
    assert client.get("/unruly").text == "fine"
    assert lake.reached("done")


def test_failing_body(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    # An error that the transport handles elsewhere: the caller's must not be mistaken for it.
    with pytest.raises(queue.Empty, match="of the caller"):
        client.post("/listen?silent", content=Pieces(2, error=queue.Empty("of the caller")))
    assert lake.reached("over")
    assert lake.seen[1:] == [bytes(10), bytes(10), "disconnect", "cancelled"]


def test_read_timeout(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    timeout = httpx.Timeout(WAIT, read=0.02)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/listen?silent", timeout=timeout)
    assert lake.reached("over")
    with client.stream("GET", "/listen", timeout=timeout) as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"x"
        with pytest.raises(httpx.ReadTimeout):
            next(chunks)


def test_many_threads(server: InProcessApp, client: httpx.Client) -> None:
    def work(number: int) -> None:
        own = sync_client(server)
        for count in range(25):
            for either in (own, client):
                body = [f"{number}-{count}-{index} ".encode() for index in range(5)]
                assert either.post("/echo", content=iter(body)).content == b"".join(body)
        own.close()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, number) for number in range(8)]:
            future.result(WAIT)


async def test_blocking_use_inside_a_running_loop(client: httpx.Client) -> None:
    assert client.get("/hello").text == "hello"  # noqa: ASYNC212
    assert client.post("/count", content=Pieces(3)).text == "30"  # noqa: ASYNC212
