"""Lines of a watch, whatever the chunks are."""

import pytest

from porter.kube.reflector import LineTooLong, split_lines


async def arriving(chunks):
    for chunk in chunks:
        yield chunk


async def lines(*chunks, limit_bytes=1000):
    return [line async for batch in split_lines(arriving(chunks), limit_bytes) for line in batch]


async def test_lines_are_put_together_from_any_chunks():
    assert await lines(b'{"a"', b":1}\n{", b'"b":2}\n\n{"c":3}\n{"half') == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_line_over_the_limit_is_refused_before_it_fills_the_memory():
    with pytest.raises(LineTooLong, match="shrink the object"):
        await lines(*[b"x" * 100] * 20)
