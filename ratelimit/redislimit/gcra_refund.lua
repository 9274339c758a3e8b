-- Takes an admission of redis_rate back. KEYS[1] is what redis_rate keeps: the
-- time, in seconds since 2017 of this server's clock, at which all that was
-- admitted is paid off. ARGV: rate, period in seconds, cost.
local key = KEYS[1]
local paid = redis.call('GET', key)
if not paid then
  return {0}
end
local clock = redis.call('TIME')
local now = (clock[1] - 1483228800) + (clock[2] / 1000000)
paid = paid - ARGV[2] / ARGV[1] * ARGV[3]
if paid <= now then
  redis.call('DEL', key)
else
  redis.call('SET', key, paid, "EX", math.ceil(paid - now))
end
return {1}
