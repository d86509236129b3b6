"""Assignment to elements and slices of arrays, as PostgreSQL grows and refuses them."""

from __future__ import annotations

import pytest

from heliosd.errors import SqlError
from heliosd.types.array import Array, array_of
from heliosd.types.array_assign import set_element, set_slice


@pytest.mark.parametrize(
    ("array", "subscripts", "expected"),
    [
        (array_of([1, 2, 3]), (2,), Array((1, 9, 3), (3,), (1,))),
        (array_of([1]), (4,), Array((1, None, None, 9), (4,), (1,))),
        (array_of([1]), (-1,), Array((9, None, 1), (3,), (-1,))),
        (None, (3,), Array((9,), (1,), (3,))),
        (None, (1, 2), Array((9,), (1, 1), (1, 2))),
        (Array((1, 2, 3, 4), (2, 2), (1, 1)), (2, 1), Array((1, 2, 9, 4), (2, 2), (1, 1))),
    ],
)
def test_elements(array: Array | None, subscripts: tuple[int, ...], expected: Array) -> None:
    assert set_element(array, 9, *subscripts) == expected


@pytest.mark.parametrize(
    ("array", "subscripts", "sqlstate"),
    [
        (array_of([1]), (None,), "22004"),
        (array_of([1]), (1, 1), "2202E"),
        (Array((1, 2), (1, 2), (1, 1)), (2, 1), "2202E"),
        (array_of([1]), (2_000_000_000,), "54000"),
    ],
)
def test_refused_elements(array: Array, subscripts: tuple[int | None, ...], sqlstate: str) -> None:
    with pytest.raises(SqlError) as caught:
        set_element(array, 9, *subscripts)
    assert caught.value.sqlstate == sqlstate


WHOLE = ((True, True),)


def test_slices() -> None:
    assert set_slice(WHOLE, array_of([1, 2, 3]), array_of([8, 9]), 2, 3) == array_of([1, 8, 9])
    assert set_slice(WHOLE, array_of([1]), array_of([8, 9]), 2, 3) == array_of([1, 8, 9])
    assert set_slice(WHOLE, array_of([1]), None, 2, 3) == array_of([1])
    with pytest.raises(SqlError) as caught:
        set_slice(WHOLE, array_of([1]), array_of([8]), 2, 3)
    assert caught.value.sqlstate == "2202E"
