-- A write that changes nothing, since the key is never there. A replica refuses
-- it, and so does a server that is full or cannot write to its disk.
redis.call('SET', KEYS[1], '', 'XX', 'PX', '1')
return 1
