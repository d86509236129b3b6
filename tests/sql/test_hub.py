"""The hub: waiting, waking, cancelling, slices, threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from helios_storage.scheduler import Blocked, Event
from heliosd.execute.hub import Hub


def run(scenario: Callable[[Hub], None], seconds: float = 0.2) -> None:
    """Run `scenario` on a loop and let it go on for a moment."""

    async def main() -> None:
        hub = Hub(asyncio.get_running_loop())
        scenario(hub)
        await asyncio.sleep(seconds)
        hub.close()

    asyncio.run(main())


def test_outside_of_a_task_waiting_is_blocked() -> None:
    def scenario(hub: Hub) -> None:
        with pytest.raises(Blocked):
            hub.wait(Event())
        done = Event()
        done.set()
        assert hub.wait(done)
        assert not hub.can_wait()

    run(scenario, 0)


def test_an_event_wakes_the_task_that_waits() -> None:
    seen: list[str] = []
    event = Event()

    def scenario(hub: Hub) -> None:
        def body() -> None:
            seen.append("waits")
            seen.append(f"woken {hub.wait(event)}")

        hub.start(body)
        seen.append("others run")
        event.set()

    run(scenario)
    assert seen == ["waits", "others run", "woken True"]


def test_a_timeout_answers_false_and_a_late_event_wakes_nobody() -> None:
    seen: list[object] = []
    event = Event()

    def scenario(hub: Hub) -> None:
        def body() -> None:
            seen.append(hub.wait(event, 10))
            event.set()
            seen.append(hub.wait(Event(), 10))

        hub.start(body)

    run(scenario)
    assert seen == [False, False]


def test_cancel_is_thrown_out_of_the_wait() -> None:
    seen: list[str] = []

    def scenario(hub: Hub) -> None:
        def body() -> None:
            try:
                hub.wait(Event())
            except RuntimeError as error:
                seen.append(str(error))

        hub.start(body).cancel(RuntimeError("stop"))

    run(scenario)
    assert seen == ["stop"]


def test_cancel_reaches_a_busy_task_at_its_slice_end() -> None:
    seen: list[str] = []

    def scenario(hub: Hub) -> None:
        def body() -> None:
            try:
                while True:
                    hub.check_slice()
            except RuntimeError as error:
                seen.append(str(error))

        task = hub.start(body)
        asyncio.get_running_loop().call_later(0.02, task.cancel, RuntimeError("stop"))

    run(scenario)
    assert seen == ["stop"]


def test_a_thread_s_result_and_error_come_back() -> None:
    seen: list[object] = []

    def fail() -> None:
        raise ValueError("from the thread")

    def scenario(hub: Hub) -> None:
        def body() -> None:
            seen.append(hub.run_in_thread(time.sleep, 0.01))
            try:
                hub.run_in_thread(fail)
            except ValueError as error:
                seen.append(str(error))

        hub.start(body)

    run(scenario)
    assert seen == [None, "from the thread"]


def test_two_busy_tasks_share_the_loop() -> None:
    counts = [0, 0]

    def scenario(hub: Hub) -> None:
        end = time.monotonic() + 0.15

        def body(which: int) -> None:
            while time.monotonic() < end:
                counts[which] += 1
                hub.check_slice()

        hub.start(lambda: body(0))
        hub.start(lambda: body(1))

    run(scenario, 0.3)
    assert min(counts) * 4 > max(counts), counts
