-- What every step begins with. KEYS[1] is a delivery, a string of a line
--   delivery STATE FENCE MAYBE LEASE RETENTION CALL DIGEST ATTEMPT UPDATED
-- and, of one that is done, its answer, which no script looks into.
--   STATE      1 claimed, 2 to retry, 3 done, 4 dead
--   FENCE      of the last claim, which is also the number of all claims
--   MAYBE      1 when an attempt may have had its effect, else 0
--   LEASE      when the last claim ends
--   RETENTION  how long what became of it is kept
--   CALL       what tells the call of Claim that claimed last from all others
--   DIGEST     SHA-256 of the first body, in hexadecimal
--   ATTEMPT    claims since it was new, or was revived
--   UPDATED    when the line was written
-- Lines without the last two are read, too.
-- Times are in milliseconds, since 1970 on this server's clock. A delivery that
-- is past its retention is not there: the key has ended.
local key, CLAIMED, RETRY, DEAD = KEYS[1], '1', '2', '4'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local value = redis.call('GET', key)
local state, fence, maybe, lease, retention, call, digest, attempt
if value then
  local line = '^delivery ([1-4]) (%d+) ([01]) (%d+) (%d+) (%w+) (%x+)'
  state, fence, maybe, lease, retention, call, digest, attempt = string.match(value, line .. ' (%d+) %d+\n')
  if not state then
    state, fence, maybe, lease, retention, call, digest = string.match(value, line .. '\n')
    attempt = fence
  end
  if not state or #digest ~= 64 then
    return redis.error_reply('FOREIGN the value at this key is no delivery')
  end
end

-- keep writes the delivery, until ends. A server that is killed while it appends
-- to its file may keep a part of a script's writes, and read it the next time. So
-- the first write is all of the step. The second makes it a transaction in the
-- file, whose end also ends one that another script left open there; without, what
-- follows such a one would not be read again.
local function keep(ends, answer)
  local line = table.concat({'delivery', state, fence, maybe, lease, retention, call, digest, attempt, string.format('%.0f', now)}, ' ')
  value = line .. '\n' .. answer
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.max(1, ends - now)))
  redis.call('PEXPIREAT', key, string.format('%.0f', ends))
end
