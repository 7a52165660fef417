"""The scripts that run inside of the server: each is one atomic step, and one transaction in the append-only file.

Every script's keys are the stream and its head hash, which share a hash tag. The head's fields are `genesis`,
`epoch`, `position`, `hash` (32 bytes), `baseline` (the id of the newest commit that holds one), `baselines` (the ids of
all that are known, the oldest first, with a blank behind each: a look far back finds its own at once), and
`trimmed_position` and `trimmed_hash` (what the first entry left links to). An entry's id is
`<epoch>-<position of its last event>`, so that the server itself refuses a deposed leader's plain XADD.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple


class Script(NamedTuple):
    """A Lua script and the name that EVALSHA calls it by."""

    source: str
    sha: str


def _script(source: str) -> Script:
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


HEAD = _script("""
local h = redis.call('HMGET', KEYS[2], 'genesis', 'epoch', 'position', 'hash',
                     'trimmed_position', 'trimmed_hash', 'baseline')
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
h[8] = last[1] and last[1][1] or ''
return h
""")
"""Answer the head's fields and the id of the stream's last entry."""

APPEND = _script("""
local genesis, epoch, position, previous = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local last, hash, blob, baseline, bound, limit = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local h = redis.call('HMGET', KEYS[2], 'genesis', 'epoch', 'position', 'hash')
if not h[1] or redis.call('XLEN', KEYS[1]) == 0 then return {'MISSING', '', '', ''} end
local function refuse(why) return {why, h[2], h[3], h[4]} end
if h[1] ~= genesis then return refuse('FORK') end
if h[2] ~= epoch then
  if tonumber(h[2]) > tonumber(epoch) then return refuse('FENCED') end
  return refuse('FORK')
end
if h[3] ~= position then return refuse('CONFLICT') end
if h[4] ~= previous then return refuse('FORK') end
if limit ~= '0' and redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 5) > tonumber(limit) then
  return refuse('FULL')
end
local id = epoch .. '-' .. last
local added
if bound == '0' then
  added = redis.pcall('XADD', KEYS[1], id, 'e', blob)
else
  added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', bound, id, 'e', blob)
end
if type(added) == 'table' and added.err then
  if string.find(added.err, 'equal or smaller', 1, true) then return refuse('FORK') end
  return added
end
redis.call('HSET', KEYS[2], 'position', last, 'hash', hash)
if baseline == '1' then
  local known = (redis.call('HMGET', KEYS[2], 'baselines')[1] or '') .. id .. ' '
  if #known > 65536 then known = string.match(known, ' (.*)$', 32768) end
  redis.call('HSET', KEYS[2], 'baseline', id, 'baselines', known)
end
return 'OK'
""")
"""Compare genesis, epoch, position and previous hash with the head; then append and move the head.

A limit other than 0 has the size of the stream measured first. The ids of baselines take 64 KiB at most, which is
several thousand of them: beyond, the older half is forgotten.
"""

CLAIM = _script("""
local genesis, epoch, previous_id, previous, recovering = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local first, last, hash, blob = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local baseline, trimmed_position, trimmed_hash = ARGV[10], ARGV[11], ARGV[12]
local h = redis.call('HMGET', KEYS[2], 'genesis', 'epoch', 'position', 'hash')
local tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local tail_id = tail[1] and tail[1][1] or ''
local function refuse(why) return {why, h[2] or '', h[3] or '', h[4] or '', h[1] or ''} end
if h[1] and h[1] ~= genesis then return refuse('FOREIGN') end
if h[2] and tonumber(h[2]) >= tonumber(epoch) then return refuse('FENCED') end
local whole = h[1] and tail_id == h[2] .. '-' .. h[3]
if not whole and recovering == '0' and (h[1] or tail_id ~= '' or first ~= '1') then return refuse('MISSING') end
if tail_id ~= previous_id then
  if tail_id == '' then return refuse('MISSING') end
  return refuse('FENCED')
end
if whole and h[4] ~= previous then return refuse('FENCED') end
local id = epoch .. '-' .. last
local added = redis.pcall('XADD', KEYS[1], id, 'e', blob)
if type(added) == 'table' and added.err then
  if string.find(added.err, 'equal or smaller', 1, true) then return refuse('FENCED') end
  return added
end
if not whole then
  redis.call('DEL', KEYS[2])
  if baseline ~= '' then redis.call('HSET', KEYS[2], 'baseline', baseline) end
  if trimmed_position ~= '' then
    redis.call('HSET', KEYS[2], 'trimmed_position', trimmed_position, 'trimmed_hash', trimmed_hash)
  end
end
redis.call('HSET', KEYS[2], 'genesis', genesis, 'epoch', epoch, 'position', last, 'hash', hash)
return 'OK'
""")
"""Start an epoch behind the very entry that the claimant has seen as the last one ('' for none)."""

TRIM = _script("""
local epoch, position, step, previous_position = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local id = epoch .. '-' .. position
local h = redis.call('HMGET', KEYS[2], 'baseline', 'epoch', 'position', 'trimmed_position')
if not h[1] then return {'NO_BASELINE', ''} end
local baseline_position = tonumber(string.match(h[1], '-(%d+)$'))
if tonumber(position) > baseline_position then return {'BEYOND', h[1]} end
local entry = redis.call('XRANGE', KEYS[1], id, id)
if not entry[1] then return {'ABSENT', ''} end
if tonumber(h[4] or '0') < tonumber(previous_position) then
  redis.call('HSET', KEYS[2], 'trimmed_position', previous_position, 'trimmed_hash', string.sub(entry[1][2][2], 1, 32))
end
local gone = redis.call('XTRIM', KEYS[1], 'MINID', '~', id, 'LIMIT', step)
if gone == 0 then
  gone = redis.call('XTRIM', KEYS[1], 'MINID', id)
  return {'DONE', gone}
end
return {'MORE', gone}
""")
"""Drop entries before one that is a baseline's or older, a bounded number at a time.

What the first entry left links to is recorded before anything goes, so that readers can tell trimmed from lost.
"""
