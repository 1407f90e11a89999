"""Clients that send rows over HTTP or to Kafka until each request is acknowledged."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random

import confluent_kafka as ck
import urllib3

from tests.chaos.book import AcceptedRows, Request
from tests.chaos.rows import Rows, Target

PATIENCE = 8.0  # seconds that a client waits for an answer
STRIDE = 1_000_000  # numbers of a client


class Plan:
    """The requests of one client; they depend only on the seed and its number.

    By the last digit of a sample's number: 3 is sent with another content too, 5 to each version of its model,
    7 in other words too; the label of 0 comes first, of 1 never, of 9 twice.
    """

    def __init__(self, rows: Rows, targets: Sequence[Target], client: int, *, with_messages: bool = False) -> None:
        self.rows, self.targets, self.client, self.with_messages = rows, targets, client, with_messages
        self.rng = Random(f"{rows.seed}/client/{client}")
        self.next = self.next_poison = client * STRIDE
        self.waiting: list[Callable[[], Request]] = []

    def requests(self) -> Iterator[Request]:
        """Yield requests without end."""
        while True:
            if self.waiting and self.rng.random() < 0.5:
                yield self.waiting.pop(self.rng.randrange(len(self.waiting)))()
            else:
                yield from self._new()
            if self.with_messages and self.rng.random() < 0.1:
                yield self._message()

    def _new(self) -> Iterator[Request]:
        """Yield new samples and early labels, and queue the requests that follow later."""
        target, count = self.rng.choice(self.targets), self.rng.choice([1, 5, 20, 60])
        numbers = list(range(self.next, self.next + count))
        self.next += count
        if early := [number for number in numbers if number % 10 == 0]:
            yield self._labels(target, early, 0)
        yield self._samples(target, numbers, self.rng.choice([0, 0, 1, 3]))
        self._let_wait(target, numbers)

    def _let_wait(self, target: Target, numbers: Sequence[int]) -> None:
        chosen = {digit: [number for number in numbers if number % 10 == digit] for digit in range(10)}
        late = [number for number in numbers if number % 10 > 1]
        again = self.rng.sample(numbers, len(numbers) // 2)
        siblings = [
            other_target
            for other_target in self.targets
            if other_target.model == target.model and other_target is not target
        ]
        self._later(late, lambda: self._labels(target, late, 0))
        self._later(chosen[9], lambda: self._labels(target, chosen[9], 1))
        self._later(chosen[3], lambda: self._samples(target, chosen[3], 0, variant=1))
        self._later(chosen[7], lambda: self._reworded(target, chosen[7]))
        self._later(again, lambda: self._samples(target, again, 1))
        for sibling in siblings:
            self._later(chosen[5], partial(self._samples, sibling, chosen[5], 0))

    def _later(self, numbers: Sequence[int], make: Callable[[], Request]) -> None:
        if numbers:
            self.waiting.append(make)

    def _samples(self, target: Target, numbers: Sequence[int], bad: int, variant: int = 0) -> Request:
        poison = [self.rows.bad_sample(target, number) for number in self._poison(bad)]
        rows = [self.rows.encoded(target, number, variant) for number in numbers] + [bad_row.row for bad_row in poison]
        self.rng.shuffle(rows)
        return Request("samples", target, rows, [(number, variant) for number in numbers], poison=poison)

    def _reworded(self, target: Target, numbers: Sequence[int]) -> Request:
        rows = [self.rows.reworded(target, number) for number in numbers]
        return Request("samples", target, rows, [(number, 0) for number in numbers])

    def _labels(self, target: Target, numbers: Sequence[int], revision: int) -> Request:
        poison = [self.rows.bad_label(number) for number in self._poison(self.rng.choice([0, 0, 1]))]
        labels = [(f"s{number}", self.rows.value(target, f"s{number}", revision)) for number in numbers]
        if revision == 0:
            labels.append((f"o{numbers[0]}", self.rows.value(target, f"o{numbers[0]}", 0)))  # its sample never comes
        rows = [json.dumps({"_dc_sample_id": name, "_dc_label": value}).encode() for name, value in labels]
        return Request("labels", target, rows + [bad_row.row for bad_row in poison], labels=labels, poison=poison)

    def _message(self) -> Request:
        target, (number, *_) = self.rng.choice(self.targets), self._poison(1)
        return Request("message", target, [self.rows.bad_message(target, number)])

    def _poison(self, count: int) -> list[int]:
        """Return numbers of new poison rows and sometimes of one sent before."""
        numbers = list(range(self.next_poison, self.next_poison + count))
        if numbers and self.next_poison > self.client * STRIDE and self.rng.random() < 0.3:
            numbers.append(self.rng.randrange(self.client * STRIDE, self.next_poison))
        self.next_poison += count
        return numbers


class Client(threading.Thread):
    """Sends each request of its plan until it is acknowledged; clients may share a plan."""

    def __init__(self, plan: Plan, book: AcceptedRows, pause: float) -> None:
        super().__init__(name=f"client {plan.client}", daemon=True)
        self.plan, self.book, self.pause = plan, book, pause
        self.rng, self.ends = Random(plan.client), threading.Event()

    def run(self) -> None:
        for request in self.plan.requests():
            self.send(request)
            if self.ends.wait(self.pause * self.rng.uniform(0, 2)):
                return

    def send(self, request: Request) -> None:
        """Send a request until it is acknowledged."""
        started_at, is_repeated = time.monotonic(), False
        while not self.try_to_send(request):
            is_repeated = True
            self.book.count("repeated")
            time.sleep(self.rng.uniform(0.05, 0.5))
        self.book.enter(request, started_at, time.monotonic(), is_repeated=is_repeated)

    def try_to_send(self, request: Request) -> bool:
        """Return True if the request was acknowledged."""
        raise NotImplementedError


class HttpClient(Client):
    """Sends to one of several servers, any of which may be down."""

    def __init__(self, plan: Plan, book: AcceptedRows, pause: float, ports: Sequence[int]) -> None:
        super().__init__(plan, book, pause)
        self.ports, self.pool = ports, urllib3.PoolManager(retries=False, timeout=PATIENCE)

    def try_to_send(self, request: Request) -> bool:
        target = request.target
        method, path = "POST", f"model-versions/{target.version_id}/data"
        if request.kind == "labels":
            method, path = "PUT", f"model/{target.model.id}/labels"
        try:
            response = self.pool.request(
                method,
                f"http://127.0.0.1:{self.rng.choice(self.ports)}/api/v1/{path}",
                body=b"[" + b", ".join(request.rows) + b"]",
                headers={"Authorization": f"Basic {target.model.token}"},
            )
        except urllib3.exceptions.HTTPError:
            return False
        if response.status < 300:
            return True
        if response.status not in (500, 503):
            self.book.fault(f"{method} {path}: {response.status} {response.data[:300]!r}")
        self.book.count(f"answered {response.status}")
        return False


class TopicClient(Client):
    """A custom producer that writes to the topics itself, sometimes a poison message."""

    def __init__(self, plan: Plan, book: AcceptedRows, pause: float, servers: str, prefix: str) -> None:
        super().__init__(plan, book, pause)
        self.prefix = prefix
        # Idempotent: a poison message that is in the log twice would correctly become two dead letters.
        options = {"acks": "all", "enable.idempotence": True, "delivery.timeout.ms": 600_000, "log_level": 0}
        self.producer = ck.Producer({"bootstrap.servers": servers, **options})

    def try_to_send(self, request: Request) -> bool:
        return self._produce(*self._messages(request))

    def _messages(self, request: Request) -> tuple[str, list[bytes]]:
        """Return the kind of topic and the rows packed into messages."""
        if request.kind == "message":
            return self.rng.choice(["samples", "labels"]), request.rows
        per_message = self.rng.choice([1, 10, 1000])
        parts = [request.rows[at : at + per_message] for at in range(0, len(request.rows), per_message)]
        target = request.target.version_id if request.kind == "samples" else request.target.model.id
        return request.kind, [_packed(request.target.model.org_id, request.kind, target, part) for part in parts]

    def _produce(self, kind: str, values: Sequence[bytes]) -> bool:
        failed: list[object] = []
        for value in values:
            self.producer.produce(f"{self.prefix}.{kind}", value, on_delivery=lambda error, _: failed.append(error))
        self.producer.flush()
        return not any(failed)


def _packed(org_id: int, kind: str, target: int, rows: Sequence[bytes]) -> bytes:
    head = {"v": 1, "org": org_id, "kind": kind, "target": target, "logged_at": datetime.now(UTC).isoformat()}
    return json.dumps(head)[:-1].encode() + b', "rows": [' + b",\n".join(rows) + b"]}"
