-- Exact sliding window. KEYS[1] is a list of admission times in microseconds of
-- this server's clock, newest first. ARGV: count, window in microseconds, cost.
-- Answers {1, time of the admission} or {0, microseconds to wait}; the latter
-- writes nothing.
local key, count, window, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local at = now
local newest = redis.call('LINDEX', key, 0)
if newest then
  -- When the clock was set back, time stands still until it has caught up.
  at = math.max(now, tonumber(newest))
  local oldest = redis.call('LINDEX', key, count - cost)
  if oldest and at - oldest < window then
    return {0, oldest + window - now}
  end
end
local time, length = string.format('%.0f', at)
for _ = 1, cost do
  length = redis.call('LPUSH', key, time)
end
if length > count then
  redis.call('LTRIM', key, 0, count - 1)
end
redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil((at + window) / 1000)))
return {1, at}
