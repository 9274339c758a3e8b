-- KEYS[1] definitions; ARGV[1] a version that is known already, ARGV[2] the most
-- bytes of definitions. Returns the time in microseconds, and the version, when it
-- was written and, unless it is known, the definitions; or the time and a word.
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
local v = redis.call('HMGET', KEYS[1], 'version', 'written')
if not v[1] then
  return {now, redis.call('EXISTS', KEYS[1]) == 1 and 'damaged' or 'missing'}
end
local written = v[2] or ''
if v[1] == ARGV[1] then
  return {now, v[1], written}
end
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[2]) then
  return {now, 'large'}
end
return {now, v[1], written, redis.call('HGET', KEYS[1], 'data') or ''}
