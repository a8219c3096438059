"""How often each client may ask, and under which name it is counted."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mlops.errors import UsageError
from mlops.serving.app import Options, create_app
from mlops.serving.rates import Rates, new_table
from mlops.settings import from_environment

from .test_serving_app import NOW, ROW, World

TOKENS = {"shop": "correct horse", "till": "battery staple"}
DIGESTS = {sha256(token.encode()).hexdigest(): name for name, token in TOKENS.items()}


class Clock:
    """A clock that is set by hand."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("per_second", "at_once", "wait"), [(5, 5, 0.2), (0.5, 1, 2), (1.5, 1, 2 / 3)]
)
def test_a_client_may_send_so_many_a_second_and_no_more(
    per_second: float, at_once: int, wait: float
) -> None:
    clock = Clock()
    rates = Rates(per_second, now=clock)
    sent = [rates.wait("10.0.0.1") for _ in range(at_once + 2)]
    assert sent[:at_once] == [0] * at_once
    assert sent[at_once:] == pytest.approx([wait, wait])
    clock.seconds += wait
    assert rates.wait("10.0.0.1") == 0
    assert rates.wait("10.0.0.1") == pytest.approx(wait)
    passed = 0
    for _ in range(1000):
        clock.seconds += 0.01
        passed += rates.wait("10.0.0.1") == 0
    assert passed == pytest.approx(10 * per_second, abs=1)


def test_clients_do_not_wait_for_each_other() -> None:
    rates = Rates(1, ["shop", "till"], now=Clock())
    for client in ("shop", "till", "10.0.0.1", "10.0.0.2", "2001:db8::1"):
        assert rates.wait(client) == 0, client
        assert rates.wait(client) > 0, client


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
    ],
)
def test_whoever_has_a_network_of_addresses_is_one_client(
    first: str, second: str, same: bool
) -> None:
    rates = Rates(1, now=Clock())
    assert rates.wait(first) == 0
    assert (rates.wait(second) > 0) is same


def test_workers_count_a_client_together(tmp_path: Path) -> None:
    new_table(tmp_path / "rates", ["shop"])
    clock = Clock()
    workers = [Rates(10, ["shop"], tmp_path / "rates", clock) for _ in range(3)]
    for client in ("shop", "10.0.0.1"):
        passed = [workers[n % 3].wait(client) == 0 for n in range(30)]
        assert sum(passed) == 10, client


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[TestClient]:
    world = World(tmp_path)
    assert world.follower.refresh()
    options = Options(tokens=DIGESTS, rate=3)
    with TestClient(
        create_app(world.follower, world.log, lambda: NOW, options)
    ) as made:
        yield made


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


def test_a_client_beyond_its_rate_is_told_when_to_try_again(shops: TestClient) -> None:
    for path, key in (("/predict", "detail"), ("/v2/models/churn/infer", "error")):
        statuses = [
            shops.post(path, json=ROW, headers=bearer("shop")) for _ in range(6)
        ]
        refused = [response for response in statuses if response.status_code == 429]
        assert refused, path
        assert refused[0].headers["retry-after"] == "1"
        assert "too many requests" in refused[0].json()[key]
    assert shops.post("/predict", json=ROW, headers=bearer("till")).status_code == 200
    for _ in range(9):
        assert shops.get("/health/ready").status_code == 200
        assert shops.get("/v2/health/live").status_code == 200


def test_clients_are_counted_by_name_and_never_by_token(shops: TestClient) -> None:
    shops.post("/predict", json=ROW, headers=bearer("shop"))
    shops.post("/predict", json={}, headers=bearer("shop"))
    shops.post("/predict", json=ROW, headers={"Authorization": "Bearer wrong"})
    text = shops.get("/metrics", headers=bearer("till")).text
    assert 'mlops_client_requests_total{client="shop",status="200"} 1.0\n' in text
    assert 'mlops_client_requests_total{client="shop",status="422"} 1.0\n' in text
    assert 'mlops_requests_total{path="other",status="401"} 1.0\n' in text
    for secret in (*TOKENS.values(), *DIGESTS, "wrong"):
        assert secret not in text


def test_without_tokens_a_client_is_an_address_and_in_no_metric(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.follower.refresh()
    options = Options(rate=2)
    app = create_app(world.follower, world.log, lambda: NOW, options)
    first = TestClient(app, client=("192.0.2.77", 1))
    second = TestClient(app, client=("192.0.2.78", 1))
    statuses = [first.post("/predict", json=ROW).status_code for _ in range(4)]
    assert statuses[:2] == [200, 200] and 429 in statuses
    text = second.get("/metrics").text
    assert "192.0.2" not in text
    assert "mlops_client_requests_total{" not in text


def test_the_description_names_what_a_client_beyond_its_rate_gets(
    shops: TestClient,
) -> None:
    schema = shops.get("/openapi.json", headers=bearer("till")).json()
    for path, methods in schema["paths"].items():
        for route in methods.values():
            limited = "health" not in path
            assert ("401" in route["responses"]) is limited, path
            assert limited <= ("429" in route["responses"]), path


def test_clients_have_names_and_may_have_several_tokens(tmp_path: Path) -> None:
    first, second = DIGESTS
    text = f"shop={first}, shop = {second.upper()} ,{'0' * 64}"
    read = from_environment({"MLOPS_SERVE_TOKENS": text}, tmp_path)
    expected = {first: "shop", second: "shop", "0" * 64: "client-3"}
    assert read.serve_tokens == expected


@pytest.mark.parametrize(
    "text",
    [
        "=" + "0" * 64,
        "a b=" + "0" * 64,
        'a"b=' + "0" * 64,
        "x" * 65 + "=" + "0" * 64,
        "shop=secret-token",
        "shop=" + "0" * 64 + ",till=" + "0" * 64,
    ],
)
def test_a_list_of_clients_that_is_none_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MLOPS_SERVE_TOKENS") as caught:
        from_environment({"MLOPS_SERVE_TOKENS": text}, tmp_path)
    assert "secret-token" not in str(caught.value)
    assert "0" * 64 not in str(caught.value)
