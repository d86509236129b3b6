"""The event loop's selector: it must neither sleep on work nor burn the core in vain."""

from __future__ import annotations

import asyncio
import socket

from heliosd.server.selector import SpinningSelector


def run(selector: SpinningSelector, main: object) -> None:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(main)  # type: ignore[arg-type]


def test_callbacks_left_by_the_idle_hook_are_run_at_once() -> None:
    selector = SpinningSelector()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def on_idle() -> bool:
            if done.done():
                return False
            selector.on_idle = None
            loop.call_soon(done.set_result, None)
            return True

        selector.on_idle = on_idle
        await asyncio.wait_for(done, 5)

    run(selector, main())


def test_timers_and_sockets_are_served() -> None:
    selector = SpinningSelector()

    async def main() -> None:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.send(b"x")
            assert await asyncio.get_running_loop().sock_recv(near, 1) == b"x"

    run(selector, main())


def test_spins_in_vain_become_rare() -> None:
    selector = SpinningSelector()
    for _ in range(200):
        assert selector.select(0.0001) == []
    # 200 sleeps: 1 spin, 1 sleep, 1 spin, 2 sleeps, ... so that fewer than ten have spun.
    assert selector._sleeps_next >= 64
    selector.close()
