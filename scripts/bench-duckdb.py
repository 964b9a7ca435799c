"""The work of `recsys-pipelines run` as a data engineer would write it in DuckDB, for scripts/bench.py.

    python scripts/bench-duckdb.py RAW_FILE OUT_DIR

Reads a day of exposures and writes the canonical events, popularity, cooc, implicit and session_seq, each as a file of
JSON lines, with two threads and the cuts of scripts/bench.py.
"""

import pathlib
import sys

import duckdb

THREADS = 2
MAX_ITEMS = 100_000
MAX_NEIGHBORS = 50
MAX_ITEMS_OF_USER = 200
MIN_SUPPORT = 2

TYPES = {
    "v": "INTEGER",
    "ts": "TIMESTAMPTZ",
    "tenant": "VARCHAR",
    "surface": "VARCHAR",
    "user_id": "VARCHAR",
    "session_id": "VARCHAR",
    "request_id": "VARCHAR",
    "item_id": "VARCHAR",
    "rank": "INTEGER",
}

READ = f"""
    CREATE TABLE exposures AS
    SELECT * EXCLUDE (v)
    FROM read_json(getvariable('raw'), format = 'newline_delimited', columns = {TYPES})
    WHERE item_id <> '' AND session_id <> ''
"""

CANONICAL = "SELECT DISTINCT * FROM exposures ORDER BY ts, session_id, rank"

POPULARITY = f"""
    SELECT item_id, count(*) AS count
    FROM exposures
    GROUP BY item_id
    ORDER BY count DESC, item_id
    LIMIT {MAX_ITEMS}
"""

COOC = f"""
    WITH shown AS (
        SELECT DISTINCT session_id, item_id FROM exposures
    ),
    pairs AS (
        SELECT one.item_id, other.item_id AS neighbor, count(*) AS count
        FROM shown AS one
        JOIN shown AS other ON one.session_id = other.session_id AND one.item_id <> other.item_id
        GROUP BY one.item_id, neighbor
        HAVING count >= {MIN_SUPPORT}
    )
    SELECT
        item_id,
        list({{item_id: neighbor, count: count}} ORDER BY count DESC, neighbor)[1:{MAX_NEIGHBORS}] AS items
    FROM pairs
    GROUP BY item_id
    ORDER BY item_id
"""


def best_of_users(counted):
    """The items of each user, from a query that counts them."""
    return f"""
        WITH counted AS ({counted})
        SELECT
            user_id,
            list({{item_id: item_id, score: score}} ORDER BY score DESC, item_id)[1:{MAX_ITEMS_OF_USER}] AS items
        FROM counted
        GROUP BY user_id
        ORDER BY user_id
    """


IMPLICIT = best_of_users("""
    SELECT user_id, item_id, count(*) AS score
    FROM exposures
    WHERE user_id IS NOT NULL
    GROUP BY user_id, item_id
""")

SESSION_SEQ = best_of_users("""
    SELECT user_id, item_id, count(*) AS score
    FROM (
        SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY ts, session_id, rank) AS place
        FROM exposures
        WHERE user_id IS NOT NULL
    )
    WHERE place > 1
    GROUP BY user_id, item_id
""")


def main():
    raw, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    database.execute(f"SET threads = {THREADS}")
    database.execute("SET preserve_insertion_order = false")
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET VARIABLE raw = ?", [raw])
    database.execute(READ)
    queries = {
        "canonical": CANONICAL,
        "popularity": POPULARITY,
        "cooc": COOC,
        "implicit": IMPLICIT,
        "session_seq": SESSION_SEQ,
    }
    for name, query in queries.items():
        database.execute(f"COPY ({query}) TO '{out / name}.jsonl' (FORMAT json)")


main()
