-- Sliding counter. KEYS[1] is a string: the width of a bucket, the time of the
-- first admission since the key came to be, the time of the newest and the sum of
-- all buckets, then each bucket that has any, by age: its index, which is its time
-- divided by the width, and its number. Times are microseconds of this server's
-- clock. A bucket counts in full until all of it has left the window.
-- ARGV: count, window, width, cost. Answers {1, time of the admission} or {0,
-- microseconds to wait}; the latter writes nothing.
local key = KEYS[1]
local count, window, width, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local head, bucket, size = '<dddd', '<dI4', 12
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- remap puts each of buckets where the latest time is that it can hold.
local function remap(buckets, old, newest)
  local out, last, sum = {}, nil, 0
  for pos = 1, #buckets, size do
    local i, n = struct.unpack(bucket, buckets, pos)
    i = math.floor(math.min((i + 1) * old - 1, newest) / width)
    if i ~= last then
      last, sum = i, 0
      out[#out + 1] = ''
    end
    sum = sum + n
    out[#out] = struct.pack(bucket, last, sum)
  end
  return table.concat(out)
end

local at, began, total, buckets = now, now, 0, ''
local state = redis.call('GET', key)
if state then
  local old, newest
  old, began, newest, total, buckets = struct.unpack(head, state)
  buckets = state:sub(buckets)
  if old ~= width then
    buckets = remap(buckets, old, newest)
  end
  -- When the clock was set back, time stands still until it has caught up.
  at = math.max(now, newest)
  local first, i, n = 1, nil, nil
  while first <= #buckets do
    i, n = struct.unpack(bucket, buckets, first)
    if (i + 1) * width + window > at then
      break
    end
    total = total - n
    first = first + size
  end
  -- How many must leave, and with which bucket enough of them have.
  local over, pos = total + cost - count, first
  while over > 0 do
    i, n = struct.unpack(bucket, buckets, pos)
    over = over - n
    if over <= 0 then
      return {0, (i + 1) * width + window - now}
    end
    pos = pos + size
  end
  buckets = buckets:sub(first)
end

local index, number = math.floor(at / width), cost
if buckets ~= '' then
  local i, n = struct.unpack(bucket, buckets, #buckets - size + 1)
  if i == index then
    number = n + cost
    buckets = buckets:sub(1, -size - 1)
  end
end
redis.call('SET', key, struct.pack(head, width, began, at, total + cost) .. buckets .. struct.pack(bucket, index, number))
redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil(((index + 1) * width + window) / 1000)))
return {1, at}
