-- Takes an admission of counter.lua back. KEYS[1] as there. ARGV: time of the
-- admission, cost. Does nothing when its bucket is gone, nor when it is from before
-- the key came to be: the key was reset since, or the server came back empty.
local key, cost = KEYS[1], tonumber(ARGV[2])
local bucket, size, header = '<dI4', 12, 32
local state = redis.call('GET', key)
if not state then
  return {0}
end
local width, began, _, total = struct.unpack('<dddd', state)
if tonumber(ARGV[1]) < began then
  return {0}
end
local index = math.floor(ARGV[1] / width)
for pos = #state - size + 1, header + 1, -size do
  local i, n = struct.unpack(bucket, state, pos)
  if i == index then
    local back = math.min(cost, n)
    if back == total then
      redis.call('DEL', key)
    else -- in place, so that the key ends as before
      redis.call('SETRANGE', key, header - 8, struct.pack('<d', total - back))
      redis.call('SETRANGE', key, pos + 7, struct.pack('<I4', n - back))
    end
    return {back}
  end
end
return {0}
