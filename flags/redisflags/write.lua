-- KEYS[1] definitions, KEYS[2] audit log; ARGV: the version that is to be replaced,
-- the new one, the new definitions, the call, the channel, entries of the log to
-- keep, lines for it. Returns 1 when it is done, also by an earlier try of the same
-- call, and 0 when another version is there.
local v = redis.call('HMGET', KEYS[1], 'version', 'call')
if v[2] == ARGV[4] then
  return 1
end
if (v[1] or '') ~= ARGV[1] or not v[1] and redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
-- First the log: what fails here leaves the definitions as they are.
for i = 7, #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'line', ARGV[i])
end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'data', ARGV[3], 'version', ARGV[2],
  'written', string.format('%.0f', t[1] * 1000000 + t[2]), 'call', ARGV[4])
-- Who may not publish is heard by those who poll.
redis.pcall('PUBLISH', ARGV[5], ARGV[2])
return 1
