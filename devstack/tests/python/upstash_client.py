"""Drives the bridge with the official Upstash client for Python and checks what it decodes.

Reads UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN; any failed check ends it non-zero.
"""

from upstash_redis import Redis
from upstash_redis.errors import UpstashError


def check(given, wanted):
    assert given == wanted, f"got {given!r}, wanted {wanted!r}"


def strings(redis):
    check(redis.set("name", "Ünïcode 😀"), True)
    check(redis.get("name"), "Ünïcode 😀")
    check(redis.get("missing"), None)
    check(redis.set("name", "other", nx=True), False)
    check(redis.set("ok", "OK"), True)
    check(redis.get("ok"), "OK")
    check(redis.incrby("count", 41), 41)
    check(redis.incr("count"), 42)
    check(redis.incrbyfloat("price", 1.5), 1.5)
    check(redis.mget("name", "missing", "count"), ["Ünïcode 😀", None, "42"])
    check(redis.expire("count", 100), True)
    check(0 < redis.ttl("count") <= 100, True)
    check(redis.delete("name", "missing"), 1)
    check(redis.ping("hello"), "hello")


def collections(redis):
    check(redis.hset("hash", values={"a": "1", "b": "2"}), 2)
    check(redis.hgetall("hash"), {"a": "1", "b": "2"})
    check(redis.hmget("hash", "b", "c"), ["2", None])
    check(redis.rpush("list", "x", "y", "z"), 3)
    check(redis.lrange("list", 0, -1), ["x", "y", "z"])
    check(redis.lpop("list", 2), ["x", "y"])
    check(redis.zadd("scores", {"low": 1, "high": 2.5}), 2)
    check(redis.zrange("scores", 0, -1, withscores=True), [("low", 1.0), ("high", 2.5)])
    check(redis.zscore("scores", "high"), 2.5)
    check(redis.zscan("scores", 0), (0, [("low", 1.0), ("high", 2.5)]))


def streams(redis):
    check(redis.xadd("stream", "1-1", {"field": "value"}), "1-1")
    check(redis.xlen("stream"), 1)
    check(redis.xrange("stream"), [["1-1", ["field", "value"]]])
    check(redis.xgroup_create("stream", "group", "0"), "OK")
    read = redis.xreadgroup("group", "consumer", {"stream": ">"})
    check(read, [["stream", [["1-1", ["field", "value"]]]]])
    check(redis.xack("stream", "group", "1-1"), 1)


def scripts(redis):
    source = "#!lua flags=allow-key-locking\nreturn {redis.call('GET', KEYS[1]), ARGV[1], 7}"
    check(redis.eval(source, keys=["count"], args=["argument"]), ["42", "argument", 7])
    sha = redis.script_load(source)
    check(redis.script_exists(sha, "0" * 40), [True, False])
    check(redis.evalsha(sha, keys=["count"], args=["again"]), ["42", "again", 7])


def batches(redis):
    pipeline = redis.pipeline()
    pipeline.set("piped", "1")
    pipeline.incr("piped")
    pipeline.get("piped")
    check(pipeline.exec(), [True, 2, "2"])

    transaction = redis.multi()
    transaction.incr("piped")
    transaction.hgetall("hash")
    check(transaction.exec(), [3, {"a": "1", "b": "2"}])


def errors(redis):
    try:
        redis.lpush("count", "x")
    except UpstashError as error:
        check(str(error).startswith("WRONGTYPE"), True)
    else:
        raise AssertionError("a wrong type went unnoticed")


def main():
    for encoding in ("base64", None):
        with Redis.from_env(rest_encoding=encoding, rest_retries=0) as redis:
            redis.flushall()
            for part in (strings, collections, streams, scripts, batches, errors):
                part(redis)


if __name__ == "__main__":
    main()
