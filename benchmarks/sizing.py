"""The tables of docs/sizing.md: measured bytes and times an item, multiplied.

    python -m benchmarks.sizing

Nothing is run here.  Each constant says where it was measured; prices and sizes of machines are assumed.  In the
tables, what was run with so many items stands upright, and what is arithmetic in *italics*.
"""

from __future__ import annotations

import math

SIZES = (10**5, 10**6, 10**7, 10**8, 10**9)

# python -m benchmarks.bytes_an_item --photos 3000, PostgreSQL 18.4, 2026-11-29
METADATA = 939
VECTORS = 1_233  # halfvec
TOKENS = 5_717  # in tables
THUMBNAIL = 13_287  # WebP, 320 pixels, the mean of 18 sample photos
TOKENS_PACKED = 49 * (64 + 2)  # what they are as bytes (encoders/region_codec.py): in packs of an object store
# docs/scale.md, "Side by side": 200,000 rows with their graph, and without what Milvus' log takes nothing is known
PGVECTOR = 513_000_000 // 200_000
MILVUS = 1_828_000_000 // 200_000
# docs/performance.md, "Which index" and "Ten million": float16 rows, and bytes an index takes beside them
ROW = 513 * 2
FILES = {10**5: 101.5, 10**6: 87.4, 10**7: 290.0}
FILES_MEMORY = {10**5: 15.6 * 2**20, 10**6: 107.8 * 2**20, 10**7: 3.0e9}
FILES_BUILD = {10**5: 9.4, 10**6: 39.7, 10**7: 12.8 * 60 + 100}  # seconds, two cores, built and tuned
HNSW_ROW = 513 * 4 + 2 * 16 * 4  # float32 and links of the lowest layer, as Milvus holds them: arithmetic
ENGINE_BUILD = {"pgvector": 54.0, "milvus": 201.0}  # seconds for 200,000 rows, stored, built, tuned
ENGINE_ROWS = 200_000
# docs/performance.md, "indexing" and "decoding": photos of 500 x 375 pixels, and of 12 megapixels
PHOTOS_PER_CORE_SECOND = 54.72
SMALL_MS, LARGE_MS = 2.27, 37.09  # to decode one

# Assumed.
MEMORY_OF_A_SERVER = 48e9  # bytes for an index, of 64 GB
REPLICAS = 2
WORKERS, WORKER_CORES = 100, 8
PRICE_CORE_HOUR = 0.05  # with 4 to 8 GB of memory
PRICE_OBJECTS = 0.023  # a GB and month in an object store
PRICE_DISK = 0.08  # a GB and month on a disk of a server
HOURS = 730  # of a month


def large_per_core_second() -> float:
    """Photos of 12 megapixels: the same work, but for decoding."""
    return 1000 / (1000 / PHOTOS_PER_CORE_SECOND - SMALL_MS + LARGE_MS)


def amount(count: float) -> str:
    """Bytes for people: 12 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{_short(count / size)} {unit}"
    return f"{_short(count / 1e6)} MB"


def duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds)} s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _italic(text: str) -> str:
    return f"*{text}*"


def _power(items: int) -> str:
    return f"10^{round(math.log10(items))}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def sizes() -> str:
    """Bytes of each part."""
    rows = []
    for items in SIZES:
        files = amount(items * (ROW + FILES.get(items, FILES[10**7])))
        each = (METADATA, VECTORS, TOKENS, TOKENS_PACKED, THUMBNAIL, PGVECTOR)
        parts = [_italic(amount(items * part)) for part in each]
        rows.append([_power(items), *parts, files if items in FILES else _italic(files)])
    head = [
        "items", "metadata", "vectors", "tokens, in tables", "tokens, in packs", "thumbnails",
        "pgvector's copy and graph", "or files of a machine",
    ]  # fmt: skip
    return _table(head, rows)


def memory() -> str:
    """What searches want in memory, and how many servers that is."""
    rows = []
    for items in SIZES:
        own = FILES_MEMORY.get(items, items * FILES[10**7])
        bits, graph = items * FILES[10**5], items * HNSW_ROW
        rows.append([
            _power(items), amount(own) if items in FILES_MEMORY else _italic(amount(own)),
            _italic(amount(items * PGVECTOR)), _italic(amount(graph)), _italic(f"{servers(graph)}"),
            _italic(amount(bits)), _italic(f"{servers(bits)}"),
        ])  # fmt: skip
    head = [
        "items", "files of a machine", "pgvector's graph", "Milvus, HNSW", "its servers", "Milvus, one bit a dimension",
        "its servers",
    ]  # fmt: skip
    return _table(head, rows)


def servers(held: float) -> int:
    """That hold so many bytes, each part twice."""
    return REPLICAS * math.ceil(held / MEMORY_OF_A_SERVER)


def times() -> str:
    """Encoding, and building what is searched."""
    rows = []
    for items in SIZES:
        alone = items / PHOTOS_PER_CORE_SECOND
        encoded = [alone / cores for cores in (1, WORKER_CORES, WORKERS * WORKER_CORES)]
        encoded.append(items / large_per_core_second() / (WORKERS * WORKER_CORES))
        built = duration(files_build(items))
        rows.append([
            _power(items), *(_italic(duration(each)) for each in encoded),
            built if items in FILES_BUILD else _italic(built),
            *(_italic(duration(engine_build(engine, items))) for engine in ENGINE_BUILD),
        ])  # fmt: skip
    head = [
        "items", "one core", f"{WORKER_CORES} cores", f"{WORKERS} workers of {WORKER_CORES} cores",
        "the same, 12 megapixels", "index: files", "pgvector", "Milvus",
    ]  # fmt: skip
    return _table(head, rows)


def files_build(items: int) -> float:
    """Seconds; above what was run as many a million as ten million took."""
    return FILES_BUILD.get(items, items * FILES_BUILD[10**7] / 10**7)


def engine_build(engine: str, items: int) -> float:
    """Seconds: graphs are built in n log n."""
    return ENGINE_BUILD[engine] * items * math.log(items) / (ENGINE_ROWS * math.log(ENGINE_ROWS))


def costs() -> str:
    """Once, and a month, by the assumed prices."""
    rows = []
    for items in SIZES:
        core_hours = items / PHOTOS_PER_CORE_SECOND / 3600
        bits, graph = servers(items * FILES[10**5]), servers(items * HNSW_ROW)
        each = [
            core_hours * PRICE_CORE_HOUR,
            items * (TOKENS_PACKED + HNSW_ROW) / 1e9 * PRICE_OBJECTS,
            3 * items * (METADATA + VECTORS) / 1e9 * PRICE_DISK,
            *(count * WORKER_CORES * HOURS * PRICE_CORE_HOUR for count in (bits, graph)),
        ]
        rows.append([_power(items), *(_italic(_money(one)) for one in each)])
    head = [
        "items", "encoding, once", "object store", "disks of PostgreSQL", "servers of Milvus, one bit", "… HNSW",
    ]  # fmt: skip
    return _table(head, rows)


def _money(amount_of_it: float) -> str:
    return f"{amount_of_it:,.0f}" if amount_of_it >= 1 else "< 1"


TABLES = (sizes, memory, times, costs)


def main() -> None:
    print("\n\n".join(table() for table in TABLES))


if __name__ == "__main__":
    main()
