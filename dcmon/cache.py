"""The door to Redis or Valkey. A helper: nothing is lost, and nothing stops, when it is away."""

import redis


def answers(url: str) -> bool:
    """Whether the server at this URL answers within a second."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError):
        return False
