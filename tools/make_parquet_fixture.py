"""Writes crates/records/tests/data/messages.parquet: nested messages as pyarrow stores them.

Run from the repository's root: python tools/make_parquet_fixture.py (needs pyarrow).
"""

import pyarrow
import pyarrow.parquet

function = pyarrow.struct([("name", pyarrow.string()), ("city", pyarrow.string()), ("unit", pyarrow.string())])
message = pyarrow.struct(
    [
        ("role", pyarrow.string()),
        ("content", pyarrow.string()),
        ("weight", pyarrow.float32()),
        ("tool_calls", pyarrow.list_(pyarrow.struct([("function", function)]))),
    ]
)
rows = [
    [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "city": "Oslo"}}]},
        {"role": "tool", "content": "3 degrees"},
        {"role": "assistant", "content": "It is 3 degrees.", "weight": 0.5},
    ],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": float("nan")}],
    [{"role": "user", "content": "Dans quelle ville ?"}, {"role": "assistant", "content": "À Besançon."}],
]
table = pyarrow.table(
    {
        "messages": pyarrow.array(rows, type=pyarrow.list_(message)),
        "id": pyarrow.array([1, 2, 3]),
        "made": pyarrow.array([0, 1, 2], type=pyarrow.timestamp("us")),
    }
)
pyarrow.parquet.write_table(table, "crates/records/tests/data/messages.parquet", compression="zstd", row_group_size=2)
