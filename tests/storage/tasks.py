"""A scheduler for tests: every task a greenlet, waits switch back to the test, in a known order."""

import greenlet

from helios_storage.scheduler import Event, InlineScheduler


class Tasks(InlineScheduler):
    """`start` runs a function until it waits or ends; setting an event resumes who waited."""

    def __init__(self):
        self.main = greenlet.getcurrent()
        self.ready = []
        self.timed = []

    def start(self, function, *args):
        task = Task(self, function, args)
        task.resume(True)
        return task

    def wait(self, event, timeout_ms=0):
        if event.is_set:
            return True
        task = greenlet.getcurrent()
        if task is self.main:
            return super().wait(event, timeout_ms)
        wake = lambda: self.ready.append(task)  # noqa: E731
        event.on_set(wake)
        if timeout_ms:
            self.timed.append((task, event, wake))
        return self.main.switch()

    def can_wait(self):
        return greenlet.getcurrent() is not self.main

    def check_slice(self):
        if greenlet.getcurrent() is not self.main and self.yields:
            event = Event()
            self.ready.append(greenlet.getcurrent())
            self.wait(event)

    yields = False

    def run(self):
        """Resume everybody whose event was set, until nobody can go on."""
        while self.ready:
            task = self.ready.pop(0)
            task.owner.resume(True)

    def expire(self):
        """Let every timeout pass."""
        timed, self.timed = self.timed, []
        for task, event, wake in timed:
            if not event.is_set:
                event.forget(wake)
                task.owner.resume(False)
        self.run()


class Task:
    """One running function: `result` or `error` when `done`."""

    def __init__(self, tasks, function, args):
        self.tasks = tasks
        self.result = self.error = None
        self.greenlet = Runner(self, function, args)

    @property
    def done(self):
        return self.greenlet.dead

    def resume(self, value):
        if not self.greenlet.started:
            self.greenlet.switch()
        else:
            self.greenlet.switch(value)

    def cancel(self, error):
        self.greenlet.throw(error)


class Runner(greenlet.greenlet):
    def __init__(self, owner, function, args):
        super().__init__()
        self.owner = owner
        self.started = False
        self.function, self.args = function, args

    def run(self, *_):
        self.started = True
        try:
            self.owner.result = self.function(*self.args)
        except BaseException as error:
            self.owner.error = error
