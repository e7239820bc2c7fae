"""One connection of asyncpg in an event loop; its prepared statements stay on the server between the steps."""

import asyncio
import os
import sys
from urllib.parse import urlsplit

import asyncpg
from steps import answer


async def main():
    address = urlsplit(os.environ["DATABASE_URL"])
    conn = await asyncpg.connect(host=address.hostname, port=address.port, database=address.path[1:],
                                 user=address.username, password=address.password)
    news = []
    await conn.add_listener("news", lambda _conn, _pid, _channel, payload: news.append(payload))
    prepared = await conn.prepare("SELECT $1::int * 2")

    async def backends():
        return [await conn.fetchval("SELECT pg_backend_pid()")]

    async def schema():
        return await conn.execute("CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, words text[], at timestamptz)")

    async def create():
        return await conn.fetchval("INSERT INTO notes (words, at) VALUES ($1, now()) RETURNING id", ["one", "two"])

    async def many():
        await conn.executemany("INSERT INTO notes (words) VALUES ($1)", [[[f"word {n}"]] for n in range(50)])
        return await conn.fetchval("SELECT count(*) FROM notes")

    async def cursor():
        async with conn.transaction():
            return [record["id"] async for record in conn.cursor("SELECT id FROM notes WHERE id <= $1 ORDER BY id", 5)]

    async def rollback():
        try:
            async with conn.transaction():
                await conn.execute("DELETE FROM notes")
                await conn.execute("SELECT 1 / $1::int", 0)
        except asyncpg.DivisionByZeroError:
            return await conn.fetchval("SELECT count(*) FROM notes")

    async def kept():
        return await prepared.fetchval(21)

    async def notify():
        await conn.execute("NOTIFY news, 'it is awake'")
        return news

    steps = {step.__name__: step for step in (backends, schema, create, many, cursor, rollback, kept, notify)}
    answer("connected")
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        answer(await steps[line.strip()]())
    await conn.close()


asyncio.run(main())
