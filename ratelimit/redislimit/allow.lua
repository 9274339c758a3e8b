-- Exact sliding window. KEYS[1] is a list of admission times in microseconds of
-- this server's clock, newest first. ARGV: count, window in microseconds, cost.
-- With lockout tiers besides: how many times to keep, how long the newest of
-- them matters, and for each tier its count, window and block.
-- Answers {1, time of the admission} or {0, microseconds to wait}; the latter
-- writes nothing.
local key, count, window, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local keep, life = count, window
if ARGV[4] then
  keep, life = tonumber(ARGV[4]), tonumber(ARGV[5])
end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local at = now
local newest = redis.call('LINDEX', key, 0)
if newest then
  -- When the clock was set back, time stands still until it has caught up.
  newest = tonumber(newest)
  at = math.max(now, newest)
  local free = at
  local oldest = redis.call('LINDEX', key, count - cost)
  if oldest then
    free = math.max(free, oldest + window)
  end
  for i = 6, #ARGV, 3 do
    oldest = redis.call('LINDEX', key, ARGV[i] - cost)
    if oldest and newest - oldest < tonumber(ARGV[i + 1]) then
      free = math.max(free, newest + ARGV[i + 2])
    end
  end
  if free > at then
    return {0, free - now}
  end
end
local time, length = string.format('%.0f', at)
for _ = 1, cost do
  length = redis.call('LPUSH', key, time)
end
if length > keep then
  redis.call('LTRIM', key, 0, keep - 1)
end
redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil((at + life) / 1000)))
return {1, at}
