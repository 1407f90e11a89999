"""Faults of Redis or Valkey, which counts rows for rate limits."""

from collections.abc import Iterator

from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.formatting import without_password
from dcmon.severity import Severity

SECONDS = 2.0
SHOW_URL = "dcmon config show DCMON_REDIS_URL --origin"


@fault("redis-unreachable", "Redis does not answer", Part.REDIS, Severity.MEDIUM)
def unreachable(installation: Installation) -> Iterator[Fact]:
    """dcmon goes on: each process counts rows for rate limits alone."""
    url = installation.known.redis_url
    if url is None:
        return
    import redis

    try:
        with _client(url.get_secret_value()) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        address = without_password(url.get_secret_value())
        yield Fact(f"Redis at {address}: {error or 'no answer'}", SHOW_URL)


@fault("redis-evicts", "Redis may drop the counts of rate limits", Part.REDIS, Severity.LOW)
def eviction(installation: Installation) -> Iterator[Fact]:
    """If Redis deletes keys that have no expiry, or all of them, limits are counted from zero again."""
    url = installation.known.redis_url
    if url is None:
        return
    import redis

    try:
        with _client(url.get_secret_value()) as client:
            memory = client.info("memory")
    except (redis.RedisError, ValueError):
        return
    policy, most, used = memory.get("maxmemory_policy"), int(memory.get("maxmemory", 0)), int(memory["used_memory"])
    if policy == "noeviction" and most and used > 0.9 * most:
        sentence = (
            f"Redis uses {used:,} of its {most:,} bytes, and its policy is noeviction: writes fail when it is full."
        )
        yield Fact(sentence, SHOW_URL)
    elif str(policy).endswith("-random"):
        yield Fact(f"The policy of Redis is {policy}: it deletes counts that are in use.", _set_policy())


def _set_policy() -> str:
    return 'redis-cli -u "$DCMON_REDIS_URL" config set maxmemory-policy volatile-lru'


def _client(url: str) -> "redis.Redis":  # type: ignore[name-defined]  # noqa: F821
    import redis

    return redis.Redis.from_url(url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS, decode_responses=True)
